"""The state of a shard out of a snapshot: what its pieces hold, then the live entries in index order.

Restoring an entry is not applying it. It is live, so its effect is in the state: every condition is taken as met, nothing
is answered, published, counted or digested, no timer fires. It may arm timers, which get the numbers they had; those that
were due at the snapshot's time have fired and are left out. A snapshot comes from a file or from a peer, so nothing in it is
believed: a count, a type, an order or an entry that is not as it must be raises StateMismatch, and the executor is of no
use then.

A machine whose type or version is not installed here ends it with MachineMissing: without it nothing can be applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..client.protocol import operations
from ..log.entry import COMMAND, HEADER, HEADER_BYTES, RELEASE
from .digest import DIGEST_BYTES
from .errors import MachineMissing, StateMismatch
from .executor import Executor
from .machines.base import Commit, StateMachine
from .pieces import ENDED, FORMAT_VERSION, HEAD, KINDS, RESOURCES, SESSIONS, TIMERS, fields_of, read_piece, unpack
from .resource import Handler, Resource
from .restoring_sessions import SessionRows
from .timers import Timer


class Restoring:
    """Gives a new executor the state at `index`: `install` every piece, `restore` every live entry, then `finish`.

    Each of them does what it is given and no more, so the caller decides how much a turn takes. Until `finish` the
    state is of no index: it may not be asked, and `executor.applied_index` stays 0. `restored` counts the entries.
    """

    def __init__(self, executor: Executor, index: int) -> None:
        assert executor.applied_index == 0, f"the executor has applied entries up to {executor.applied_index}"
        self.executor = executor
        self.index = index
        self.restored = 0
        self._last = 0
        self._restorers: dict[int, tuple[Resource, dict[str, Handler]]] = {}
        self._kind = HEAD
        self._expected = dict.fromkeys(KINDS, 0) | {HEAD: 1}
        self._sessions = SessionRows(executor, index)
        self._last_resource = 0
        self._last_timer = (0, 0, 0)
        self._handlers: dict[int, Callable[[Any], None]] = {
            HEAD: self._install_head,
            SESSIONS: self._install_session,
            RESOURCES: self._install_resource,
            TIMERS: self._install_timer,
            ENDED: self._install_ended,
        }

    # -- the pieces ----------------------------------------------------------------------------------

    def install(self, piece: bytes | memoryview) -> None:
        """Take the next piece. Raises StateMismatch."""
        kind, rows = read_piece(piece)
        if kind < self._kind or (kind != self._kind and self._sessions.missing):
            raise StateMismatch(f"a piece of kind {kind} after one of kind {self._kind}")
        self._kind = kind
        handler = self._handlers[kind]
        for row in rows:
            handler(row)

    def _count(self, kind: int, what: str) -> None:
        if not self._expected[kind]:
            raise StateMismatch(f"more {what} than the head of the snapshot counts")
        self._expected[kind] -= 1

    def _install_head(self, row: Any) -> None:
        self._count(HEAD, "heads")
        if type(row) is list and row and type(row[0]) is int and row[0] != FORMAT_VERSION:
            age = "a newer" if row[0] > FORMAT_VERSION else "an older"
            raise StateMismatch(f"its pieces are of format {row[0]}, of {age} Ocelog; this one reads {FORMAT_VERSION}")
        fields = fields_of(row, "the head", int, int, int, bytes, int, int, int, int, list)
        _, index, time, digest, sessions, resources, timers, ended, active = fields
        if index != self.index or len(digest) != DIGEST_BYTES:
            text = f"the pieces are of entry {index} with a digest of {len(digest)} bytes"
            raise StateMismatch(text, index=self.index)
        self._expected |= {SESSIONS: sessions, RESOURCES: resources, TIMERS: timers, ENDED: ended}
        self.executor.time = time
        self.executor.rolling.adopt(digest)
        for pair in active:
            type_name, version = fields_of(pair, "an active version", str, int)
            self.executor.active[type_name] = version

    def _install_session(self, row: Any) -> None:
        if self._sessions.session(row):
            self._count(SESSIONS, "sessions")

    def _install_ended(self, row: Any) -> None:
        if self._sessions.ended(row):
            self._count(ENDED, "ended sessions")

    def _install_resource(self, row: Any) -> None:
        self._count(RESOURCES, "resources")
        index, name, type_name, version, kept, released, state = fields_of(
            row, "a resource", int, str, str, int, int, int, None
        )
        executor = self.executor
        if not self._last_resource < index <= self.index or name in executor.by_name:
            raise StateMismatch(f"resource {name!r:.60} of entry {index}, after {self._last_resource}")
        if state is not None and type(state) is not bytes:
            raise StateMismatch(f"the state of resource {name!r:.60} is {state!r:.60}")
        self._last_resource = index
        if executor.active.get(type_name) != version:
            active = executor.active.get(type_name)
            raise StateMismatch(f"resource {name!r:.60} is of version {version}, and {active} is in force")
        kind = executor.machines.find(type_name, version)
        if kind is None:
            raise MachineMissing(type_name, version, executor.machines.versions(type_name), index=index)
        machine = _machine(kind, state)
        resource = Resource(index, name, machine, type_name, version)
        resource.kept, resource.released = kept, released
        executor.resources[index] = executor.by_name[name] = resource

    def _install_timer(self, row: Any) -> None:
        self._count(TIMERS, "timers")
        due, armed_at, number, index, method, arguments = fields_of(row, "a timer", int, int, int, int, str, list)
        executor = self.executor
        resource = executor.resources.get(index)
        if resource is None or armed_at > self.index or not self._last_timer < (due, armed_at, number):
            raise StateMismatch(
                f"a timer of resource {index}, due at {due}, armed at entry {armed_at} as number {number}, "
                f"after {self._last_timer}"
            )
        self._last_timer = (due, armed_at, number)
        timer = Timer(due, armed_at, number, index, method, tuple(arguments))
        machine = resource.machine
        if due <= executor.time or not callable(getattr(machine, method, None)):
            raise StateMismatch(f"a timer of {method!r:.60} of a {resource.type_name}, due at {due} of {executor.time}")
        else:
            executor.timers.arm(timer, owned=False)

    # -- the live entries ----------------------------------------------------------------------------

    def restore(self, buffer: memoryview, offsets: Sequence[int]) -> None:
        """Restore the live entries at these offsets of a segment, in log order. The hot loop of every start."""
        self._check_complete()
        last, until = self._last, self.index
        unpack = HEADER.unpack_from
        decode = operations.decode
        restorers = self._restorers
        index = 0
        try:
            for offset in offsets:
                _, length, index, _, kind, mode, _, time, session, _ = unpack(buffer, offset)
                if kind != COMMAND or mode != RELEASE or not last < index <= until:
                    text = f"it is of kind {kind} and mode {mode}, after entry {last}, of {until}"
                    raise StateMismatch(text, index=index)
                last = index
                start = offset + HEADER_BYTES
                operation = decode(bytes(buffer[start : start + length]), None)
                resource, table = restorers.get(operation[0]) or self._restorers_of(operation[0], index)
                restorer = table.get(operation[1])
                if restorer is None:
                    text = f"it is live, and a {resource.type_name} has no RELEASE command {operation[1]!r:.60}"
                    raise StateMismatch(text, index=index)
                restorer(Commit(index, time, session), *operation[2:])
                machine = resource.machine
                if machine.pending_timers:
                    self.executor.arm(resource, index, 0, time, owned=True)
                if machine.pending_releases:
                    text = f"restoring {operation[1]} releases {machine.pending_releases[:3]}"
                    raise StateMismatch(text, index=index)
        except (MemoryError, StateMismatch):
            raise
        except Exception as error:
            raise StateMismatch(f"{type(error).__name__}: {error}", index=index) from error
        for resource, _ in restorers.values():
            resource.machine.pending_events.clear()  # the sessions got them when the entries were applied
        self._last = last
        self.restored += len(offsets)

    def _restorers_of(self, resource_index: int, index: int) -> tuple[Resource, dict[str, Handler]]:
        resource = self.executor.resources.get(resource_index)
        if resource is None:
            raise StateMismatch(f"it is live, and of a resource {resource_index} that does not exist", index=index)
        found = self._restorers[resource_index] = (resource, resource.restorers())
        return found

    def _check_complete(self) -> None:
        """All that the head counts has come."""
        missing = {kind: count for kind, count in self._expected.items() if count}
        if missing or self._sessions.missing:
            unfinished = f", {self._sessions.missing} are missing" if self._sessions.missing else ""
            raise StateMismatch(f"pieces are missing: of each kind {missing} rows{unfinished}", index=self.index)

    def finish(self) -> None:
        """Everything is restored: the executor's state is that of the snapshot's index from here on."""
        self._check_complete()
        for resource in self.executor.resources.values():
            machine = resource.machine
            if hasattr(machine, "restored"):
                try:
                    machine.restored()
                except MemoryError:
                    raise
                except Exception as error:
                    text = f"restored() of {resource.name!r}, a {resource.type_name}: {type(error).__name__}: {error}"
                    raise StateMismatch(text) from error
                if machine.pending_releases or machine.pending_timers or machine.pending_events:
                    text = f"restored() of {resource.name!r}, a {resource.type_name}, releases, schedules or publishes"
                    raise StateMismatch(text)
        self.executor.applied_index = self.index
        self.abandon()

    def abandon(self) -> None:
        """It is over, or given up: let go of the executor, which as part of a cycle would stay in memory for long."""
        self._handlers.clear()


def install_state(executor: Executor, index: int, pieces: Iterable[bytes | memoryview]) -> Restoring:
    """Give a new executor all that the pieces of the snapshot at `index` hold; the live entries come next."""
    restoring = Restoring(executor, index)
    for piece in pieces:
        restoring.install(piece)
    return restoring


def _machine(kind: type[StateMachine], state: bytes | None) -> StateMachine:
    """The machine with its state."""
    type_name = kind.type_name
    if (state is not None) != hasattr(kind, "snapshot"):
        raise StateMismatch(f"a {type_name} has {'a state' if state is not None else 'no state'} in the snapshot")
    try:
        machine = kind()
        if state is not None:
            machine.install(unpack(state))  # type: ignore[attr-defined]
    except MemoryError:
        raise
    except Exception as error:
        raise StateMismatch(f"install() of a {type_name}: {type(error).__name__}: {error}") from error
    if machine.pending_releases or machine.pending_timers or machine.pending_events:
        raise StateMismatch(f"install() of a {type_name} releases, schedules or publishes")
    return machine
