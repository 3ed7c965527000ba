"""What the client's tests talk to: a session driven by hand, a shard in memory, and a router on a real socket.

None of it imports a server room: the shard here is a second, small reading of the protocol's rules.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack
import pytest
import zmq
from ocelog.client.calls import Call, Delivery, EventBatch, Outbox, Resource, StateChange
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.events import pack_indexes, unpack_handled, unpack_indexes
from ocelog.client.protocol.limits import SLOTS, Limits
from ocelog.client.protocol.outcomes import FORGOTTEN, Outcome, pack_outcome
from ocelog.client.session import ShardSession

NIL = bytes((errors.OK, 0xC0))
UNREGISTERING = "unregister"


def ok(value: Any) -> bytes:
    """A result's bytes: code OK and a value."""
    return bytes((errors.OK,)) + msgpack.packb(value)


def failed(code: int, text: str = "") -> bytes:
    """A result's bytes: an error and its sentence."""
    return bytes((code,)) + text.encode()


def reply(kind: int, *, body: bytes = b"", **fields: int) -> list[bytes]:
    """One message to the client."""
    header = {
        "shard": 0,
        "code": 0,
        "flags": 0,
        "count": 0,
        "request": 0,
        "session": 0,
        "first_sequence": 0,
        "index": 0,
        "event_index": 0,
        "term": 0,
        "leader": frames.NO_LEADER_KNOWN,
        "retry_after_ms": 0,
    }
    assert not fields.keys() - header.keys(), fields
    header.update(fields)
    return [frames.REPLY.pack(frames.VERSION, kind, *header.values()) + body]


class Recorder:
    """An owner that only remembers; the session's calls are delivered through the outbox anyway."""

    def deliver(self, calls: Any) -> None:
        raise AssertionError("nothing delivers in a test without an I/O thread")


class Sent:
    """One message the client sent, taken apart."""

    def __init__(self, message: list[bytes]) -> None:
        self.header, body = frames.parse_request(message)
        self.message = message
        self.kind = self.header.kind
        self.first = self.header.first_sequence
        self.request = self.header.request
        self.body = bytes(body)
        self.parts: list[bytes] = []
        if self.kind in (frames.COMMAND, frames.QUERY):
            self.parts = frames.unpack_parts(body, self.header.count)

    @property
    def operations(self) -> list[Any]:
        """The operations, decoded; None for a void."""
        return [msgpack.unpackb(part) if part else None for part in self.parts]

    @property
    def sequences(self) -> range:
        """The sequences of a COMMAND."""
        return range(self.first, self.first + self.header.count)

    def __repr__(self) -> str:
        return f"<kind {self.kind} request {self.request} first {self.first} {self.operations}>"


class Harness:
    """One ShardSession, a clock that only moves when told, and the answers a shard would give."""

    SESSION = 77

    def __init__(self, *, seed: int = 1, timeout: float = 30.0, **options: Any) -> None:
        self.now = 1000.0
        self.outbox = Outbox()
        self.session = ShardSession(0, self.outbox, Random(seed), client_id="test", timeout=timeout, **options)
        self.resource = Resource("numbers", "map", 0)
        self.resource.index = 5
        self.changes: list[StateChange] = []

    def call(
        self,
        *parts: Any,
        query: bool = False,
        timeout: float = 10.0,
        resource: Resource | None = None,
        **options: Any,
    ) -> Call:
        """Submit one call; it leaves with the next `pump`. `options` are those of a Call: level, nested, traced..."""
        resource = resource or self.resource
        call = Call(resource, parts, query, self.now, self.now + timeout, Recorder(), None, **options)
        self.session.submit(call)
        return call

    def pump(self) -> list[Sent]:
        """End the turn; what was sent since the last time."""
        self.session.pump(self.now)
        return self.sent()

    def sent(self) -> list[Sent]:
        """What was sent since the last time."""
        messages = [Sent(message) for message in self.outbox.messages]
        self.outbox.messages.clear()
        return messages

    def advance(self, seconds: float) -> list[Sent]:
        """Let time pass the way the I/O thread does: waking whenever the session asks; what was sent."""
        end, turns = self.now + seconds, 0
        while self.session.wake_at() <= end:
            turns += 1
            assert turns < 10_000, f"the session wants to be woken without end, at {self.session.wake_at()}"
            self.now = max(self.now, self.session.wake_at())
            self.session.tick(self.now)
            self.session.pump(self.now)
        self.now = end
        return self.sent()

    def receive(self, kind: int, *, body: bytes = b"", **fields: int) -> None:
        """One message from the shard."""
        fields.setdefault("session", self.SESSION)
        header, rest = frames.parse_reply(reply(kind, body=body, **fields))
        self.session.receive(header, rest, self.now)

    def results(self, first: int, *results: bytes, index: int = 100, **fields: int) -> None:
        """RESULTS for the sequences from `first` on, of consecutive log indexes from `index` on."""
        indexes = range(index, index + len(results))
        body = frames.pack_results(indexes, results)
        fields = {"first_sequence": first, "count": len(results), "index": indexes[-1], **fields}
        self.receive(frames.RESULTS, body=body, **fields)

    def answers(self, request: int, *answers: bytes, **fields: int) -> None:
        """ANSWERS to a query message."""
        fields = {"request": request, "count": len(answers), **fields}
        self.receive(frames.ANSWERS, body=frames.pack_parts(answers), **fields)

    def events(self, previous: int, *indexes: int, after: int = 0, payload: bytes | None = None, **fields: int) -> None:
        """EVENTS with one event in each batch: "change" with the batch's index as its value; `after` is session.last."""
        payloads = [msgpack.packb([[5, "change", index]]) if payload is None else payload for index in indexes]
        body = frames.pack_results(indexes, payloads)
        fields = {"request": previous, "count": len(indexes), "first_sequence": after, **fields}
        self.receive(frames.EVENTS, body=body, **fields)

    def done(self, *batches: EventBatch) -> None:
        """These batches were handled, as the I/O thread tells it."""
        for batch in batches:
            batch.done()
        handled, self.outbox.handled[:] = self.outbox.handled[:], []
        for batch in handled:
            self.session.handled(batch, self.now)

    def refuse(self, sent: Sent, code: int, *, first: int | None = None, text: str = "", after: int = 0) -> None:
        """REFUSED for a message that was sent."""
        self.receive(
            frames.REFUSED,
            body=text.encode(),
            code=code,
            request=sent.request,
            session=sent.header.session,
            first_sequence=sent.first if first is None else first,
            retry_after_ms=after,
        )

    def registered(self, request: int, **limits: int) -> None:
        """REGISTERED with these limits in place of the defaults."""
        fields = {**Limits(**limits).as_dict(), "timeout_ms": round(self.session.lifecycle.timeout * 1000)}
        self.receive(frames.REGISTERED, body=msgpack.packb(fields), request=request)

    def open(self, **limits: int) -> Harness:
        """Connect and register, with one call answered, so that sequence 2 comes next."""
        self.session.connected("tcp://somewhere:1", 1, self.now)
        call = self.call("put", b"first", b"1")
        self.registered(self.pump()[0].request, **limits)
        assert [sent.first for sent in self.pump()] == [1]
        self.results(1, NIL)
        assert self.finished() == [call]
        return self

    def finished(self) -> list[Call]:
        """The calls that were finished since the last time; what else was delivered is passed over."""
        return [item for item in self.delivered() if isinstance(item, Call)]

    def delivered(self) -> list[Call | EventBatch]:
        """Calls and batches of events since the last time, in the order of delivery."""
        items: list[Delivery] = self.outbox.finished
        self.outbox.finished = []
        self.changes += [item for item in items if isinstance(item, StateChange)]
        return [item for item in items if not isinstance(item, StateChange)]


class FakeSession:
    """What the shard keeps of one session.

    `events` are unhandled batches: index, index before, payload; `published` the indexes of all there were. `received`
    and `told` (handled) are what this leader was told by message.
    """

    def __init__(self, number: int, key: bytes) -> None:
        self.number = number
        self.key = key
        self.last = 0
        self.next = 1
        self.results: dict[int, tuple[int, bytes]] = {}
        self.event_index = 0
        self.events: list[tuple[int, int, bytes]] = []
        self.published: list[int] = []
        self.received = 0
        self.told = 0
        self.early: dict[int, Any] = {}
        self.queries: list[frames.Request] = []


class FakeShard:
    """One shard in memory: exactly-once sessions with events over a log whose tail may be lost with a leader.

    `refuse` answers every command with that code; `autocommit` applies at once, else `commit` does. `history` holds
    what was applied: (session, sequence, decoded operation). The command `tell` publishes its argument to every session.
    `index_of_answer` says as of which index a message of queries is answered.
    """

    def __init__(self, number: int = 0, *, limits: Limits | None = None, timeout_ms: int = 30_000) -> None:
        self.number = number
        self.limits = limits or Limits()
        self.timeout_ms = timeout_ms
        self.sessions: dict[int, FakeSession] = {}
        self.log: list[tuple[FakeSession, int, bytes | str]] = []
        self.history: list[tuple[int, int, Any]] = []
        self.index = 0
        self.resources: dict[str, tuple[int, str]] = {}
        self.data: dict[int, Any] = {}
        self.refuse = 0
        self.autocommit = True
        self.settling: list[tuple[frames.Request, int]] = []
        self.events_per_push = 3
        self.index_of_answer: Callable[[frames.Request], int] = lambda request: self.index

    # -- answers ---------------------------------------------------------------------------------------

    def _reply(self, kind: int, request: frames.Request, body: bytes = b"", **fields: int) -> list[bytes]:
        session = self.sessions.get(request.session)
        event_index = session.event_index if session else 0
        known = {"session": request.session, "request": request.request, "index": self.index}
        return reply(kind, body=body, shard=self.number, **{**known, "event_index": event_index, **fields})

    def _refused(self, request: frames.Request, code: int, first: int, text: str = "") -> list[bytes]:
        return self._reply(frames.REFUSED, request, text.encode(), code=code, first_sequence=first, retry_after_ms=10)

    def _results(self, session: FakeSession, first: int, results: list[tuple[int, bytes]]) -> list[bytes]:
        indexes, payloads = [index for index, _ in results], [result for _, result in results]
        fields = {"first_sequence": first, "count": len(results), "index": self.index, "session": session.number}
        fields["flags"] = 0 if all(map(self.settled, indexes)) else frames.UNSETTLED
        fields["event_index"] = session.event_index
        return reply(frames.RESULTS, body=frames.pack_results(indexes, payloads), shard=self.number, **fields)

    # -- events ----------------------------------------------------------------------------------------

    def _publish(self, event: list[Any]) -> None:
        """To every open session, as one batch of this index."""
        for session in self.sessions.values():
            session.events.append((self.index, session.event_index, msgpack.packb([event])))
            session.event_index = self.index
            session.published.append(self.index)

    def push(self, session: FakeSession) -> list[list[bytes]]:
        """What the session has not received; at most so many batches in one message."""
        batches = [batch for batch in session.events if batch[0] > session.received]
        messages = []
        for start in range(0, len(batches), self.events_per_push):
            part = batches[start : start + self.events_per_push]
            body = frames.pack_results([index for index, _, _ in part], [payload for _, _, payload in part])
            fields = {"request": part[0][1], "first_sequence": session.last, "count": len(part)}
            fields |= {"session": session.number, "index": self.index, "event_index": session.event_index}
            messages.append(reply(frames.EVENTS, body=body, shard=self.number, **fields))
        return messages

    def settled(self, index: int) -> bool:
        """Whether every open session has handled the batch of that index, as far as this leader knows."""
        batches = ((batch[0], session.told) for session in self.sessions.values() for batch in session.events)
        return not any(index == at > told for at, told in batches)

    def _handled(self, request: frames.Request, session: FakeSession, body: bytes) -> list[list[bytes]]:
        received, handled = unpack_handled(body)
        session.received, session.told = max(session.received, received), max(session.told, handled)
        if request.kind == frames.KEEP_ALIVE:
            # Only what is in the log makes every replica forget.
            session.events = [batch for batch in session.events if batch[0] > handled]
        elif request.flags & frames.AGAIN:
            return self.push(session) + self._answer_settling()
        return self._answer_settling()

    def _answer_settling(self) -> list[list[bytes]]:
        answers, waiting = [], []
        for request, index in self.settling:
            if self.settled(index):
                answers.append(self._reply(frames.SETTLED, request, pack_indexes([index]), count=1))
            else:
                waiting.append((request, index))
        self.settling = waiting
        return answers

    # -- requests --------------------------------------------------------------------------------------

    def handle(self, message: list[bytes]) -> list[list[bytes]]:
        """One message from a client; the answers so far."""
        request, body = frames.parse_request(message)
        if request.kind == frames.REGISTER:
            return [self._register(request)]
        session = self.sessions.get(request.session)
        if session is None or session.key != request.key:
            return [self._refused(request, errors.UNKNOWN_SESSION, request.first_sequence, "no such session")]
        if request.kind == frames.KEEP_ALIVE:
            return [*self._handled(request, session, bytes(body)), self._reply(frames.KEPT_ALIVE, request)]
        if request.kind == frames.HANDLED:
            return self._handled(request, session, bytes(body))
        if self.refuse:
            return [self._refused(request, self.refuse, request.first_sequence)]
        if request.kind == frames.SETTLE:
            self.settling += [(request, index) for index in unpack_indexes(body, request.count)]
            return self._answer_settling()
        if request.kind == frames.QUERY:
            session.queries.append((request, bytes(body)))
            return self._answer_queries(session)
        for sequence in [s for s in session.results if s <= min(request.acknowledged, session.last)]:
            del session.results[sequence]
        if request.kind == frames.UNREGISTER:
            return self._commands(request, session, [UNREGISTERING])
        return self._commands(request, session, frames.unpack_parts(body, request.count))

    def _register(self, request: frames.Request) -> list[bytes]:
        same = [session for session in self.sessions.values() if session.key == request.key]
        self.index += 1
        session = same[0] if same else FakeSession(self.index, request.key)
        self.sessions[session.number] = session
        fields = {**self.limits.as_dict(), "timeout_ms": self.timeout_ms}
        return self._reply(frames.REGISTERED, request, msgpack.packb(fields), session=session.number)

    def _commands(self, request: frames.Request, session: FakeSession, parts: list[Any]) -> list[list[bytes]]:
        answers = []
        gap = False
        for sequence, part in enumerate(parts, request.first_sequence):
            if sequence <= session.last:
                known = session.results.get(sequence, (0, failed(errors.ACKNOWLEDGED)))
                answers.append(self._results(session, sequence, [known]))
            elif sequence == session.next:
                self.log.append((session, sequence, part))
                session.next += 1
            elif sequence > session.next:
                session.early[sequence] = part
                gap = True
        while session.next in session.early:
            self.log.append((session, session.next, session.early.pop(session.next)))
            session.next += 1
        if gap and session.early:
            answers.append(self._refused(request, errors.GAP, session.next))
        return answers + (self.commit() if self.autocommit else [])

    def commit(self, count: int | None = None) -> list[list[bytes]]:
        """Apply the log, or its first `count` entries; the results."""
        taken, self.log = (self.log, []) if count is None else (self.log[:count], self.log[count:])
        answers = []
        touched: dict[int, tuple[FakeSession, int, list[tuple[int, bytes]]]] = {}
        for session, sequence, operation in taken:
            assert sequence == session.last + 1, f"applied {sequence} after {session.last}"
            self.index += 1
            session.last = sequence
            if operation == UNREGISTERING:
                answers.append(reply(frames.UNREGISTERED, shard=self.number, session=session.number))
                self.sessions.pop(session.number, None)
                continue
            result = self.index, self._apply(session, sequence, operation)
            session.results[sequence] = result
            touched.setdefault(session.number, (session, sequence, []))[2].append(result)
        for session, first, results in touched.values():
            answers.append(self._results(session, first, results))
            answers += self._answer_queries(session)
        for session in self.sessions.values():
            answers += self.push(session)
        return answers

    def lose_leader(self, keep: int = 0) -> None:
        """A new leader that has only the first `keep` entries of the tail, and nobody's early commands."""
        self.log = self.log[:keep]
        self.settling.clear()
        for session in self.sessions.values():
            session.early.clear()
            session.received = session.told = 0
            kept = sum(1 for owner, _, _ in self.log if owner is session)
            session.next = session.last + 1 + kept

    def _answer_queries(self, session: FakeSession) -> list[list[bytes]]:
        answers, waiting = [], []
        for request, body in session.queries:
            if request.first_sequence > session.last:
                waiting.append((request, body))
                continue
            results = [self._run(msgpack.unpackb(part)) for part in frames.unpack_parts(body, request.count)]
            fields = {"count": len(results), "index": self.index_of_answer(request)}
            answers.append(self._reply(frames.ANSWERS, request, frames.pack_parts(results), **fields))
        session.queries = waiting
        return answers

    # -- machines --------------------------------------------------------------------------------------

    def _apply(self, session: FakeSession, sequence: int, operation: bytes) -> bytes:
        if not operation:
            return failed(errors.VOIDED, "the call had given up")
        decoded = msgpack.unpackb(operation)
        self.history.append((session.number, sequence, decoded))
        return self._run(decoded)

    def _run(self, operation: list[Any]) -> bytes:
        resource, name, *arguments = operation
        if resource == 0:
            return self._open(*arguments)
        if resource not in self.data:
            return failed(errors.UNKNOWN_RESOURCE)
        state = self.data[resource]
        handler = getattr(self, f"_{'map' if isinstance(state, dict) else 'counter'}_{name}", None)
        if handler is None:
            return failed(errors.UNKNOWN_OPERATION, f"no operation {name!r}")
        return ok(handler(resource, state, *arguments))

    def _open(self, name: str, type_name: str) -> bytes:
        if name not in self.resources:
            self.resources[name] = (self.index, type_name)
            self.data[self.index] = {} if type_name == "map" else [0]
        index, known = self.resources[name]
        if known != type_name:
            return failed(errors.WRONG_TYPE, f"{name!r} is a {known}, not a {type_name}")
        return ok(index)

    def _map_put(self, _: int, state: Any, key: bytes, value: bytes) -> Any:
        previous = state.get(key)
        state[key] = value
        return previous

    def _map_put_if_absent(self, _: int, state: Any, key: bytes, value: bytes) -> Any:
        existing = state.get(key)
        state.setdefault(key, value)
        return existing

    def _map_replace(self, _: int, state: Any, key: bytes, value: bytes) -> Any:
        previous = state.get(key)
        if previous is not None:
            state[key] = value
        return previous

    def _map_remove(self, _: int, state: Any, key: bytes) -> Any:
        return state.pop(key, None)

    def _map_echo(self, _: int, state: Any, tag: Any) -> Any:
        return tag

    def _map_tell(self, resource: int, state: Any, tag: Any) -> Any:
        self._publish([resource, "told", tag])
        return tag

    def _map_get(self, _: int, state: Any, key: bytes) -> Any:
        return state.get(key)

    def _map_size(self, _: int, state: Any) -> int:
        return len(state)

    def _map_contains(self, _: int, state: Any, key: bytes) -> bool:
        return key in state

    def _map_keys(self, _: int, state: Any) -> list[bytes]:
        return list(state)

    def _map_clear(self, _: int, state: Any) -> None:
        state.clear()

    def _counter_get(self, _: int, state: Any) -> int:
        return state[0]

    def _counter_set(self, _: int, state: Any, value: int) -> None:
        state[0] = value

    def _counter_add(self, _: int, state: Any, delta: int) -> int:
        state[0] += delta
        return state[0]

    def _counter_compare_and_set(self, _: int, state: Any, expected: int, new: int) -> bool:
        if state[0] != expected:
            return False
        state[0] = new
        return True


class FakeRouter:
    """A router on a real socket, in a thread of its own, before shards in memory; `deaf` swallows all but HELLO."""

    def __init__(self, shards: list[FakeShard], cluster_id: str = "c1", endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.shards = shards
        self.cluster_id = cluster_id
        self.deaf = False
        self.routers: list[str] = []
        self.outcome = Outcome(FORGOTTEN, 0, b"")
        self.busy = 0
        self.refuse_hello = False
        self.requests: list[Sent] = []
        self._stop = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(endpoint)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if not self._socket.poll(5):
                continue
            identity, *message = self._socket.recv_multipart()
            for answer in self._handle(message):
                self._socket.send_multipart([identity, *answer])
        self._context.destroy(linger=0)

    def _handle(self, message: list[bytes]) -> list[list[bytes]]:
        sent = Sent(message)
        self.requests.append(sent)
        request = sent.header
        if request.kind == frames.HELLO:
            return [self._welcome(request.request)]
        if self.deaf:
            return []
        if request.kind == frames.OUTCOME:
            body = pack_outcome(self.outcome)
            return [reply(frames.OUTCOME_REPORT, body=body, shard=request.shard, request=request.request)]
        if request.kind == frames.STATUS:
            body = msgpack.packb({"cluster_id": self.cluster_id, "shards": []})
            return [reply(frames.STATUS_REPORT, body=body, shard=frames.NO_SHARD, request=request.request)]
        if request.kind == frames.ADMIN:
            return [self._administer(sent)]
        return self.shards[request.shard].handle(message)

    def _administer(self, sent: Sent) -> list[bytes]:
        """Every shard's one replica accepts; a shard that is not there is refused, and the first `busy` requests are."""
        shard, request = sent.header.shard, sent.request
        if shard != frames.NO_SHARD and shard >= len(self.shards):
            return reply(frames.REFUSED, code=errors.WRONG_SHARD, request=request, body=b"no such shard")
        if self.busy:
            self.busy -= 1
            return reply(frames.REFUSED, code=errors.BUSY, request=request, retry_after_ms=50)
        asked = range(len(self.shards)) if shard == frames.NO_SHARD else [shard]
        rows = [{"shard": one, "replica": 0, "ok": True, "asked": msgpack.unpackb(sent.body)} for one in asked]
        return reply(frames.ADMIN_REPORT, body=msgpack.packb({"replicas": rows}), request=request)

    def _welcome(self, request: int) -> list[bytes]:
        if self.refuse_hello:
            code = errors.UNKNOWN_VERSION
            return reply(frames.REFUSED, body=b"too old", shard=frames.NO_SHARD, request=request, code=code)
        count = len(self.shards)
        slots = [[SLOTS * n // count, SLOTS * (n + 1) // count - 1, n] for n in range(count)]
        welcome = {"version": 1, "server": "0", "cluster_id": self.cluster_id, "shards": count, "slots": slots}
        welcome["routers"] = self.routers
        return reply(frames.WELCOME, body=msgpack.packb(welcome), shard=frames.NO_SHARD, request=request)

    def stop(self) -> None:
        """Close the socket and end the thread; again does nothing."""
        self._stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive(), "the fake router does not stop"


class Kit:
    """What tests need by name from this file (test folders are no packages, so it cannot be imported)."""

    Harness = Harness
    FakeShard = FakeShard
    FakeRouter = FakeRouter
    Sent = Sent
    NIL = NIL
    ok = staticmethod(ok)

    @staticmethod
    def resource(name: str, type_name: str) -> Resource:
        """A resource on shard 0 that is not open yet."""
        return Resource(name, type_name, 0)

    @staticmethod
    def registered_reply(sent: Sent, session: int, timeout_ms: int = 9000) -> list[bytes]:
        """REGISTERED in answer to a REGISTER."""
        body = msgpack.packb({**Limits().as_dict(), "timeout_ms": timeout_ms})
        return reply(
            frames.REGISTERED, body=body, shard=sent.header.shard, session=session, request=sent.header.request
        )

    failed = staticmethod(failed)
    reply = staticmethod(reply)

    @staticmethod
    def until(condition: Any, seconds: float = 10.0) -> None:
        """Wait until `condition()` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"still not so after {seconds} s"
            time.sleep(0.002)


@pytest.fixture
def kit() -> type[Kit]:
    """The classes and functions of this file."""
    return Kit


@pytest.fixture
def harness() -> Harness:
    """A session that is open, its next sequence 2."""
    return Harness().open()


@pytest.fixture
def router() -> Any:
    """A router before two shards, on a real socket."""
    router = FakeRouter([FakeShard(0), FakeShard(1)])
    yield router
    router.stop()
