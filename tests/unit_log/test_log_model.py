"""Any sequence of appends, truncations, releases, snapshots, compactions, installs, syncs, restarts and power losses against
plain lists and sets."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ocelog.log.entry import RELEASE, SNAPSHOT, encode
from ocelog.log.liveness import Frozen
from ocelog.log.log import Log, LogConfig, SyncJob
from ocelog.log.rewriting import Rewritten
from ocelog.log.snapshot import Snapshot, SnapshotHead, parts
from ocelog.log.staging import Staging

from tests.simulation.disk import SimDisk

from .history_driver import SHARD, indexes, planned, present, rewritten, write
from .log_driver import TIME_MS, Held, held, open_log, record

CONFIG = LogConfig(segment_bytes_max=4096, segment_entries_max=6)
SIZES = st.lists(st.integers(0, 900), min_size=1, max_size=9)


class Known(NamedTuple):
    """What the log was at some moment: S, D, which entries at or below D were there, and all entries ever in it."""

    snapshot_index: int
    dense_index: int
    low: tuple[int, ...]
    entries: Held


class LogMachine(RuleBasedStateMachine):
    """`entries` is what the log logically holds, `removed` what compaction took out of it; `durable` is what it has reported as
    synced and not truncated since."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk(Random(7))
        self.log: Log = open_log(self.disk, "r", CONFIG)
        self.entries: Held = []
        self.removed: set[int] = set()
        self.released: set[int] = set()
        self.lives: dict[int, set[int]] = {0: set()}
        """The live set of every snapshot that may count, by its index."""
        self.named = self.dense = self.durable = 0
        """S as it will be when all is synced, D, and up to where all is durable."""
        self.term = 1
        self.job: SyncJob | None = None
        self.frozen: Frozen | None = None
        self.made: tuple[Snapshot, int] | None = None
        self.rewritten: tuple[list[Rewritten], set[int]] | None = None
        self.histories: list[Known] = []
        """What the log was since the last sync that covered everything: a crash may go back to any of them."""
        self._changed()

    def _changed(self) -> None:
        low = tuple(index for index in range(1, self.dense + 1) if index not in self.removed)
        self.histories.append(Known(self.named, self.dense, low, list(self.entries)))

    @property
    def floor(self) -> int:
        """What is applied is committed, and never truncated."""
        frozen = 0 if self.frozen is None else self.frozen.index
        return max(self.named, frozen)

    def _mode(self, index: int) -> int:
        return RELEASE if index % 3 else SNAPSHOT

    def _encoded(self, index: int, term: int, payload: bytes) -> tuple[bytes, np.ndarray]:
        return encode(index, term, TIME_MS, [record(payload, self._mode(index))])

    # -- entries -------------------------------------------------------------------------------------

    @initialize(sizes=st.lists(st.integers(0, 900), min_size=8, max_size=30))
    def begin(self, sizes: list[int]) -> None:
        """A few segments at once."""
        self.append(sizes, False)

    @rule(sizes=SIZES, newer=st.booleans())
    def append(self, sizes: list[int], newer: bool) -> None:
        self.term += newer
        first = len(self.entries) + 1
        payloads = [b"%03d" % size + bytes(size) for size in sizes]
        records = [record(payload, self._mode(index)) for index, payload in enumerate(payloads, first)]
        assert self.log.append(self.term, TIME_MS, records) == first
        self.entries += [(first + number, self.term, payload) for number, payload in enumerate(payloads)]
        self._changed()

    @rule(sizes=SIZES, data=st.data())
    def append_batch(self, sizes: list[int], data: st.DataObject) -> None:
        """A batch whose first entries are there already, and whose terms change at any place."""
        overlap = data.draw(st.integers(0, min(3, len(self.entries) - self.dense)))
        first = len(self.entries) + 1 - overlap
        sent = self.entries[first - 1 :]
        for number, size in enumerate(sizes, len(self.entries) + 1):
            self.term += data.draw(st.booleans())
            sent.append((number, self.term, b"batch" + bytes(size)))
        self.entries += sent[overlap:]
        parts = [self._encoded(*entry) for entry in sent]
        runs = tuple(
            (index, term) for place, (index, term, _) in enumerate(sent) if place == 0 or sent[place - 1][1] != term
        )
        sizes_of = np.concatenate([part[1] for part in parts])
        self.log.append_batch(first, b"".join(part[0] for part in parts), sizes_of, runs, skip=overlap)
        self._changed()

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        last = data.draw(st.integers(self.floor, len(self.entries)))
        self.log.truncate(last)
        del self.entries[last:]
        self.released = {index for index in self.released if index <= last}
        self.durable = min(self.durable, last)
        self._changed()

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Of what is applied or may be by now; what was dead at S was released before it."""
        possible = [index for index, _, _ in self.entries if index not in self.released and index not in self.removed]
        if possible:
            chosen = data.draw(st.sets(st.sampled_from(possible), max_size=12))
            self.log.release(sorted(chosen, reverse=True))
            self.released |= chosen

    # -- durability ----------------------------------------------------------------------------------

    @precondition(lambda self: self.job is None)
    @rule()
    def begin_sync(self) -> None:
        self.job = self.log.sync_job()
        self.captured_place = len(self.histories) - 1

    @precondition(lambda self: self.job is not None)
    @rule()
    def end_sync(self) -> None:
        assert self.job is not None
        self.job.run()
        self.durable = self.log.sync_done(self.job)
        self.job = None
        # What the log held after the job was made counts still, also where it was truncated to the same entries again:
        # that truncation is not durable.
        del self.histories[: self.captured_place]

    @precondition(lambda self: self.job is None)
    @rule(data=st.data(), sizes=SIZES)
    def sync_beside(self, data: st.DataObject, sizes: list[int]) -> None:
        """Entries that are covered by a job under way are truncated, and others take their indexes."""
        self.begin_sync()
        self.truncate(data)
        self.append(sizes, True)
        if self.job is not None:
            self.end_sync()

    def _sync_all(self) -> None:
        if self.job is not None:
            self.end_sync()
        self.begin_sync()
        if self.job is not None:
            self.end_sync()

    @precondition(lambda self: self.entries)
    @rule(power_loss=st.booleans())
    def crash(self, power_loss: bool) -> None:
        """The process is killed: the manifest is that of the last finished job, the page cache keeps everything or loses it."""
        if power_loss:
            self.disk.crash()
        self._open_again()

    def _open_again(self) -> None:
        self.job = self.frozen = self.made = self.rewritten = None
        self.log = log = open_log(self.disk, "r", CONFIG)
        low = tuple(index for index, _, _ in present(log) if index <= log.dense_index)
        found = (log.snapshot_index, log.dense_index, low)
        assert any(found == known[:3] for known in self.histories), f"{found} never was"
        dense = held(log)
        possible = [known.entries for known in self.histories if len(known.entries) >= log.last_index]
        matching = [entries for entries in possible if entries[log.dense_index : log.last_index] == dense]
        assert matching, "and nothing that never was"
        assert log.last_index >= self.durable, "what was reported synced is there"
        assert matching[-1][: self.durable] == self.entries[: self.durable]
        assert log.synced_index == log.last_index
        self.entries = matching[-1][: log.last_index]
        self.durable = log.last_index
        self.named, self.dense = log.snapshot_index, log.dense_index
        self.removed = set(range(1, self.dense + 1)) - set(low)
        self.released = set(range(1, self.named + 1)) - self.lives[self.named]
        self.histories.clear()
        self._changed()
        self.term = max(self.term, log.last_term)

    # -- snapshots and compaction --------------------------------------------------------------------

    @precondition(lambda self: self.frozen is None and len(self.entries) > self.named)
    @rule(data=st.data())
    def freeze(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(self.named + 1, len(self.entries)))
        self.frozen = self.log.freeze(index)
        self.frozen_live = {each for each in self._live() if each <= index}

    @precondition(lambda self: self.frozen is not None)
    @rule()
    def publish(self) -> None:
        assert self.frozen is not None
        assert self.frozen.live().tolist() == sorted(self.frozen_live)
        self.log.publish_snapshot(*write(self.disk, self.log, self.frozen.index, self.frozen))
        self.named = self.frozen.index
        self.lives[self.named] = self.frozen_live
        self.frozen = None
        self._changed()

    @precondition(lambda self: self.frozen is None and len(self.entries) > self.named)
    @rule(data=st.data(), released=st.booleans())
    def snapshot(self, data: st.DataObject, released: bool) -> None:
        """All of it in a row, as it mostly goes, with many releases before it."""
        if released:
            self.release(data)
        self.freeze(data)
        self.publish()
        self._sync_all()

    @precondition(lambda self: self.log.snapshot_index and self.rewritten is None)
    @rule(major=st.booleans())
    def compact(self, major: bool) -> None:
        """The same for a compaction."""
        self.rewrite(major, True)
        self.swap()

    @precondition(lambda self: self.log.snapshot_index and self.rewritten is None)
    @rule(major=st.booleans(), newest=st.booleans())
    def rewrite(self, major: bool, newest: bool) -> None:
        """The compactor goes by the snapshot that counts, whatever was released since."""
        snapshot_index = self.log.snapshot_index
        groups = planned(self.log, self.log.freeze(snapshot_index), CONFIG, major=major)
        chosen = groups if newest else groups[:1]
        self.rewritten = (rewritten(self.disk, "r", self.log, chosen), set(self.lives[snapshot_index]))

    @precondition(lambda self: self.rewritten is not None)
    @rule()
    def swap(self) -> None:
        assert self.rewritten is not None
        (groups, live), self.rewritten = self.rewritten, None
        sources = {segment.generation: segment for segment in self.log._segments}
        job = self.log.swap_job(groups)
        job.run()
        assert job.error is None
        covered = [
            (sources[group.sources[0]].first_index, sources[group.sources[-1]].last_index)
            for group in groups
            if set(group.sources) <= set(sources)
        ]
        assert self.log.swap(job) == (len(groups) > 0 and len(covered) == len(groups))
        if len(covered) == len(groups):
            for first, last in covered:
                self.removed |= {index for index in range(first, last + 1) if index not in live}
                self.dense = max(self.dense, last)
            self._changed()

    # -- installs ------------------------------------------------------------------------------------

    @precondition(lambda self: self.job is None and len(self.entries) > 3)
    @rule(data=st.data(), sizes=SIZES)
    def install(self, data: st.DataObject, sizes: list[int]) -> None:
        """From a leader whose log is ours up to m, our commit index, and which has compacted what follows; or from 0."""
        shared = data.draw(st.integers(self.floor, len(self.entries)))
        from_index = shared if data.draw(st.booleans()) else 0
        self.term += 1
        leaders = self.entries[:shared]
        leaders += [(shared + 1 + number, self.term, b"leader" + bytes(size)) for number, size in enumerate(sizes)]
        snapshot_index = len(leaders)
        alive = [
            index
            for index in range(1, snapshot_index + 1)
            if self._mode(index) == RELEASE and (index > self.named or index in self.lives[self.named])
        ]
        live = sorted(data.draw(st.sets(st.sampled_from(alive), max_size=20))) if alive else []
        staging = self._staged(from_index, snapshot_index, [leaders[index - 1] for index in live])
        job = self.log.install(staging)
        if data.draw(st.booleans()):
            job.run()
            self.log.installed(job)
        else:  # cut off: only a crash follows, and all is as it was
            self._open_again()
            return
        self.entries = leaders
        self.removed = (self.removed if from_index else set()) | set(range(from_index + 1, snapshot_index + 1)) - set(
            live
        )
        self.released = set(range(1, snapshot_index + 1)) - set(live)
        if not from_index:
            self.removed = self.released.copy()
        self.lives[snapshot_index] = set(live)
        self.named = self.dense = self.durable = snapshot_index
        self.frozen = None
        self.histories.clear()
        self._changed()

    def _staged(self, from_index: int, snapshot_index: int, live: Held) -> Staging:
        head = SnapshotHead(
            shard=SHARD, index=snapshot_index, term=self.term, time=TIME_MS, digest=b"", configuration=b""
        )
        data = b"".join(parts(head, indexes(index for index, _, _ in live), [b"piece"]))
        staging = Staging(
            self.disk,
            "r",
            SHARD,
            CONFIG,
            self.log.new_generation,
            from_index=from_index,
            snapshot_index=snapshot_index,
            snapshot_bytes=len(data),
        )
        staging.write_snapshot(0, data)
        for entry in live:
            if entry[0] > from_index:
                staging.append(*self._encoded(*entry))
        staging.finish()
        return staging

    # -- always --------------------------------------------------------------------------------------

    def _live(self) -> set[int]:
        gone = self.released | self.removed
        return {index for index, _, _ in self.entries if self._mode(index) == RELEASE and index not in gone}

    @invariant()
    def same_entries(self) -> None:
        log = self.log
        assert present(log) == [entry for entry in self.entries if entry[0] not in self.removed]
        assert held(log) == self.entries[self.dense :]
        assert (log.last_index, log.synced_index, log.dense_index) == (len(self.entries), self.durable, self.dense)
        assert [log.term_at(index) for index in range(max(self.dense, 1), len(self.entries) + 1)] == [
            term for _, term, _ in self.entries[max(self.dense, 1) - 1 :]
        ]

    @invariant()
    def same_live_set(self) -> None:
        assert self.log.live_indexes().tolist() == sorted(self._live())

    @invariant()
    def in_order(self) -> None:
        assert self.log.dense_index <= self.log.snapshot_index <= self.log.synced_index <= self.log.last_index


TestLogModel = LogMachine.TestCase
TestLogModel.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
