"""Deliberate breaks of what keeps a compacted log whole; see `mutants.py`."""

from __future__ import annotations

from ocelog.log import compaction, directory, liveness, rewriting
from ocelog.log.durability import Durability
from ocelog.log.log import Log
from ocelog.log.segments import Segments
from ocelog.log.terms import TermRuns
from ocelog.shard import capture, executor, replica, resource, restoring, transfers
from ocelog.shard.raft import install

from .breaking import Edit, Mutant
from .profiles import BEHIND, BUSY, CRASHING, LOST
from .scheduler import MS, SECOND

COMPACTION_MUTANTS = (
    Mutant(
        "live flags are read during the run",
        (
            Edit(
                liveness.Frozen,
                "freeze",
                "segment.released[: segment.rows_through(index)].copy()",
                "segment.released[: segment.rows_through(index)]",
            ),
        ),
        ("RebuildsEqual", "HolesAreLegal", "Corruption", "StateMismatch"),
        overrides=BUSY,
    ),
    Mutant(
        "released entries are in the live set",
        (Edit(liveness, "_live", "~released & (", "("),),
        ("RebuildsEqual", "StateMismatch", "Corruption"),
        overrides=BUSY,
    ),
    Mutant(
        "what is released during a run is forgotten by the swap",
        (
            Edit(
                rewriting.Group,
                "take_over",
                "self.segment.released = np.concatenate(bits)",
                "self.segment.released = np.zeros(self.segment.count, np.bool_)",
            ),
        ),
        ("LiveSetsAgree",),
        overrides=BUSY,
    ),
    Mutant(
        "a live entry is compacted",
        (Edit(compaction, "keep_mask", "return keep", "keep[:1] = False; return keep"),),
        ("HolesAreLegal", "Corruption"),
        overrides=BUSY,
    ),
    Mutant(
        "the manifest comes after the deletion",
        (
            Edit(
                Durability,
                "job",
                "steps += [self._remove_step(path) for path in old_files]",
                "steps[:0] = [self._remove_step(path) for path in old_files]",
            ),
        ),
        ("Corruption", "ManifestSurvives"),
        stories=("test_a_crash_while_rewritten_segments_are_taken_over",),
    ),
    Mutant(
        "a snapshot is published before the log is synced through it",
        (
            Edit(
                Durability,
                "job",
                "steps.append(self._manifest_step(",
                "steps.insert(0, self._manifest_step(",
            ),
        ),
        ("Corruption", "SyncedSurvives", "ManifestSurvives"),
        stories=("test_a_crash_while_a_snapshot_is_published",),
    ),
    Mutant(
        "an install is not pinned",
        (
            Edit(
                transfers.Transfers,
                "messages",
                "next_part = transfer.next_part()",
                "transfer.entries = self.log.pin(transfer.from_index, self.log.snapshot.live); "
                "transfer.entries.measure(1 << 30); next_part = transfer.next_part()",
            ),
        ),
        ("what was waited for does not happen",),  # the member notices, and never gets what belongs together
        stories=("test_a_transfer_outlives_the_segments_it_sends",),
    ),
    Mutant(
        "an install is accepted below the commit index",
        (Edit(install, "needs_install", "if snapshot_index <= raft.commit_index:", "return True\n    if True:"),),
        ("InstallsGoForward", "Monotonic", "AssertionError"),
        stories=("test_an_install_older_than_the_commit_index_changes_nothing",),
    ),
    Mutant(
        "an install is not needed by who has any entry at its index",
        (Edit(install, "needs_install", "or raft.log.term_at(snapshot_index) != snapshot_term", ""),),
        ("CommittedStays", "LogMatching", "AssertionError"),
        stories=("test_a_deposed_leader_whose_long_tail_reaches_behind_the_snapshot",),
    ),
    Mutant(
        "a live entry is restored only if its condition holds",
        (Edit(resource.Resource, "restorers", "operation.restoring", "operation.function"),),
        ("RebuildsEqual", "StateMismatch"),
        overrides=BUSY,
    ),
    Mutant(
        "results that nobody acknowledged are not in the snapshot",
        (Edit(capture, "_set_aside", "tuple(session.results.values())", "tuple(session.results.values())[:0]"),),
        ("RebuildsEqual", "StateMismatch"),
        overrides=BUSY,
    ),
    Mutant(
        "a session changes before the snapshot has seen it",
        (
            Edit(
                capture.Capture,
                "before_session",
                "if session.id in self._sessions:",
                "if False:",
            ),
        ),
        ("RebuildsEqual", "StateMismatch"),
        overrides=BUSY,
    ),
    Mutant(
        "timers of SNAPSHOT commands are not in the snapshot",
        (Edit(capture.Capture, "__init__", "self._timers = executor.timers.unowned()", "self._timers = []"),),
        ("RebuildsEqual",),
        overrides={**BUSY, "lease_share": 0.8},
    ),
    Mutant(
        "the digest begins anew with a rebuild",
        (Edit(restoring.Restoring, "_install_head", "self.executor.rolling.adopt(digest)", "pass"),),
        ("EqualDigests",),
        overrides=CRASHING,
    ),
    Mutant(
        "a machine releases by its own clock",
        (
            Edit(
                executor.Executor,
                "_release",
                "self.released += releases",
                "self.released += releases if self.applied_index % 5 or self.capture else releases[:0]",
            ),
        ),
        ("LiveSetsAgree", "RebuildsEqual"),
        overrides=BUSY,
    ),
    Mutant(
        "D does not rise with a swap",
        (Edit(Log, "swap", "if dense_index > self.dense_index:", "if False:"),),
        ("Corruption", "AssertionError", "HolesAreLegal"),
        overrides=BEHIND,
    ),
    Mutant(
        "the own live set is kept by a member that installs",
        (Edit(Segments, "adopt_live_set", "segment.released[: segment.rows_through(snapshot_index)] = True", "pass"),),
        ("LiveSetsAgree", "Corruption", "RebuildsEqual"),
        overrides=BEHIND,
    ),
    Mutant(
        "a member that lost its files votes as if it were new",
        (
            Edit(
                directory,
                "open_directory",
                "if witness is not None and disk.exists(witness):",
                "if False:",
            ),
        ),
        ("LeaderCompleteness", "CommittedStays", "OneVotePerTerm", "CommittedIsDurable", "LogMatching"),
        overrides=LOST,
        seeds=120,
    ),
    Mutant(
        "a run goes on while an install takes the log away",
        (Edit(replica.Replica, "_next_job", "self.housekeeping.cancel()", "pass"),),
        ("AssertionError", "Corruption", "Liveness"),
        overrides={
            **BEHIND,
            "background_min": 300 * MS,
            "background_max": 900 * MS,
            "ask_interval": SECOND // 4,
            "cut_interval": SECOND // 2,
        },
    ),
    Mutant(
        "an install forgets the term at D",
        (Edit(TermRuns, "reset", "[term] if dense_index", "[term - 1] if dense_index"),),
        ("AssertionError", "Corruption"),
        stories=("test_a_deposed_leader_whose_tail_lies_where_the_others_have_holes",),
    ),
)
