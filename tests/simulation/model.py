"""What the committed log means, written a second time: sessions, resources and results as plain dictionaries.

It shares no code with the executor and takes one entry at a time, so every replica can be compared with it at every index,
wherever that replica happened to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
from ocelog.client.protocol import errors
from ocelog.client.protocol.operations import DELETE
from ocelog.log.entry import COMMAND, HEADER, HEADER_BYTES, KEEP_ALIVE, REGISTER, RESOURCE, UNREGISTER, VOID
from ocelog.shard.executor import Executor
from ocelog.shard.machines.listeners import Listeners
from ocelog.shard.machines.map import MapMachine

from .leases import LeasesMachine, machines
from .model_events import ModelEvents
from .model_leases import ModelLeases
from .model_machines import ModelMachines, Refused, machine_states, state_of

COUNTER_MAX = (1 << 63) - 1

READ_AGAIN = ("m", "c", "l")
"""The resources, by name, whose machines are written a second time here; all others are run by `model_machines.py`."""


class Outcome(NamedTuple):
    """What became of one sequence: where it was applied, its error code (0: none), its value, and the operation.

    `by_machine`: what it means was not read a second time, but said by the machine.
    """

    index: int
    code: int
    value: Any
    operation: tuple[Any, ...]
    by_machine: bool = False


@dataclass
class ModelSession:
    """One open session."""

    key: bytes
    timeout_ms: int
    last: int = 0
    acknowledged: int = 0
    results: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    event_index: int = 0
    handled: int = 0
    events: list[tuple[int, int, bytes]] = field(default_factory=list)

    def publish(self, index: int, payload: bytes) -> None:
        """One more batch, which names the one before it."""
        self.events.append((index, self.event_index, payload))
        self.event_index = index

    def handle(self, index: int) -> None:
        """The client has handled what was published up to there."""
        self.handled = max(self.handled, min(index, self.event_index))
        self.events = [batch for batch in self.events if batch[0] > self.handled]


GONE = object()
"""What a query of a resource answers that is not there."""


class Refusal(Exception):
    """The operation has no effect; the argument is its error code."""


class Model:
    """The state after the entries applied so far; `digests[i]` is the digest of the state at index i, `lives[i]` its live set.

    What sessions there were is never forgotten: `keys` by session, `spent`, the indexes at which its sequences were spent, and
    `ended`, the records of those that are over (an hour of log time never passes).
    """

    def __init__(self) -> None:
        self.index = 0
        self.time = 0
        self.sessions: dict[int, ModelSession] = {}
        self.names: dict[str, int] = {}
        self.types: dict[int, str] = {}
        self.maps: dict[int, dict[bytes, tuple[int, bytes]]] = {}
        self.counters: dict[int, int] = {}
        self.leases: dict[int, ModelLeases] = {}
        self.queries: Mapping[str, Sequence[tuple[Any, ...]]] = {}
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.versions: dict[tuple[str, bytes | None], list[tuple[int, Any]]] = {}
        self.events = ModelEvents()
        self.machines = ModelMachines(self.events.publish)
        self.keys: dict[int, bytes] = {}
        self.spent: dict[int, list[int]] = {}
        self.ended: dict[int, tuple[Any, ...]] = {}
        self.digests = [self.digest()]
        self.lives: list[list[int]] = [[]]

    def apply(self, buffer: memoryview, offset: int, entered: Callable[[int], None]) -> Outcome | None:
        """Take the next entry; returns what became of its sequence, if it spent one. `entered` is told when it was read."""
        _, length, index, _, kind, mode, window, time, session_id, sequence = HEADER.unpack_from(buffer, offset)
        assert index == self.index + 1, f"entry {index} after {self.index}"
        payload = bytes(buffer[offset + HEADER_BYTES : offset + HEADER_BYTES + length])
        self.index = index
        self._numbers = self.machines.begin(index)
        if time > self.time:
            self.time = time
            self._fire(index, time)
        outcome = None
        if sequence:
            outcome = self._spend(index, kind, mode, window, session_id, sequence, payload)
        elif kind == REGISTER:
            _, key, timeout_ms = msgpack.unpackb(payload)
            if all(session.key != key for session in self.sessions.values()):
                self.sessions[index] = ModelSession(key, timeout_ms)
                self.keys[index] = key
                for resource in self.machines.known:
                    self.machines.session(resource, index, time, "session_opened")
        elif kind == KEEP_ALIVE:
            for acknowledging, acknowledged, handled in msgpack.unpackb(payload):
                if acknowledging in self.sessions:
                    _acknowledge(self.sessions[acknowledging], acknowledged)
                    self.sessions[acknowledging].handle(handled)
        elif kind == UNREGISTER:
            self._end(index, session_id, "session_expired")
        self.events.take(index, self.sessions)
        self._note_answers(index)
        entered(index)
        self.digests.append(self.digest())
        self.lives.append(self.live())
        return outcome

    def _fire(self, index: int, time: int) -> None:
        """Whatever is due at this time happens, in its order."""
        while True:
            first = self.machines.first_timer()
            due = [(leases.timers[0], resource) for resource, leases in self.leases.items() if leases.timers]
            timer, resource = min(due, default=(None, 0))
            if timer is not None and timer[0] <= time and (first is None or timer[:3] < first[:3]):
                self.leases[resource].fire(index, time, self._numbers, partial(self._wrote, resource, index))
            elif first is not None and first.due <= time:
                self.machines.fire(first, time)
            else:
                return

    def _spend(
        self, index: int, kind: int, mode: int, window: int, session_id: int, sequence: int, payload: bytes
    ) -> Outcome | None:
        session = self.sessions.get(session_id)
        if session is None or sequence != session.last + 1:
            return None
        session.last = sequence
        self.spent.setdefault(session_id, []).append(index)
        if kind == UNREGISTER:
            self._end(index, session_id, "session_closed", last=sequence - 1)
            return None
        outcome = self._run(index, kind, mode, session_id, payload)
        self.outcomes[session_id, sequence] = outcome
        result = bytes([outcome.code]) if outcome.code else b"\0" + msgpack.packb(outcome.value)
        session.results[sequence] = (index, result)
        _acknowledge(session, sequence - window)
        return outcome

    def _end(self, index: int, session_id: int, how: str, last: int | None = None) -> None:
        session = self.sessions.pop(session_id, None)
        if session is not None:
            results = list(session.results.items())
            last = session.last if last is None else last
            self.ended[session_id] = (session.key, last, session.acknowledged, results, self.time)
            self.events.ended(session_id)
            for resource in self.names.values():
                if resource in self.leases:
                    self.leases[resource].ended(session_id, partial(self._wrote, resource, index))
                elif resource in self.machines.known:
                    self.machines.session(resource, session_id, self.time, how)

    def _run(self, index: int, kind: int, mode: int, session_id: int, payload: bytes) -> Outcome:
        if kind == VOID:
            return Outcome(index, payload[0], None, ())
        operation = tuple(msgpack.unpackb(payload))
        try:
            if kind == RESOURCE:
                value = (self._delete if operation[1] == DELETE else self._open)(index, *operation[2:])
                return Outcome(index, 0, value, operation)
            assert kind == COMMAND, f"entry {index} of kind {kind} has a sequence"
            resource, name, *arguments = operation
            if resource not in self.types:
                raise Refusal(errors.UNKNOWN_RESOURCE)
            if resource in self.machines.known:
                value = self.machines.command(resource, session_id, self.time, name, tuple(arguments), mode)
                return Outcome(index, 0, value, operation, by_machine=True)
            return Outcome(index, 0, self._command(index, session_id, *operation), operation)
        except (Refusal, Refused) as refusal:
            return Outcome(index, refusal.args[0], None, operation)

    def _open(self, index: int, name: str, type_name: str) -> int:
        known = self.names.setdefault(name, index)
        if known != index:
            if self.types[known] != type_name:
                raise Refusal(errors.WRONG_TYPE)
            return known
        self.types[index] = type_name
        if name not in READ_AGAIN:
            self.machines.open(name, machines()[type_name])
        elif type_name == "map":
            self.maps[index] = {}
        elif type_name == "leases":
            self.leases[index] = ModelLeases(partial(self.events.publish, index))
        else:
            self.counters[index] = 0
            self._wrote(index, index, None, 0)
        return index

    def _delete(self, index: int, name: str) -> int | None:
        resource = self.names.get(name)
        if resource is None:
            return None
        assert name not in READ_AGAIN, f"entry {index}: the simulation never deletes {name}"
        if not self.machines.delete(resource, self.time):
            raise Refusal(errors.MACHINE_ERROR)
        del self.names[name], self.types[resource]
        for parts in self.queries.get(name, ()):
            self.versions[name, parts].append((index, GONE))
        return resource

    def _note_answers(self, index: int) -> None:
        """What queries of the machines' resources answer from here on, those that may be asked."""
        for known in self.machines.known.values():
            if not known.changed:
                continue
            for parts in self.queries.get(known.name, ()):
                answer = self.machines.ask(known, self.time, parts)
                versions = self.versions.setdefault((known.name, parts), [(0, GONE)])
                if versions[-1][1] != answer or versions[-1][1] is GONE:
                    versions.append((index, answer))

    def _command(self, index: int, session_id: int, resource: int, operation: str, *arguments: Any) -> Any:
        if operation in ("listen", "unlisten"):
            getattr(self.events, operation)(resource, session_id, arguments[0])
            return None
        if resource in self.counters:
            return self._count(index, resource, operation, *arguments)
        if resource in self.leases:
            wrote = partial(self._wrote, resource, index)
            return self.leases[resource].run(index, self.time, session_id, wrote, operation, arguments)
        return self._map(index, self.maps[resource], resource, operation, *arguments)

    def _count(self, index: int, resource: int, operation: str, delta: int) -> int:
        assert operation == "add", f"entry {index}: the simulation never asks a counter to {operation}"
        old = self.counters[resource]
        value = old + delta
        if value > COUNTER_MAX:
            raise Refusal(errors.MACHINE_ERROR)
        if value != old:
            self.events.changed(resource, "changed", None, old, value)
        self.counters[resource] = value
        self._wrote(resource, index, None, value)
        return value

    def _map(
        self,
        index: int,
        entries: dict[bytes, tuple[int, bytes]],
        resource: int,
        operation: str,
        key: bytes = b"",
        *rest: bytes,
    ) -> bytes | None:
        if operation == "clear":
            if entries:
                self.events.cleared(resource)
            for key in entries:
                self._wrote(resource, index, key, None)
            entries.clear()
            return None
        present = entries.get(key, (0, None))[1]
        writes = {"put": True, "put_if_absent": present is None, "replace": present is not None, "remove": False}
        if writes[operation]:
            entries.pop(key, None)
            entries[key] = (index, rest[0])
            self.events.changed(resource, "added" if present is None else "updated", key, present, rest[0])
            self._wrote(resource, index, key, rest[0])
        elif operation == "remove":
            if present is not None:
                self.events.changed(resource, "removed", key, present, None)
            entries.pop(key, None)
            self._wrote(resource, index, key, None)
        return present

    def _wrote(self, resource: int, index: int, key: bytes | None, value: Any) -> None:
        name = next(name for name, known in self.names.items() if known == resource)
        versions = self.versions.setdefault((name, key), [(0, None)])
        if versions[-1][0] == index:
            versions.pop()  # nobody can have seen it
        versions.append((index, value))

    def was_spent(self, session: int, sequence: int) -> bool:
        """Whether the session has spent this sequence."""
        return sequence <= len(self.spent.get(session, ()))

    def live(self) -> list[int]:
        """Indexes of the entries that hold state, ascending."""
        live = [index for entries in self.maps.values() for index, _ in entries.values()]
        for leases in self.leases.values():
            live += leases.live()
        return sorted([*live, *self.machines.live()])

    def digest(self) -> int:
        """Checksum over the whole state."""
        sessions = [
            (
                (number, session.key, session.last, session.acknowledged, session.timeout_ms),
                list(session.results.items()),
                (session.event_index, session.handled, session.events),
            )
            for number, session in sorted(self.sessions.items())
        ]
        read_again = [(number, name, self._state(number)) for name, number in self.names.items() if name in READ_AGAIN]
        run = machine_states(self.machines.known)
        return crc32(repr((self.time, sessions, list(self.ended.items()), read_again, run)).encode())

    def _state(self, resource: int) -> Any:
        listeners = sorted(
            (session, *sorted(keys, key=str)) for session, keys in self.events.listeners[resource].items()
        )
        if resource in self.maps:
            return list(self.maps[resource].items()), listeners
        if resource in self.leases:
            return self.leases[resource].state()
        return self.counters[resource], listeners


def _acknowledge(session: ModelSession, sequence: int) -> None:
    session.acknowledged = max(session.acknowledged, min(sequence, session.last))
    session.results = {known: result for known, result in session.results.items() if known > session.acknowledged}


def digest_of(executor: Executor) -> int:
    """The digest of a replica's state, to be equal to the model's at the same index. Texts of errors are left out."""
    sessions = [
        (
            (session.id, session.key, session.last, session.acknowledged, session.timeout_ms),
            _results(session.results),
            (
                session.event_index,
                session.handled,
                [(each.index, each.previous, each.payload) for each in session.events],
            ),
        )
        for session in sorted(executor.sessions, key=lambda session: session.id)
    ]
    read_again, run = [], []
    armed: dict[int, list[tuple[Any, ...]]] = {}
    for timer in executor.timers.unowned() + executor.timers.owned():
        armed.setdefault(timer.resource, []).append(timer[:3])
    for index, resource in executor.resources.items():
        timers = sorted(armed.get(index, ()))
        if resource.name in READ_AGAIN:
            read_again.append((index, resource.name, _state(resource, timers)))
        else:
            run.append((index, resource.name, state_of(resource.machine, timers)))
    ended = [
        (record.id, (record.key, record.last, record.acknowledged, _results(record.results), record.ended_at))
        for record in executor.ended_records.records()
    ]
    return crc32(repr((executor.time, sessions, ended, read_again, run)).encode())


def _results(results: Mapping[int, tuple[int, bytes]]) -> list[tuple[int, tuple[int, bytes]]]:
    return [(n, (index, result[:1] if result[0] else result)) for n, (index, result) in results.items()]


def _state(resource: Any, armed: list[tuple[Any, ...]]) -> Any:
    machine = resource.machine
    if isinstance(machine, MapMachine):
        return list(machine.live.items()), _listeners(machine.listeners)
    if isinstance(machine, LeasesMachine):
        keys = sorted((key, tuple(lease)) for key, lease in machine.leases.items())
        return keys, machine.rung, armed, list(machine.watchers)
    return machine.value, _listeners(machine.listeners)


def _listeners(listeners: Listeners) -> list[tuple[Any, ...]]:
    return sorted((session, *sorted(keys, key=str)) for session, keys in listeners.state())
