"""Deliberate one-line breaks of the code under test, and the checkers that have to notice them. See `breaking.py`."""

from __future__ import annotations

from ocelog.log.durability import Durability
from ocelog.log.log import Log, SyncJob
from ocelog.shard import executor, intake, leadership, persist, reads, terms
from ocelog.shard.raft import election, follower, lease, read_index, replication, state

from .breaking import Edit, Mutant
from .scheduler import SECOND

MUTANTS = (
    Mutant(
        "votes and acknowledgements leave before the sync",
        (
            Edit(
                state.RaftState,
                "promise",
                "(self.out.messages if durable else self.out.messages_after_sync).append(message)",
                "self.out.messages.append(message)",
            ),
        ),
        ("PromisesAreDurable",),
    ),
    Mutant(
        "a leader counts itself before its sync",
        (
            Edit(
                replication,
                "advance_commit",
                "_with_own(raft, raft.persisted_index,",
                "_with_own(raft, raft.log.last_index,",
            ),
        ),
        ("CommittedIsDurable",),
    ),
    Mutant(
        "entries of earlier terms commit by counting",
        (
            Edit(
                replication,
                "advance_commit",
                "if index > raft.commit_index and index >= raft.term_start:",
                "raft.advance_commit_to(index)\n    if False:",
            ),
        ),
        ("CommitsOwnTerm",),
        seeds=100,
    ),
    Mutant(
        "the vote is not stored",
        (Edit(persist.PersistJob, "run", "self.meta.store(*self.hard_state)", "pass"),),
        ("SyncedSurvives",),
    ),
    Mutant(
        "a sync that syncs nothing",
        (Edit(SyncJob, "run", "for step in steps:", "for step in ():"),),
        ("SyncedSurvives", "CommittedStaysDurable", "LeaderCompleteness", "Corruption"),
    ),
    Mutant(
        "a sync counts for entries that came after it",
        (
            Edit(
                Log,
                "sync_done",
                "durable = job.index if self._truncated_to is None else min(job.index, self._truncated_to)",
                "durable = min(job.index, self.last_index)",
            ),
        ),
        ("PromisesAreDurable", "CommittedIsDurable"),
        # Slow syncs, and tails of deposed leaders to be truncated while one is under way.
        overrides={
            "cut_interval": SECOND,
            "sync_min": 20_000,
            "sync_max": 80_000,
            "clients": 4,
            "think_max": 100_000,
            "burst_max": 4,
            "in_flight_max": 16,
            "query_share": 0.1,
        },
        seeds=120,
        quick=False,
    ),
    Mutant(
        "the names of new segments are not synced",
        (Edit(Durability, "_manifest_step", 'disk.sync_directory(f"{directory}/log")', "pass"),),
        ("Corruption", "ManifestSurvives"),
    ),
    Mutant(
        "several votes in a term",
        (
            Edit(
                election,
                "on_vote",
                "free = raft.voted_for == message.sender or (raft.voted_for is None and raft.leader is None)",
                "free = raft.leader is None",
            ),
        ),
        ("OneVotePerTerm", "PromisesAreDurable", "ElectionSafety"),
        seeds=200,
    ),
    Mutant(
        "any log may win an election",
        (
            Edit(
                election,
                "is_up_to_date",
                "return (message.last_term, message.last_index) >= (raft.log.term_at(last_index), last_index)",
                "return True",
            ),
        ),
        ("LeaderCompleteness", "CommittedStays", "AssertionError"),
        seeds=100,
    ),
    Mutant(
        "no consistency check of appends",
        (
            Edit(
                follower,
                "_holds",
                "return index <= raft.log.last_index and raft.log.term_at(index) == term",
                "return index <= raft.log.last_index",
            ),
        ),
        ("LogMatching", "CommittedStays", "AssertionError"),
        # Uncommitted tails of two leaders on one log.
        overrides={"cut_interval": SECOND, "append_bytes_max": 200, "crash_interval": SECOND},
        seeds=120,
        quick=False,
    ),
    Mutant(
        "a deposed leader logs what clients sent",
        (
            Edit(
                terms.Terms,
                "decide",
                "if leadership is None or self.core.role is not Role.LEADER:",
                "if leadership is None:",
            ),
        ),
        ("LogMatching", "AssertionError"),
    ),
    Mutant(
        "repetitions are logged and applied",
        (
            Edit(
                intake.Intake,
                "expected",
                "return self._expected.get(session.id) or session.last + 1",
                "return session.last + 1",
            ),
            Edit(
                executor.Executor,
                "apply",
                "if session is None or sequence != session.last + 1:",
                "if session is None:",
            ),
        ),
        ("EqualStates",),
    ),
    Mutant(
        "a repetition takes a new sequence",
        (
            Edit(
                intake.Intake,
                "commands",
                "expected = self.expected(session)",
                "expected = first = self.expected(session); header = header._replace(first_sequence=first)",
            ),
        ),
        ("ExactlyOnce", "OwnResult", "ProgramOrder"),
    ),
    Mutant(
        "the window forgets results that nobody acknowledged",
        (
            Edit(
                executor.Executor,
                "apply",
                "session.acknowledge(sequence - window)",
                "session.acknowledge(sequence - 1)",
            ),
        ),
        ("EqualStates",),
    ),
    Mutant(
        "a new leader serves before its no-op is applied, and repetitions are applied",
        (
            Edit(
                leadership.Leadership,
                "settle",
                "if self.executor.applied_index < self.noop_index:",
                "if False:",
            ),
            Edit(
                executor.Executor,
                "apply",
                "if session is None or sequence != session.last + 1:",
                "if session is None:",
            ),
        ),
        ("EqualStates", "AssertionError"),
        seeds=100,
    ),
    Mutant(
        "queries overtake the commands that were sent before them",
        (
            Edit(
                reads.Reads,
                "_answered",
                "elif read.header.first_sequence > session.last:",
                "elif False:",
            ),
        ),
        ("ReadsOwnWrites",),
    ),
    Mutant(
        "reads are served without confirmation",
        (
            Edit(
                read_index.ReadIndex,
                "confirmed",
                "while self._started and self._started[0][0] <= through:",
                "while self._started:",
            ),
        ),
        ("Linearizable",),
        stories=("test_a_leader_that_was_paused_answers_nothing_from_the_past",),
    ),
    Mutant(
        "a lease lasts as long as its leader was paused",
        (
            Edit(lease.Lease, "holds", "return 0 <= now - sent[0][1] < self.milliseconds", "return True"),
            Edit(lease.Lease, "sent", "while sent and", "while False and"),
        ),
        ("Linearizable",),
        stories=("test_a_leader_that_was_paused_answers_nothing_from_the_past",),
    ),
)
