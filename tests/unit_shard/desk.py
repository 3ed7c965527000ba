"""A leader without Raft, disk or sockets: what it logs in a turn is committed and applied at the end of that turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack
from ocelog.client.protocol import errors, frames, operations
from ocelog.client.protocol.frames import REQUEST, VERSION, Reply, Request
from ocelog.client.protocol.limits import Limits
from ocelog.log.entry import COMMAND, HEADER, REGISTER, RELEASE, RESOURCE, SNAPSHOT, encode
from ocelog.shard.executor import Executor
from ocelog.shard.leadership import NOOP_RECORD, Leadership
from ocelog.shard.machines.base import StateMachine, command, query
from ocelog.shard.machines.registry import BUILT_IN, registry
from ocelog.shard.outbox import Origin, Outbox

TERM = 3
KEY = b"k" * 16
START_MS = 1_700_000_000_000


class Answer(NamedTuple):
    """One answer as its client sees it."""

    origin: Origin
    reply: Reply
    body: bytes

    @property
    def kind(self) -> int:
        return self.reply.kind

    @property
    def code(self) -> int:
        return self.reply.code

    @property
    def results(self) -> list[tuple[int, Any]]:
        """(code, value or text) of each result of a RESULTS or ANSWERS message."""
        if self.kind == frames.RESULTS:
            _, results = frames.unpack_results(self.body, self.reply.count)
        else:
            assert self.kind == frames.ANSWERS, f"an answer of kind {self.kind:#x} has no results: {self}"
            results = frames.unpack_parts(self.body, self.reply.count)
        return [decoded(result) for result in results]

    @property
    def values(self) -> list[Any]:
        """The values of results that must all be good."""
        assert all(code == errors.OK for code, _ in self.results), self.results
        return [value for _, value in self.results]


def decoded(result: bytes) -> tuple[int, Any]:
    """Code and value (or text) of one result."""
    return result[0], msgpack.unpackb(result[1:]) if result[0] == errors.OK else result[1:].decode()


def operation(resource: int, name: str, *arguments: Any) -> bytes:
    """One operation as a client encodes it."""
    return operations.encode([resource, name, *arguments])


def opening(name: str, type_name: str) -> bytes:
    """The operation that opens a resource."""
    return operations.encode([operations.SHARD, operations.OPEN, name, type_name])


def registering(timeout_ms: int = 30_000) -> bytes:
    """The body of a register."""
    return msgpack.packb(["tester", timeout_ms])  # type: ignore[no-any-return]


class Toy(StateMachine):
    """Does what no built-in machine does: raises, schedules, listens, and breaks the rules for queries."""

    type_name = "toy"

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, Any] = {}
        self.told: list[Any] = []

    @command(mode=RELEASE)
    def keep(self, commit: Any, value: Any) -> int:
        self.live[commit.index] = value
        return commit.index  # type: ignore[no-any-return]

    @command(mode=RELEASE)
    def drop(self, commit: Any, index: int) -> None:
        del self.live[index]
        self.release(index)
        self.release(commit.index)

    @command(mode=RELEASE)
    def let_go(self, commit: Any, *indexes: Any) -> None:
        for index in indexes:
            self.release(index)

    @command(mode=RELEASE)
    def fail_late(self, commit: Any, index: int) -> None:
        self.release(index)
        self.schedule(commit.time + 1, "fire", "never")
        raise RuntimeError("after the release")

    @command(mode=SNAPSHOT)
    def later(self, commit: Any, delay_ms: Any, *words: Any) -> None:
        self.schedule(commit.time + delay_ms, "fire", *words)

    @command(mode=SNAPSHOT)
    def wrong_timer(self, commit: Any, due_ms: Any, method: str) -> None:
        self.schedule(due_ms, method)

    @command(mode=SNAPSHOT)
    def tell(self, commit: Any, value: Any) -> int:
        self.told.append(value)
        return len(self.told)

    @command(mode=SNAPSHOT)
    def echo(self, commit: Any, value: Any) -> Any:
        return value

    @command(mode=SNAPSHOT)
    def unpackable(self, commit: Any) -> Any:
        return object()

    @command(mode=SNAPSHOT)
    def out_of_memory(self, commit: Any) -> None:
        raise MemoryError("no more")

    @query
    def words(self, commit: Any) -> list[Any]:
        return self.told

    @query
    def releasing(self, commit: Any, index: int) -> None:
        self.release(index)

    @query
    def scheduling(self, commit: Any) -> None:
        self.schedule(commit.time + 1, "fire", "from a query")

    def fire(self, commit: Any, *words: Any) -> None:
        self.told.append((commit.time, *words))
        if words and words[0] == "again":
            self.schedule(commit.time + 10, "fire", *words[1:])

    def release_coming(self, commit: Any) -> None:
        self.release(commit.index)

    def explode(self, commit: Any) -> None:
        raise ValueError("boom")

    def session_opened(self, commit: Any) -> None:
        self.told.append(("opened", commit.session))

    def session_closed(self, commit: Any) -> None:
        self.told.append(("closed", commit.session))

    def session_expired(self, commit: Any) -> None:
        self.told.append(("expired", commit.session))

    def snapshot(self) -> Any:
        return self.told

    def install(self, state: Any) -> None:
        self.told = state


class Plain(StateMachine):
    """SNAPSHOT commands only, timers and a listener: nothing that it would have to tell when it is deleted."""

    type_name = "plain"

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    @command(mode=SNAPSHOT)
    def later(self, commit: Any, delay_ms: int) -> None:
        self.schedule(commit.time + delay_ms, "session_expired")

    def session_expired(self, commit: Any) -> None:
        self.told += 1

    def snapshot(self) -> Any:
        return self.told

    def install(self, state: Any) -> None:
        self.told = state


MACHINES = registry((*BUILT_IN, Toy))


def apply(executor: Executor, entries: Iterable[bytes]) -> Executor:
    """Apply encoded entries, all in one buffer as a segment holds them."""
    entries = list(entries)
    offsets = [0, *itertools.accumulate(map(len, entries))]
    executor.apply(memoryview(b"".join(entries)), offsets[:-1])
    return executor


def entries_of(first_index: int, time_ms: int, records: Sequence[Any], term: int = TERM) -> list[bytes]:
    """Encode records and cut the bytes into entries."""
    data, sizes = encode(first_index, term, time_ms, records)
    ends = list(itertools.accumulate(int(size) for size in sizes))
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def state_of(executor: Executor) -> dict[str, Any]:
    """Everything that must be equal on all replicas at the same index."""
    return {
        "index": executor.applied_index,
        "time": executor.time,
        "sessions": [
            (
                *(s.id, s.client_id, s.key, s.timeout_ms, s.last, s.acknowledged, s.results, s.result_bytes),
                *(s.event_index, s.handled, list(s.events), s.event_count, s.event_bytes),
            )
            for s in executor.sessions
        ],
        "resources": [
            (r.index, r.name, r.type_name, r.version, {name: repr(value) for name, value in vars(r.machine).items()})
            for r in executor.resources.values()
        ],
        "active": executor.active,
        "timers": (sorted(executor.timers.unowned()), sorted(executor.timers.owned())),
        "released": executor.released,
        "ended": executor.ended_records.records(),
    }


class Entries:
    """A log written by hand, for tests of the executor: no leader judges what goes in."""

    def __init__(self, machines: Mapping[str, type[StateMachine]] = MACHINES) -> None:
        self.executor = Executor(machines)
        self.log: list[bytes] = []
        self.time = START_MS

    def add(self, *records: Any, pass_ms: int = 0) -> int:
        """Log and apply the records; returns the index of the last one."""
        self.time += pass_ms
        entries = entries_of(len(self.log) + 1, self.time, records)
        self.log += entries
        apply(self.executor, entries)
        return len(self.log)

    def register(self, key: bytes = KEY, timeout_ms: int = 30_000) -> int:
        """Open a session; returns its id."""
        return self.add((REGISTER, SNAPSHOT, 0, 0, 0, msgpack.packb(["tester", key, timeout_ms])))

    def open(self, session: int, sequence: int, type_name: str, name: str = "it") -> int:
        """Open a resource; returns its index."""
        return self.add((RESOURCE, SNAPSHOT, 1, session, sequence, opening(name, type_name)))

    def command(
        self, session: int, sequence: int, data: bytes, *, mode: int = SNAPSHOT, window: int = 1, pass_ms: int = 0
    ) -> tuple[int, Any]:
        """Apply one command; returns its result as the session keeps it, or (-1, None) when it left none."""
        self.add((COMMAND, mode, window, session, sequence, data), pass_ms=pass_ms)
        known = self.executor.sessions.get(session)
        if known is None or sequence not in known.results:
            return -1, None
        return decoded(known.results[sequence][1])


class Desk:
    """A `Leadership` with everything around it played: `turn` logs, commits, applies and answers."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        begun: bool = True,
        tick_ms: int = 50,
        sessions_max: int = 100,
        machines: Mapping[str, type[StateMachine]] = MACHINES,
        **options: Any,
    ) -> None:
        self.limits = limits or Limits()
        self.outbox = Outbox(0)
        self.executor = Executor(machines, nesting_max=self.limits.nesting_max)
        self.tick_ms = tick_ms
        self.sessions_max = sessions_max
        self.options = {"results_bytes_max": 64 << 20} | options
        self.now = 0
        self.full = False
        self.committing = True
        self.log: list[bytes] = []
        self.released: list[int] = []
        self._requests = itertools.count(1)
        self.lead()
        if begun:
            self.turn()

    def lead(self) -> None:
        """Win an election: a new term with its no-op, not committed yet."""
        self.leadership = Leadership(
            self.executor,
            self.outbox,
            self.limits,
            tick_ms=self.tick_ms,
            sessions_max=self.sessions_max,
            noop_index=len(self.log) + 1,
            **self.options,
        )
        last_time = HEADER.unpack_from(self.log[-1])[7] if self.log else 0
        self.leadership.clock.begin_term(last_time, self.now)
        self.log += entries_of(len(self.log) + 1, self._log_time(), [NOOP_RECORD])

    def _log_time(self) -> int:
        return self.leadership.clock.time(self.now, START_MS + self.now)

    # -- turns -----------------------------------------------------------------------------------------

    def turn(self, *, confirm: bool = True) -> list[Answer]:
        """One turn of a leader whose entries commit at once; returns what it answered."""
        leadership = self.leadership
        round_id = leadership.reads.next_round()
        records = leadership.intake.records
        if records and self.full:
            leadership.refused()
        elif records:
            self.log += entries_of(len(self.log) + 1, self._log_time(), records)
            leadership.intake.appended(len(self.log) + 1)
        if round_id is not None and confirm:
            leadership.confirm(round_id, len(self.log))
        if self.committing:
            apply(self.executor, self.log[self.executor.applied_index :])
            self.released += self.executor.take_released()
            self.outbox.index = self.executor.applied_index
        leadership.settle()
        return self.answers()

    def ticks(self, count: int, *, confirm: bool = True) -> list[Answer]:
        """So many ticks, a turn after each; returns all answers."""
        answers = []
        for _ in range(count):
            self.now += self.tick_ms
            self.leadership.tick(self._log_time())
            answers += self.turn(confirm=confirm)
        return answers

    def answers(self) -> list[Answer]:
        """What was answered since the last call."""
        taken = []
        for router, items in self.outbox.take().items():
            for route, parts in items:
                reply, body = frames.parse_reply(parts)
                taken.append(Answer(Origin(router, route), reply, bytes(body)))
        return taken

    # -- messages --------------------------------------------------------------------------------------

    def send(self, kind: int, body: bytes = b"", *, route: int = 1, **fields: Any) -> int:
        """Hand in one message; returns its request id."""
        request = next(self._requests)
        header = Request(
            **{
                "version": VERSION,
                "kind": kind,
                "shard": 0,
                "level": frames.LINEARIZABLE,
                "flags": 0,
                "count": 0,
                "request": request,
                "session": 0,
                "key": KEY,
                "first_sequence": 0,
                "acknowledged": 0,
                "seen": 0,
                "connection": 1,
                "milliseconds_left": 10_000,
            }
            | fields
        )
        parsed, rest = frames.parse_request(frames.request_frames(REQUEST.pack(*header), body))
        self.leadership.receive(Origin(b"router", route), parsed, rest)
        return request

    def register(self, key: bytes = KEY, timeout_ms: int = 30_000) -> int:
        """Open a session; returns its id."""
        self.send(frames.REGISTER, msgpack.packb(["tester", timeout_ms]), key=key)
        (answer,) = self.turn()
        assert answer.kind == frames.REGISTERED, answer
        return answer.reply.session

    def commands(self, session: int, first: int, *parts: bytes, **fields: Any) -> int:
        """Hand in a message of commands."""
        fields = {"count": len(parts)} | fields
        return self.send(frames.COMMAND, frames.pack_parts(parts), session=session, first_sequence=first, **fields)

    def query(self, session: int, *parts: bytes, after: int = 0, **fields: Any) -> int:
        """Hand in a message of queries."""
        fields = {"count": len(parts)} | fields
        return self.send(frames.QUERY, frames.pack_parts(parts), session=session, first_sequence=after, **fields)

    def keep_alive(self, session: int, **fields: Any) -> int:
        """Hand in a keep-alive."""
        return self.send(frames.KEEP_ALIVE, session=session, **fields)

    def unregister(self, session: int, sequence: int, **fields: Any) -> int:
        """Hand in a client's end of its session."""
        return self.send(frames.UNREGISTER, session=session, first_sequence=sequence, **fields)

    def open(self, session: int, sequence: int, type_name: str, name: str = "it") -> int:
        """Open a resource; returns its index."""
        self.commands(session, sequence, opening(name, type_name))
        (answer,) = self.turn()
        return answer.values[0]  # type: ignore[no-any-return]

    def kinds(self) -> list[int]:
        """The kind of every entry of the log."""
        return [HEADER.unpack_from(entry)[4] for entry in self.log]
