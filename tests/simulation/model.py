"""What the committed log means, written a second time: sessions, resources and results as plain dictionaries.

It shares no code with the executor and takes one entry at a time, so every replica can be compared with it at every index,
wherever that replica happened to stop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
from ocelog.client.protocol import errors
from ocelog.log.entry import COMMAND, HEADER, HEADER_BYTES, KEEP_ALIVE, REGISTER, RESOURCE, UNREGISTER, VOID
from ocelog.shard.executor import Executor

COUNTER_MAX = (1 << 63) - 1


class Outcome(NamedTuple):
    """What became of one sequence: where it was applied, its error code (0: none), its value, and the operation."""

    index: int
    code: int
    value: Any
    operation: tuple[Any, ...]


@dataclass
class ModelSession:
    """One open session."""

    key: bytes
    timeout_ms: int
    last: int = 0
    acknowledged: int = 0
    results: dict[int, tuple[int, bytes]] = field(default_factory=dict)


class Refusal(Exception):
    """The operation has no effect; the argument is its error code."""


class Model:
    """The state after the entries applied so far; `digests[i]` is the digest of the state at index i."""

    def __init__(self) -> None:
        self.index = 0
        self.time = 0
        self.sessions: dict[int, ModelSession] = {}
        self.names: dict[str, int] = {}
        self.types: dict[int, str] = {}
        self.maps: dict[int, dict[bytes, tuple[int, bytes]]] = {}
        self.counters: dict[int, int] = {}
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.versions: dict[tuple[str, bytes | None], list[tuple[int, Any]]] = {}
        self.digests = [self.digest()]

    def apply(self, buffer: memoryview, offset: int) -> Outcome | None:
        """Take the next entry; returns what became of its sequence, if it spent one."""
        _, length, index, _, kind, _, window, time, session_id, sequence = HEADER.unpack_from(buffer, offset)
        assert index == self.index + 1, f"entry {index} after {self.index}"
        payload = bytes(buffer[offset + HEADER_BYTES : offset + HEADER_BYTES + length])
        self.index = index
        self.time = max(self.time, time)
        outcome = None
        if sequence:
            outcome = self._spend(index, kind, window, session_id, sequence, payload)
        elif kind == REGISTER:
            _, key, timeout_ms = msgpack.unpackb(payload)
            if all(session.key != key for session in self.sessions.values()):
                self.sessions[index] = ModelSession(key, timeout_ms)
        elif kind == KEEP_ALIVE:
            for acknowledging, acknowledged in msgpack.unpackb(payload):
                if acknowledging in self.sessions:
                    _acknowledge(self.sessions[acknowledging], acknowledged)
        elif kind == UNREGISTER:
            self.sessions.pop(session_id, None)
        self.digests.append(self.digest())
        return outcome

    def _spend(
        self, index: int, kind: int, window: int, session_id: int, sequence: int, payload: bytes
    ) -> Outcome | None:
        session = self.sessions.get(session_id)
        if session is None or sequence != session.last + 1:
            return None
        session.last = sequence
        if kind == UNREGISTER:
            del self.sessions[session_id]
            return None
        outcome = self._run(index, kind, payload)
        self.outcomes[session_id, sequence] = outcome
        result = bytes([outcome.code]) if outcome.code else b"\0" + msgpack.packb(outcome.value)
        session.results[sequence] = (index, result)
        _acknowledge(session, sequence - window)
        return outcome

    def _run(self, index: int, kind: int, payload: bytes) -> Outcome:
        if kind == VOID:
            return Outcome(index, payload[0], None, ())
        operation = tuple(msgpack.unpackb(payload))
        try:
            if kind == RESOURCE:
                return Outcome(index, 0, self._open(index, operation[2], operation[3]), operation)
            assert kind == COMMAND, f"entry {index} of kind {kind} has a sequence"
            return Outcome(index, 0, self._command(index, *operation), operation)
        except Refusal as refusal:
            return Outcome(index, refusal.args[0], None, operation)

    def _open(self, index: int, name: str, type_name: str) -> int:
        known = self.names.setdefault(name, index)
        if known != index:
            if self.types[known] != type_name:
                raise Refusal(errors.WRONG_TYPE)
            return known
        self.types[index] = type_name
        if type_name == "map":
            self.maps[index] = {}
        else:
            self.counters[index] = 0
            self._wrote(index, None, index, 0)
        return index

    def _command(self, index: int, resource: int, operation: str, *arguments: Any) -> Any:
        if resource in self.counters:
            return self._count(index, resource, operation, *arguments)
        return self._map(index, self.maps[resource], resource, operation, *arguments)

    def _count(self, index: int, resource: int, operation: str, delta: int) -> int:
        assert operation == "add", f"entry {index}: the simulation never asks a counter to {operation}"
        value = self.counters[resource] + delta
        if value > COUNTER_MAX:
            raise Refusal(errors.MACHINE_ERROR)
        self.counters[resource] = value
        self._wrote(resource, None, index, value)
        return value

    def _map(
        self,
        index: int,
        entries: dict[bytes, tuple[int, bytes]],
        resource: int,
        operation: str,
        key: bytes,
        *rest: bytes,
    ) -> bytes | None:
        present = entries.get(key, (0, None))[1]
        writes = {"put": True, "put_if_absent": present is None, "replace": present is not None, "remove": False}
        if writes[operation]:
            entries.pop(key, None)
            entries[key] = (index, rest[0])
            self._wrote(resource, key, index, rest[0])
        elif operation == "remove":
            entries.pop(key, None)
            self._wrote(resource, key, index, None)
        return present

    def _wrote(self, resource: int, key: bytes | None, index: int, value: Any) -> None:
        name = next(name for name, known in self.names.items() if known == resource)
        self.versions.setdefault((name, key), [(0, None)]).append((index, value))

    def live(self) -> list[int]:
        """Indexes of the entries that hold state, ascending."""
        return sorted(index for entries in self.maps.values() for index, _ in entries.values())

    def digest(self) -> int:
        """Checksum over the whole state."""
        sessions = [
            (number, session.key, session.last, session.acknowledged, session.timeout_ms, list(session.results.items()))
            for number, session in sorted(self.sessions.items())
        ]
        resources = [
            (number, name, list(self.maps[number].items()) if number in self.maps else self.counters[number])
            for name, number in self.names.items()
        ]
        return crc32(repr((self.time, sessions, resources)).encode())


def _acknowledge(session: ModelSession, sequence: int) -> None:
    session.acknowledged = max(session.acknowledged, min(sequence, session.last))
    session.results = {known: result for known, result in session.results.items() if known > session.acknowledged}


def digest_of(executor: Executor) -> int:
    """The digest of a replica's state, to be equal to the model's at the same index. Texts of errors are left out."""
    sessions = [
        (
            session.id,
            session.key,
            session.last,
            session.acknowledged,
            session.timeout_ms,
            [(n, (index, result[:1] if result[0] else result)) for n, (index, result) in session.results.items()],
        )
        for session in sorted(executor.sessions, key=lambda session: session.id)
    ]
    resources = [
        (
            resource.index,
            resource.name,
            list(resource.machine.entries.items())  # type: ignore[attr-defined]
            if resource.type_name == "map"
            else resource.machine.value,  # type: ignore[attr-defined]
        )
        for resource in executor.resources.values()
    ]
    return crc32(repr((executor.time, sessions, resources)).encode())
