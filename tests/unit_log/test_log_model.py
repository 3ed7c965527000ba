"""Any sequence of appends, truncations, syncs, restarts and power losses against a plain list."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ocelog.log.entry import encode
from ocelog.log.log import Log, LogConfig, SyncJob

from tests.simulation.disk import SimDisk

from .log_driver import TIME_MS, Held, append, held, open_log, records

CONFIG = LogConfig(segment_bytes_max=4096, segment_entries_max=6)
PAYLOADS = st.lists(st.integers(0, 900).map(lambda size: b"%03d" % size + bytes(size)), min_size=1, max_size=9)


class LogMachine(RuleBasedStateMachine):
    """`entries` is what the log holds; `durable` what it has reported as synced and not truncated since."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk(Random(7))
        self.log: Log = open_log(self.disk, "r", CONFIG)
        self.entries: Held = []
        self.durable = 0
        self.histories: list[Held] = [[]]
        """What the log has held since the last sync that covered everything: a crash may go back to any of them."""
        self.term = 1
        self.job: SyncJob | None = None

    def _changed(self) -> None:
        self.histories.append(list(self.entries))

    @rule(payloads=PAYLOADS, newer=st.booleans())
    def append(self, payloads: list[bytes], newer: bool) -> None:
        self.term += newer
        first = append(self.log, self.term, *payloads)
        assert first == len(self.entries) + 1
        self.entries += [(first + number, self.term, payload) for number, payload in enumerate(payloads)]
        self._changed()

    @rule(payloads=PAYLOADS, data=st.data())
    def append_batch(self, payloads: list[bytes], data: st.DataObject) -> None:
        """A batch whose first entries are there already, and whose terms change at any place."""
        overlap = data.draw(st.integers(0, min(3, len(self.entries))))
        first = len(self.entries) + 1 - overlap
        parts = [encode(index, term, TIME_MS, records(payload)) for index, term, payload in self.entries[first - 1 :]]
        terms = [(index, term) for index, term, _ in self.entries[first - 1 :]]
        for number, payload in enumerate(payloads, len(self.entries) + 1):
            self.term += data.draw(st.booleans())
            parts.append(encode(number, self.term, TIME_MS, records(payload)))
            terms.append((number, self.term))
            self.entries.append((number, self.term, payload))
        runs = tuple(run for place, run in enumerate(terms) if place == 0 or terms[place - 1][1] != run[1])
        sizes = np.concatenate([part[1] for part in parts])
        self.log.append_batch(first, b"".join(part[0] for part in parts), sizes, runs, skip=overlap)
        self._changed()

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        last = data.draw(st.integers(0, len(self.entries)))
        self.log.truncate(last)
        del self.entries[last:]
        self.durable = min(self.durable, last)
        self._changed()

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

    @rule()
    def restart(self) -> None:
        """The process is killed: the page cache keeps everything, the manifest is that of the last finished job."""
        self._open_again()

    @rule()
    def crash(self) -> None:
        self.disk.crash()
        self._open_again()

    def _open_again(self) -> None:
        self.job = None
        self.log = open_log(self.disk, "r", CONFIG)
        found = held(self.log)
        assert found[: self.durable] == self.entries[: self.durable], "what was reported synced is there"
        assert any(found == history[: len(found)] for history in self.histories), "and nothing that never was"
        assert self.log.synced_index == len(found)
        self.entries = found
        self.durable = len(found)
        self.histories = [list(found)]
        self.term = max(self.term, self.log.last_term)

    @invariant()
    def same_entries(self) -> None:
        assert held(self.log) == self.entries
        assert self.log.last_index == len(self.entries)
        assert self.log.synced_index == self.durable
        assert [self.log.term_at(index) for index, _, _ in self.entries] == [term for _, term, _ in self.entries]


TestLogModel = LogMachine.TestCase
TestLogModel.settings = settings(
    max_examples=120,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
