"""From a committed entry to its effect: session check, machine, result, released indexes.

Deterministic: the same entries give the same table, resources, results and releases on every replica. It reads
entries in place from the mapped segments and knows nothing of leaders, networks or clocks; time is the entries' own.

Rules kept here: each sequence of a session is spent once and in order, a repetition or a gap changes nothing; a
handler that raises gives its caller the error and loses its releases and timers; nothing that an entry holds can
crash a replica. What the limits of this process are decides what it admits to the log, never what an entry in the log
means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from ..client.protocol import errors, operations
from ..log.entry import (
    COMMAND,
    CONFIGURATION,
    HEADER,
    HEADER_BYTES,
    KEEP_ALIVE,
    NOOP,
    REGISTER,
    RELEASE,
    RESOURCE,
    TICK,
    UNREGISTER,
    VOID,
)
from .machines.base import Commit, StateMachine
from .results import OK_NIL, encode_error, encode_result
from .sessions import Session, SessionTable
from .timers import Timer, Timers

Handler = Callable[..., Any]

UNASKED_TIMERS_FIRST = 1 << 32
"""Timers and listeners number what they arm from here on, so that an entry's own timers are 0, 1, 2... whatever else
happens at its index: they keep their numbers when the entry alone is restored."""


class Resource:
    """One resource of the shard: named by the index that created it; a deleted and re-created name is another one."""

    __slots__ = ("commands", "index", "machine", "name", "operations", "queries", "type_name")

    def __init__(self, index: int, name: str, machine: StateMachine) -> None:
        self.index = index
        self.name = name
        self.machine = machine
        self.type_name = machine.type_name
        self.operations = machine.operations
        self.commands: dict[str, Handler] = {}
        self.queries: dict[str, Handler] = {}
        for operation_name, operation in machine.operations.items():
            table = self.queries if operation.mode is None else self.commands
            table[operation_name] = operation.function.__get__(machine)


class Executor:
    """The replicated state of one shard at `applied_index`.

    `decoded` is a leader's gift to itself: operations it decoded when it accepted them, by log index. It must be cleared
    whenever the log may change under those indexes (on losing leadership). `touched`, `registered` (with the index of the
    entry) and `ended` (with whether it expired) collect the sessions that moved, for whoever answers clients, and are
    emptied by it.
    """

    def __init__(self, machines: Mapping[str, type[StateMachine]], *, nesting_max: int = 32) -> None:
        self.machines = machines
        self.nesting_max = nesting_max
        self.applied_index = 0
        self.time = 0
        self.sessions = SessionTable()
        self.resources: dict[int, Resource] = {}
        self.by_name: dict[str, Resource] = {}
        self.timers = Timers()
        self.released: list[int] = []
        self.decoded: dict[int, list[Any]] = {}
        self.touched: list[Session] = []
        self.registered: list[tuple[int, Session]] = []
        self.ended: list[tuple[Session, bool]] = []
        self._unasked_timers = (0, UNASKED_TIMERS_FIRST)
        self._handlers: dict[int, Callable[[int, Session, bytes], bytes | None]] = {
            RESOURCE: self._open_resource,
            VOID: self._void,
            UNREGISTER: self._unregister,
        }
        self._unsequenced: dict[int, Callable[[int, bytes], None]] = {
            NOOP: self._nothing,
            CONFIGURATION: self._nothing,
            TICK: self._nothing,
            REGISTER: self._register,
            KEEP_ALIVE: self._keep_alive,
        }

    def apply(self, buffer: memoryview, offsets: Sequence[int]) -> None:
        """Apply the entries at these offsets of a segment, in log order. The hot loop of every replica."""
        unpack = HEADER.unpack_from
        session_of = self.sessions.get
        touched = self.touched
        latest: Session | None = None
        for offset in offsets:
            _, length, index, _, kind, mode, window, time, session_id, sequence = unpack(buffer, offset)
            assert index == self.applied_index + 1, f"entry {index} after {self.applied_index}"
            self.applied_index = index
            if time > self.time:
                self.time = time
                if self.timers.next_due is not None:
                    self._fire(index)
            start = offset + HEADER_BYTES
            if not sequence:
                self._apply_unsequenced(kind, index, session_id, bytes(buffer[start : start + length]))
                continue
            session = session_of(session_id)
            if session is None or sequence != session.last + 1:
                self._drop(index, mode)
                continue
            if kind == COMMAND:
                operation = self.decoded.pop(index, None) or bytes(buffer[start : start + length])
                result = self._run_command(index, mode, session_id, operation)
            else:
                answer = self._handlers[kind](index, session, bytes(buffer[start : start + length]))
                if answer is None:
                    continue
                result = answer
            session.last = sequence
            session.results[sequence] = (index, result)
            session.result_bytes += len(result)
            if sequence - window > session.acknowledged:
                session.acknowledge(sequence - window)
            if session is not latest:
                touched.append(session)
                latest = session

    def _run_command(self, index: int, mode: int, session_id: int, operation: bytes | list[Any]) -> bytes:
        """Run one command on its machine; returns the encoded result. Never raises on what the operation holds."""
        if isinstance(operation, bytes):
            try:
                operation = operations.decode(operation, None)
            except operations.BadOperation as error:
                return self._fail(index, mode, errors.BAD_OPERATION, str(error))
        resource = self.resources.get(operation[0])
        if resource is None:
            text = f"no resource was created at index {operation[0]}"
            return self._fail(index, mode, errors.UNKNOWN_RESOURCE, text)
        handler = resource.commands.get(operation[1])
        if handler is None:
            text = f"a {resource.type_name} has no command {operation[1]!r:.60}"
            return self._fail(index, mode, errors.UNKNOWN_OPERATION, text)
        machine = resource.machine
        try:
            value = handler(Commit(index, self.time, session_id), *operation[2:])
            result = OK_NIL if value is None else encode_result(value)
        except MemoryError:
            raise  # this replica's trouble, not the entry's: as a result it would differ from the other replicas'
        except Exception as error:
            machine.forget_pending()
            return self._fail(index, mode, errors.MACHINE_ERROR, f"{type(error).__name__}: {error}")
        if machine.pending_releases:
            self.released += machine.pending_releases
            machine.pending_releases.clear()
        if machine.pending_timers:
            self._arm(resource, index, 0)
        return result

    def _fail(self, index: int, mode: int, code: int, text: str) -> bytes:
        """The result of a command without effect; nothing needs its entry."""
        if mode == RELEASE:
            self.released.append(index)
        return encode_error(code, text)

    def run_query(self, session_id: int, data: bytes) -> bytes:
        """Run one query against the state as it is; returns the encoded result. Never raises on what it holds."""
        try:
            operation = operations.decode(data, self.nesting_max)
        except operations.BadOperation as error:
            return encode_error(errors.BAD_OPERATION, str(error))
        resource = self.resources.get(operation[0])
        if resource is None:
            return encode_error(errors.UNKNOWN_RESOURCE, f"no resource was created at index {operation[0]}")
        handler = resource.queries.get(operation[1])
        if handler is None:
            return encode_error(errors.UNKNOWN_OPERATION, f"a {resource.type_name} has no query {operation[1]!r:.60}")
        refusal = resource.operations[operation[1]].refusal(operation[2:])
        if refusal:
            return encode_error(errors.BAD_OPERATION, refusal)
        machine = resource.machine
        try:
            result = encode_result(handler(Commit(self.applied_index, self.time, session_id), *operation[2:]))
        except Exception as error:
            result = encode_error(errors.MACHINE_ERROR, f"{type(error).__name__}: {error}")
        if machine.pending_releases or machine.pending_timers:
            # Left in place they would take effect with the next command, and on this replica only.
            machine.forget_pending()
            text = f"query {operation[1]} of {resource.type_name} may not release or schedule"
            result = encode_error(errors.MACHINE_ERROR, text)
        return result

    def take_released(self) -> list[int]:
        """The indexes released since the last call, in the order they were released."""
        released, self.released = self.released, []
        return released

    def forget_moved(self) -> None:
        """Nobody answers clients here: drop the notes on which sessions moved, were registered or ended."""
        self.touched.clear()
        self.registered.clear()
        self.ended.clear()

    # -- the rare kinds ------------------------------------------------------------------------------

    def _drop(self, index: int, mode: int) -> None:
        """A repetition, a gap, or a session that is not open: the entry has no effect and nothing needs it."""
        self.decoded.pop(index, None)
        if mode == RELEASE:
            self.released.append(index)

    def _apply_unsequenced(self, kind: int, index: int, session_id: int, payload: bytes) -> None:
        if kind == UNREGISTER:
            session = self.sessions.get(session_id)
            if session is not None:
                self._end(index, session, expired=True)
            return
        handler = self._unsequenced.get(kind)
        assert handler is not None, f"entry {index} is of kind {kind} and has no sequence"
        handler(index, payload)

    def _nothing(self, index: int, payload: bytes) -> None:
        """No-op, configuration and tick entries move index and time only."""

    def _register(self, index: int, payload: bytes) -> None:
        client_id, key, timeout_ms = msgpack.unpackb(payload, raw=False)
        session, new = self.sessions.register(index, client_id, key, timeout_ms)
        self.registered.append((index, session))
        if new:
            self._tell_machines("session_opened", index, session.id)

    def _keep_alive(self, index: int, payload: bytes) -> None:
        for session_id, acknowledged in msgpack.unpackb(payload):
            session = self.sessions.get(session_id)
            if session is not None:
                session.acknowledge(acknowledged)
                self.touched.append(session)

    def _void(self, index: int, session: Session, payload: bytes) -> bytes:
        return payload

    def _unregister(self, index: int, session: Session, payload: bytes) -> None:
        """The client's own end of its session spends a sequence too, but leaves no result behind."""
        session.last += 1
        self._end(index, session, expired=False)

    def _end(self, index: int, session: Session, *, expired: bool) -> None:
        self.sessions.end(session.id)
        self.ended.append((session, expired))
        self._tell_machines("session_expired" if expired else "session_closed", index, session.id)

    def _tell_machines(self, listener: str, index: int, session_id: int) -> None:
        commit = Commit(index, self.time, session_id)
        for resource in self.resources.values():
            method = getattr(resource.machine, listener, None)
            if method is not None:
                self._run_unasked(resource, index, method, commit)

    def _open_resource(self, index: int, session: Session, payload: bytes) -> bytes:
        _, _, name, type_name = operations.decode(payload, None)
        known = self.by_name.get(name)
        if known is not None:
            if known.type_name == type_name:
                return encode_result(known.index)
            return encode_error(errors.WRONG_TYPE, f"{name!r} is a {known.type_name}, not a {type_name}")
        machine = self.machines.get(type_name)
        if machine is None:
            return encode_error(errors.UNKNOWN_TYPE, f"no machine of type {type_name!r} is installed")
        resource = Resource(index, name, machine())
        self.resources[index] = resource
        self.by_name[name] = resource
        return encode_result(index)

    # -- timers --------------------------------------------------------------------------------------

    def _arm(self, resource: Resource, index: int, first_number: int) -> None:
        for number, (due, method, arguments) in enumerate(resource.machine.pending_timers, first_number):
            # A due time lies after its arming entry's time, or the timer would fire within the entry that armed it.
            self.timers.arm(Timer(max(due, self.time + 1), index, number, resource.index, method, arguments))
        resource.machine.pending_timers.clear()

    def _fire(self, index: int) -> None:
        """Fire what is due at the new log time, before the entry at `index` that moved it."""
        while (timer := self.timers.pop_due(self.time)) is not None:
            resource = self.resources.get(timer.resource)
            if resource is not None:
                method = getattr(resource.machine, timer.method)
                self._run_unasked(resource, index, method, Commit(index, self.time, 0), *timer.arguments)

    def _run_unasked(self, resource: Resource, index: int, method: Handler, *arguments: Any) -> None:
        """A listener or timer: nobody waits for its result; if it raises, its releases and timers are dropped."""
        machine = resource.machine
        try:
            method(*arguments)
        except MemoryError:
            raise
        except Exception:
            machine.forget_pending()
            return
        self.released += machine.pending_releases
        machine.pending_releases.clear()
        at, number = self._unasked_timers
        if at != index:
            number = UNASKED_TIMERS_FIRST
        self._unasked_timers = (index, number + len(machine.pending_timers))
        self._arm(resource, index, number)
