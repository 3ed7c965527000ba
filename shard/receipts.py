"""Receipts: where the time of a traced message went, and who served it by which path.

Only a message that asks for it is traced; all others cost a look at one flag. Times are of the clock that the leader was
given and decide nothing. A message of commands goes one after the other through being *queued* (from its arrival until its
entries are in the leader's log) and being *synced* (until the leader's disk has them) and *replicated* (until they are
committed), which run at the same time, and then *applied* (until its results leave). A message of queries is *queued* until
it may run, and then *applied*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgpack

from ..client.protocol import frames
from .outbox import Origin, Outbox
from .sessions import ResultAt, Session

LOG = "log"
READ_INDEX = "read index"
LEASE = "lease"
LOCAL = "local"


def microseconds(seconds: float) -> int:
    """As receipts have them."""
    return round(seconds * 1e6)


class Trace:
    """One traced message of commands: `index` is that of its last entry, 0 while none was logged; times are in seconds."""

    __slots__ = ("appended", "arrived", "committed", "index", "synced")

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.index = 0
        self.appended: float | None = None
        self.synced: float | None = None
        self.committed: float | None = None

    def microseconds(self, now: float) -> dict[str, int]:
        """How long each step took, of those that are known; what another term logged has none."""
        if self.appended is None:
            return {}
        times = {"queued": self.appended - self.arrived}
        if self.synced is not None:
            times["synced"] = self.synced - self.appended
        if self.committed is not None:
            times["replicated"] = self.committed - self.appended
            times["applied"] = now - self.committed
        return {step: microseconds(seconds) for step, seconds in times.items()}


class Receipts:
    """The traces of one leader's term. `open` are those whose entries are in the log and whose steps are not all known."""

    def __init__(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        self.outbox = outbox
        self.clock = clock
        self.open: list[Trace] = []

    def begin(self) -> Trace:
        """A message that wants a receipt has arrived."""
        return Trace(self.clock())

    def recorded(self, trace: Trace, index: int) -> None:
        """Its last entry will have this index, if there is room for it."""
        trace.index = index
        self.open.append(trace)

    def appended(self) -> None:
        """What was recorded is in the log."""
        now = self.clock()
        for trace in self.open:
            if trace.appended is None:
                trace.appended = now

    def refused(self) -> None:
        """There was no room for what was recorded."""
        self.open = [trace for trace in self.open if trace.appended is not None]

    def moved(self, synced_index: int, commit_index: int) -> None:
        """The log is durable here, and committed, up to these indexes."""
        now = self.clock()
        for trace in self.open:
            if trace.synced is None and trace.index <= synced_index:
                trace.synced = now
            if trace.committed is None and trace.index <= commit_index:
                trace.committed = now
        self.open = [trace for trace in self.open if trace.synced is None or trace.committed is None]

    def send(
        self, origin: Origin, request: int, session: Session, first: int, results: Sequence[ResultAt], trace: Trace
    ) -> None:
        """Send the receipt of the commands from sequence `first` on, right before their results."""
        times, index = trace.microseconds(self.clock()), results[-1][0]
        send_receipt(self.outbox, origin, request, session, first, len(results), index=index, path=LOG, times=times)


def send_receipt(
    outbox: Outbox,
    origin: Origin,
    request: int,
    session: Session,
    first_sequence: int,
    count: int,
    *,
    index: int,
    path: str,
    times: dict[str, int],
) -> None:
    """Send one receipt, right before what it is about: `count` results or answers, of commands from `first_sequence` on.

    `times` are microseconds by step.
    """
    fields = {"index": index, "term": outbox.term, "replica": outbox.member, "path": path} | times
    body = msgpack.packb(fields)
    event_index = session.event_index
    outbox.answer(
        origin,
        frames.RECEIPT,
        request,
        session.id,
        body,
        count=count,
        first_sequence=first_sequence,
        event_index=event_index,
    )
