"""From a committed entry to its effect: session check, machine, result, released indexes.

Deterministic: the same entries give the same table, resources, results and releases on every replica. It reads entries
in place from the mapped segments and knows nothing of leaders, networks or clocks; time is the entries' own.

Rules kept here: each sequence of a session is spent once and in order, a repetition or a gap changes nothing; a handler that
raises gives its caller the error and loses its releases, timers and events; events come from entries alone, and are queued
in the order of their indexes, one batch for each index and session; nothing that an entry holds can crash a replica. The
limits of this process decide what it admits to the log, never what an entry in the log means.

A RELEASE entry without effect is released here: a repetition or a gap, of a session that is not open, for a resource that
does not exist or a command that it does not have, or when its handler raised. What took effect its machine releases, or
`delete` with the whole resource. Entries of every other kind and of SNAPSHOT commands are dead once a snapshot covers them.
How the state is put together from a snapshot and the live entries is in `restoring.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from . import openings
from .asking import answer_query
from .digest import Digest
from .ended import EndedSession, EndedSessions
from .errors import CannotDelete, MachineMissing
from .machines.base import Commit, StateMachine
from .machines.installed import Machines
from .publishing import Publishing
from .resource import Resource
from .results import OK_NIL, encode_error, encode_result
from .sessions import Session, SessionTable
from .timers import Timer, Timers
from .unasked import Unasked, check_releases

if TYPE_CHECKING:
    from .capture import Capture


class Executor:
    """The replicated state of one shard at `applied_index`.

    `active` is the version of each machine type that is in force, from its first opening on.

    `decoded` is a leader's gift to itself: operations it decoded when it accepted them, by log index. It must be cleared
    whenever the log may change under those indexes (on losing leadership). `touched`, `registered` (with the index of the
    entry), `ended` (with whether it expired) and `published` (to which events were published; a session may come more than
    once) collect the sessions that moved, for whoever answers clients, and are emptied by it. `capture` is a snapshot being
    taken, which is shown every session and resource before it changes.
    """

    def __init__(self, machines: Mapping[str, type[StateMachine]], *, nesting_max: int = 32) -> None:
        self.machines = machines if isinstance(machines, Machines) else Machines(machines.values())
        self.active: dict[str, int] = {}
        self.nesting_max = nesting_max
        self.applied_index = 0
        self.time = 0
        self.sessions = SessionTable()
        self.ended_records = EndedSessions()
        self.resources: dict[int, Resource] = {}
        self.by_name: dict[str, Resource] = {}
        self.timers = Timers()
        self.released: list[int] = []
        self.decoded: dict[int, list[Any]] = {}
        self.touched: list[Session] = []
        self.registered: list[tuple[int, Session]] = []
        self.ended: list[tuple[Session, bool]] = []
        self.published: list[Session] = []
        self.capture: Capture | None = None
        self.rolling = Digest()
        self._releases: list[int] = []
        self._publishing = Publishing(self.sessions)
        self._unasked = Unasked()
        self._handlers: dict[int, Callable[[int, Session, bytes], bytes | None]] = {
            RESOURCE: self._resource,
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
        """Apply the entries at these offsets of a segment, in log order. The hot loop of every replica.

        Raises MachineMissing at an entry that needs what is not installed; then this state is of no use any more.
        """
        unpack = HEADER.unpack_from
        session_of = self.sessions.get
        touched = self.touched
        latest: Session | None = None
        results: list[bytes] = []
        capture = self.capture
        run_command = self._run_command if capture is None else self._run_captured
        for offset in offsets:
            _, length, index, _, kind, mode, window, time, session_id, sequence = unpack(buffer, offset)
            assert index == self.applied_index + 1, f"entry {index} after {self.applied_index}"
            self.applied_index = index
            if time > self.time:
                self.time = time
                if self.timers.next_due is not None:
                    self._unasked.fire(self, index)
            start = offset + HEADER_BYTES
            if not sequence:
                self._apply_unsequenced(kind, index, session_id, bytes(buffer[start : start + length]))
                results.append(b"")
                continue
            session = session_of(session_id)
            if session is None or sequence != session.last + 1:
                self._drop(index, mode)
                results.append(b"")
                continue
            if capture is not None:
                capture.before_session(session)
            if kind == COMMAND:
                operation = self.decoded.pop(index, None) or bytes(buffer[start : start + length])
                result = run_command(index, mode, session_id, operation)
            else:
                answer = self._handlers[kind](index, session, bytes(buffer[start : start + length]))
                if answer is None:
                    results.append(b"")
                    continue
                result = answer
            results.append(result)
            session.last = sequence
            session.results[sequence] = (index, result)
            session.result_bytes += len(result)
            if sequence - window > session.acknowledged:
                session.acknowledge(sequence - window)
            if session is not latest:
                touched.append(session)
                latest = session
        publishing = self._publishing
        if publishing.gathered:
            self._queue_events()
        self.rolling.fold(results, self._releases, publishing.marks)
        self._releases.clear()
        publishing.marks.clear()

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
            return self._fail(index, mode, *resource.unknown("command", operation[1]))
        machine = resource.machine
        releases = machine.pending_releases
        try:
            value = handler(Commit(index, self.time, session_id), *operation[2:])
            result = OK_NIL if value is None else encode_result(value)
            if releases and (len(releases) > 1 or releases[0] > index):
                check_releases(releases, index)
        except MemoryError:
            raise  # this replica's trouble, not the entry's: as a result it would differ from the other replicas'
        except Exception as error:
            machine.forget_pending()
            return self._fail(index, mode, errors.MACHINE_ERROR, f"{type(error).__name__}: {error}")
        resource.kept += mode
        if machine.pending_timers:
            self.arm(resource, index, 0, self.time, owned=mode == RELEASE)
        if machine.pending_events:
            self._publish(resource, index)
        if releases:
            self._release(resource, index, releases)
        return result

    def _run_captured(self, index: int, mode: int, session_id: int, operation: bytes | list[Any]) -> bytes:
        """The same while a snapshot is being taken."""
        if isinstance(operation, bytes):
            try:
                operation = operations.decode(operation, None)
            except operations.BadOperation as error:
                return self._fail(index, mode, errors.BAD_OPERATION, str(error))
        resource = self.resources.get(operation[0])
        if self.capture is not None and resource is not None:
            self.capture.before_resource(resource)
        return self._run_command(index, mode, session_id, operation)

    def _fail(self, index: int, mode: int, code: int, text: str) -> bytes:
        """The result of a command without effect; nothing needs its entry."""
        if mode == RELEASE:
            self.released.append(index)
            self._releases += (index, index)
        return encode_error(code, text)

    def _release(self, resource: Resource, index: int, releases: list[int]) -> None:
        """What a machine has released by the entry at `index` is dead, and the timers that it owns are dropped."""
        self.released += releases
        self._releases.append(index)
        self._releases += releases
        resource.released += len(releases)
        if self.timers.owners:
            for released in releases:
                self.timers.drop_owned(released)
        releases.clear()

    def take_effect(self, resource: Resource, index: int, first_number: int) -> None:
        """What a timer or listener of the machine asked for, by the entry at `index`, happens; its timers count from there."""
        machine = resource.machine
        self.arm(resource, index, first_number, self.time, owned=False)
        if machine.pending_events:
            self._publish(resource, index)
        if machine.pending_releases:
            self._release(resource, index, machine.pending_releases)

    def _publish(self, resource: Resource, index: int) -> None:
        """What a machine has published by the entry at `index` joins what else that entry publishes."""
        publishing = self._publishing
        if publishing.gathered and publishing.index != index:
            self._queue_events()
        publishing.gather(index, resource.index, resource.machine.pending_events)
        resource.machine.pending_events.clear()

    def _queue_events(self) -> None:
        """The entry that published them is over, or what it has published must not wait any longer."""
        self.published += self._publishing.queue(self.capture)

    def run_query(self, session_id: int, data: bytes) -> bytes:
        """Run one query against the state as it is (asking.py); returns the encoded result and never raises."""
        return answer_query(self, session_id, data)

    @property
    def digest(self) -> bytes:
        """The rolling digest over everything applied up to `applied_index` (digest.py)."""
        return self.rolling.value()

    def live_counts(self) -> dict[int, int]:
        """How many entries each resource keeps alive, by its index, if its machine releases each of its own once."""
        return {index: resource.kept - resource.released for index, resource in self.resources.items()}

    def take_released(self) -> list[int]:
        """The indexes released since the last call, in the order they were released."""
        released, self.released = self.released, []
        return released

    def forget_moved(self) -> None:
        """Nobody answers clients here: drop the notes on which sessions moved, were registered or ended."""
        self.touched.clear()
        self.registered.clear()
        self.ended.clear()
        self.published.clear()

    def retire(self) -> None:
        """Another state takes the place of this one: as a cycle it would stay in memory for long."""
        self._handlers.clear()
        self._unsequenced.clear()

    # -- the rare kinds ------------------------------------------------------------------------------

    def _drop(self, index: int, mode: int) -> None:
        """A repetition, a gap, or a session that is not open: the entry has no effect and nothing needs it."""
        self.decoded.pop(index, None)
        if mode == RELEASE:
            self.released.append(index)
            self._releases += (index, index)

    def _apply_unsequenced(self, kind: int, index: int, session_id: int, payload: bytes) -> None:
        self.ended_records.forget(self.time)
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
            self._unasked.opened(self, index, session.id)

    def _keep_alive(self, index: int, payload: bytes) -> None:
        if self._publishing.gathered:
            self._queue_events()
        for session_id, acknowledged, handled in msgpack.unpackb(payload):
            session = self.sessions.get(session_id)
            if session is not None:
                if self.capture is not None:
                    self.capture.before_session(session)
                session.acknowledge(acknowledged)
                session.handle(handled)
                self.touched.append(session)

    def _void(self, index: int, session: Session, payload: bytes) -> bytes:
        return payload

    def _unregister(self, index: int, session: Session, payload: bytes) -> None:
        """The client's own end of its session spends a sequence too, but leaves no result behind."""
        session.last += 1
        self._end(index, session, expired=False)

    def _end(self, index: int, session: Session, *, expired: bool) -> None:
        publishing = self._publishing
        if publishing.gathered:
            if publishing.index != index:
                self._queue_events()
            publishing.gathered.pop(session, None)
        self.sessions.end(session.id)
        # A client's own end has spent a sequence that leaves no result.
        last = session.last if expired else session.last - 1
        self.ended_records.add(EndedSession.of(session, last, self.time))
        self.ended.append((session, expired))
        self._unasked.ended(self, index, session.id, expired=expired)

    def _resource(self, index: int, session: Session, payload: bytes) -> bytes:
        try:
            return openings.apply(self, index, payload)
        except MachineMissing:
            self.applied_index = index - 1  # the state is of no use now, and says at least how far it came
            raise

    def delete(self, resource: Resource, index: int) -> None:
        """Delete a resource by the entry at `index`: its live entries are released, its timers dropped.

        The machine tells which entries those are; reading every live entry of the log to see whose it is would stop
        the replica for as long as that takes. Raises CannotDelete if the machine cannot tell, and changes nothing then.
        """
        machine = resource.machine
        if not hasattr(machine, "live_entries"):
            if any(operation.mode == RELEASE for operation in machine.operations.values()):
                raise CannotDelete(f"a {resource.type_name} does not tell its live entries")
            live = []
        else:
            live = sorted(machine.live_entries())
        if self.capture is not None:
            self.capture.before_resource(resource)
        self._unasked.deleted(self, index, resource)
        del self.resources[resource.index]
        del self.by_name[resource.name]
        self.timers.drop_resource(resource.index)
        if live:
            self._release(resource, index, live)

    # -- timers --------------------------------------------------------------------------------------

    def arm(self, resource: Resource, index: int, first_number: int, time: int, *, owned: bool) -> None:
        """Arm what a machine has scheduled by the entry at `index`, of log time `time`; an entry may own it."""
        timers = resource.machine.pending_timers
        for number, (due, method, arguments) in enumerate(timers, first_number):
            # A due time lies after its arming entry's time, or the timer would fire within the entry that armed it.
            timer = Timer(max(due, time + 1), index, number, resource.index, method, arguments)
            # While restoring, log time is the snapshot's: what was due until then has fired before it was taken.
            if timer.due > self.time:
                self.timers.arm(timer, owned=owned)
        timers.clear()
