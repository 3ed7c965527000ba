"""Histories of a shard, written step by step, and the state of it rebuilt at any index from a log with holes.

A step is a tuple: what happens, who does it, with which arguments. `History` turns steps into entries and applies them
one by one; `Snapshot` is what it captured at an index while it went on; `Snapshot.rebuild` starts a replica from that and
from what is left of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import msgpack

from ...client.protocol import errors, operations
from ...log.entry import (
    COMMAND,
    HEADER,
    KEEP_ALIVE,
    NOOP,
    REGISTER,
    RELEASE,
    RESOURCE,
    SNAPSHOT,
    UNREGISTER,
    VOID,
    Record,
    encode,
)
from ..capture import Capture
from ..executor import Executor
from ..machines.base import StateMachine
from ..resource import Resource
from ..restoring import install_state
from ..results import encode_error

START_MS = 1_700_000_000_000
Step = tuple[Any, ...]


class AuditedExecutor(Executor):
    """Lets no machine release an entry twice or one that is not its own.

    `live` is the live set as the log keeps it: the RELEASE entries that were not released. `owners` says whose they are.
    """

    def __init__(self, machines: Mapping[str, type[StateMachine]]) -> None:
        super().__init__(machines)
        self.live: set[int] = set()
        self.owners: dict[int, int] = {}

    def take(self, entries: Sequence[bytes]) -> None:
        """Apply entries as a replica does, all in one buffer."""
        self.apply(*buffer_of(entries))
        for entry in entries:
            _, _, index, _, _, mode, *_ = HEADER.unpack_from(entry)
            if mode == RELEASE:
                self.live.add(index)
        self.live.difference_update(self.take_released())
        self.forget_moved()

    def _run_command(self, index: int, mode: int, session_id: int, operation: Any) -> bytes:
        if mode == RELEASE:
            self.owners[index] = (operations.decode(operation) if type(operation) is bytes else operation)[0]
        return super()._run_command(index, mode, session_id, operation)

    def _fail(self, index: int, mode: int, code: int, text: str) -> bytes:
        self.owners.pop(index, None)
        return super()._fail(index, mode, code, text)

    def _release(self, resource: Resource, index: int, releases: list[int]) -> None:
        for released in releases:
            owner = self.owners.pop(released, None)
            assert owner == resource.index, f"entry {index}: {resource.name} releases {released}, live for {owner}"
        super()._release(resource, index, releases)

    def audit(self) -> None:
        """Every live entry is somebody's, who knows it, and the counts are right."""
        assert self.live == set(self.owners), f"live are {sorted(self.live)}, of a resource {sorted(self.owners)}"
        live: dict[int, list[int]] = {index: [] for index in self.resources}
        for index, owner in sorted(self.owners.items()):
            live[owner].append(index)
        assert {index: len(entries) for index, entries in live.items()} == self.live_counts()
        for index, resource in self.resources.items():
            if hasattr(resource.machine, "live_entries"):
                told = sorted(resource.machine.live_entries())
                assert told == live[index], f"{resource.name} is in the entries {told}, and {live[index]} are live"


def facts_of(executor: AuditedExecutor) -> dict[str, Any]:
    """Everything that must be the same on a replica that was rebuilt."""
    capture = Capture(executor)
    while not capture.step():
        pass
    return {
        "index": executor.applied_index,
        "time": executor.time,
        "digest": executor.digest,
        "live": sorted(executor.live),
        "timers of entries": sorted(executor.timers.owned()),
        "other timers": sorted(executor.timers.unowned()),
        "next due": executor.timers.next_due,
        "sessions": [
            (s.id, s.client_id, s.key, s.timeout_ms, s.last, s.acknowledged, list(s.results.items()), s.result_bytes)
            for s in executor.sessions
        ],
        "events": [
            (s.id, s.event_index, s.handled, list(s.events), s.event_count, s.event_bytes) for s in executor.sessions
        ],
        "ended": executor.ended_records.records(),
        "resources": [(r.index, r.name, r.kept, r.released, _state(r.machine)) for r in executor.resources.values()],
        "names": sorted(executor.by_name),
        "pieces": capture.pieces,
    }


def _state(machine: StateMachine) -> str:
    """All that a machine holds, in its order."""
    return repr(sorted(vars(machine).items()))


class Snapshot:
    """The state at `index`, as it was captured and as it was."""

    def __init__(self, executor: AuditedExecutor) -> None:
        self.executor = executor
        self.index = executor.applied_index
        self.facts = facts_of(executor)
        self.live = set(executor.live)
        self.owners = dict(executor.owners)
        self.capture = Capture(executor)

    def without(self, index: int) -> Snapshot:
        """The same, without the live entry at `index`: as if its machine had released it, which may be its fault or not."""
        other = copy(self)
        other.live, other.owners = self.live - {index}, {at: who for at, who in self.owners.items() if at != index}
        return other

    def rebuild(
        self,
        log: Mapping[int, bytes],
        *,
        machines: Mapping[str, type[StateMachine]] | None = None,
        slices: Sequence[int] = (),
    ) -> AuditedExecutor:
        """A new replica out of the snapshot and what is left of the log; entries are restored in slices of these sizes."""
        while not self.capture.step():
            pass
        executor = type(self.executor)(self.executor.machines if machines is None else machines)
        restoring = install_state(executor, self.index, self.capture.pieces)
        entries = [log[index] for index in sorted(self.live)]
        for size in slices:
            restoring.restore(*buffer_of(entries[:size]))
            entries = entries[size:]
        restoring.restore(*buffer_of(entries))
        restoring.finish()
        assert restoring.restored == len(self.live)
        executor.live = set(self.live)
        executor.owners = dict(self.owners)
        return executor


def buffer_of(entries: Sequence[bytes]) -> tuple[memoryview, list[int]]:
    """Entries as they stand in a segment, and where each begins."""
    offsets, end = [], 0
    for entry in entries:
        offsets.append(end)
        end += len(entry)
    return memoryview(b"".join(entries)), offsets


class History:
    """A shard with two sessions (0 and 1) and one resource of each of `types`, and its whole log."""

    def __init__(
        self,
        types: Sequence[str],
        *,
        machines: Mapping[str, type[StateMachine]],
        executor: type[AuditedExecutor] = AuditedExecutor,
    ) -> None:
        self.executor = executor(machines)
        self.log: dict[int, bytes] = {}
        self.time = START_MS
        self.captures: list[Capture] = []
        self.pace = 1
        """So many entries are applied for every row that a capture under way writes."""
        self.resources: dict[str, int] = {}
        self._sessions: list[int] = [0, 0]
        self._sequences: list[int] = [0, 0]
        self._registered = 0
        self._last: Record | None = None
        for number in (0, 1):
            self.step(("register", number))
        for name in types:
            record = (RESOURCE, SNAPSHOT, 1, *self._spend(0), operations.encode([0, operations.OPEN, name, name]))
            self.resources[name] = self._add(record)

    @property
    def last_index(self) -> int:
        """The index of the last entry."""
        return len(self.log)

    def run(self, steps: Iterable[Step]) -> History:
        """All the steps."""
        for step in steps:
            self.step(step)
        return self

    def step(self, step: Step) -> None:
        """One step: an entry that is applied at once, and a row more for every capture that is under way."""
        kind, *arguments = step
        record = getattr(self, f"_{kind}")(*arguments)
        if record is not None:
            self._add(record)

    def _add(self, record: Record) -> int:
        index = len(self.log) + 1
        data, _ = encode(index, 1, self.time, [record])
        self.log[index] = data
        self.executor.take([data])
        if index % self.pace == 0:
            self.captures = [capture for capture in self.captures if not capture.step(rows_max=1)]
        return index

    def snapshot(self) -> Snapshot:
        """The state as it is now; it is written while the history goes on."""
        self._end_captures()
        snapshot = Snapshot(self.executor)
        self.captures = [snapshot.capture]
        return snapshot

    def facts(self) -> dict[str, Any]:
        """What must be the same elsewhere."""
        self._end_captures()
        return facts_of(self.executor)

    def _end_captures(self) -> None:
        captures, self.captures = self.captures, []
        for capture in captures:
            while not capture.step():
                pass

    def apply_rest(self, executor: AuditedExecutor, last: int | None = None) -> AuditedExecutor:
        """Apply to another replica what it lacks."""
        last = self.last_index if last is None else last
        executor.take([self.log[index] for index in range(executor.applied_index + 1, last + 1)])
        return executor

    # -- steps -----------------------------------------------------------------------------------------

    def _spend(self, session: int) -> tuple[int, int]:
        self._sequences[session] += 1
        return self._sessions[session], self._sequences[session]

    def _register(self, session: int) -> Record:
        """A new session takes the place; the old one, if it is open, is left alone."""
        self._registered += 1
        self._sessions[session] = len(self.log) + 1
        self._sequences[session] = 0
        key = self._registered.to_bytes(16, "big")
        return (REGISTER, SNAPSHOT, 0, 0, 0, msgpack.packb([f"client-{session}", key, 30_000]))

    def _command(self, session: int, type_name: str, name: str, *arguments: Any, window: int = 2) -> Record:
        data = operations.encode([self.resources[type_name], name, *arguments])
        declared = self.executor.machines[type_name].operations.get(name)
        mode = RELEASE if declared is None or declared.mode is None else declared.mode
        self._last = (COMMAND, mode, window, *self._spend(session), data)
        return self._last

    def _again(self) -> Record | None:
        """The last command comes once more, as a client that heard no answer sends it."""
        return self._last

    def _gap(self, session: int, type_name: str, name: str, *arguments: Any) -> Record:
        record = self._command(session, type_name, name, *arguments)
        self._sequences[session] -= 1
        return (*record[:4], record[4] + 5, record[5])

    def _nowhere(self, session: int) -> Record:
        """A command for a resource that nobody created."""
        return (COMMAND, RELEASE, 1, *self._spend(session), operations.encode([10**6, "put", b"k", b"v"]))

    def _void(self, session: int) -> Record:
        return (VOID, SNAPSHOT, 1, *self._spend(session), encode_error(errors.VOIDED, "gave up"))

    def _acknowledge(self, session: int, behind: int) -> Record:
        moved = [(self._sessions[session], max(0, self._sequences[session] - behind), 0)]
        return (KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb(moved))

    def _handled(self, session: int, behind: int) -> Record | None:
        """The client says it has handled its events, but for so many batches."""
        known = self.executor.sessions.get(self._sessions[session])
        if known is None or len(known.events) <= behind:
            return None
        handled = known.events[-1 - behind].index
        return (KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(known.id, 0, handled)]))

    def _close(self, session: int) -> Record:
        return (UNREGISTER, SNAPSHOT, 1, *self._spend(session), b"")

    def _expire(self, session: int) -> Record:
        return (UNREGISTER, SNAPSHOT, 0, self._sessions[session], 0, b"")

    def _noop(self) -> Record:
        return (NOOP, SNAPSHOT, 0, 0, 0, b"")

    def _wait(self, pass_ms: int) -> None:
        """The next entry is so much later."""
        self.time += pass_ms


def compacted(log: Mapping[int, bytes], snapshot: Snapshot, gone: Iterable[int]) -> dict[int, bytes]:
    """What is left when of the entries `gone` those are removed that may be: at or below the snapshot, and dead in it."""
    removed = {index for index in gone if index <= snapshot.index and index not in snapshot.live}
    return {index: entry for index, entry in log.items() if index not in removed}
