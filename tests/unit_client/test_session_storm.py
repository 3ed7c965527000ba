"""A session against everything a network and a shard may do, seeded: loss, repeats, late copies, refusals, new leaders.

Whatever happens, each command is applied at most once and in order, each call gets its own result, what failed definitely was
not applied; events come once each, without a gap, results and events in the order of the log; a LINEARIZABLE call returns
after its events were handled; answers of any replica never go back; and when the storm is over nothing is unsettled.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from ocelog.client.calls import Call, ClientState, EventBatch
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import EventsPending
from ocelog.client.protocol.frames import BOUNDED_LINEARIZABLE, CAUSAL, LINEARIZABLE, SEQUENTIAL
from ocelog.client.protocol.limits import Limits

REFUSALS = (errors.NOT_LEADER, errors.NO_LEADER, errors.BUSY, errors.NO_SPACE, errors.NOT_SENT, errors.BEHIND)


class Order:
    """What one session was given, in the order it was given, held against the log."""

    def __init__(self) -> None:
        self.session = 0
        self.events: dict[int, list[int]] = {}
        self.handled: set[tuple[int, int]] = set()
        self.begin(0)

    def begin(self, session: int) -> None:
        """Another session: nothing was given yet."""
        self.session = session
        self.event = self.result = self.answer = 0

    def batch(self, batch: EventBatch) -> None:
        """A batch of events is delivered."""
        assert batch.index > self.event, f"{batch} behind events of {self.event}"
        assert batch.index >= self.result, f"{batch} behind the result of {self.result}"
        self.event = batch.index
        self.events.setdefault(batch.session, []).append(batch.index)

    def command(self, call: Call, *, waited: bool) -> None:
        """The result of a command is delivered; `waited` says that it may have waited to be settled."""
        if not waited:
            assert call.index > self.result, f"{call} of {call.index} behind the result of {self.result}"
            assert call.index > self.event, f"{call} of {call.index} behind events of {self.event}"
            self.result = call.index

    def query(self, call: Call) -> None:
        """An answer is delivered."""
        if call.level >= SEQUENTIAL:
            given = max(self.answer, self.event, self.result)
            assert call.index >= given, f"{call} answered as of {call.index}, and {given} was given before"
        self.answer = max(self.answer, call.index)


class Storm:
    """One client session and one shard with a hostile network between them."""

    def __init__(self, kit: Any, seed: int, *, expire: bool, events: bool) -> None:
        self.random = Random(seed)
        self.kit = kit
        self.expire = expire
        self.publishes = events
        self.harness = kit.Harness(seed=seed)
        self.shard = kit.FakeShard(limits=Limits(in_flight_max=self.random.choice((2, 5, 40)), operations_max=3))
        self.shard.autocommit = False
        self.shard.data[5] = {}
        self.shard.index_of_answer = self.index_of_answer
        self.order = Order()
        self.batches: list[EventBatch] = []
        self.told: list[Call] = []
        self.published: dict[int, list[int]] = {}
        self.requests: list[Any] = []
        self.replies: list[Any] = []
        self.calls: dict[int, Any] = {}
        self.given_up: set[int] = set()
        self.term = 1
        self.connection = 1
        self.harness.session.connected("tcp://somewhere:1", 1, self.harness.now)

    def index_of_answer(self, request: frames.Request) -> int:
        """A replica that does not lead answers as of any index from the one the client has seen on."""
        local = request.level in (SEQUENTIAL, CAUSAL) and not request.flags & frames.TO_LEADER
        return self.random.randint(min(request.seen, self.shard.index), self.shard.index) if local else self.shard.index

    def step(self) -> None:
        """One random thing happens."""
        dice = self.random.random()
        if dice < 0.25:
            self.submit()
        elif dice < 0.48:
            self.deliver_request()
        elif dice < 0.70:
            self.deliver_reply()
        elif dice < 0.82:
            self.replies += self.shard.commit(self.random.randrange(4))
        elif dice < 0.92:
            self.pass_time(self.random.choice((0.001, 0.05, 0.3, 2.0)))
        elif dice < 0.95:
            self.handle(self.random.randrange(3))
        else:
            self.trouble()
        self.collect()

    def submit(self) -> None:
        """Commands and queries that answer their own number, at all levels."""
        for _ in range(self.random.randrange(1, 4)):
            query = self.random.random() < 0.25
            name = "tell" if self.publishes and not query and self.random.random() < 0.4 else "echo"
            levels = (LINEARIZABLE, BOUNDED_LINEARIZABLE, SEQUENTIAL, CAUSAL) if query else (LINEARIZABLE, SEQUENTIAL)
            self.call(name, query=query, level=self.random.choice(levels))
        if self.random.random() < 0.1:
            tag = self.random.randrange(len(self.calls))
            if not self.calls[tag].done:
                self.given_up.add(tag)
                self.harness.session.give_up(self.calls[tag], self.harness.now)

    def call(self, name: str, **options: Any) -> None:
        """One call that answers its own number."""
        tag = len(self.calls)
        self.calls[tag] = self.harness.call(
            name, tag, timeout=self.random.choice((0.2, 2.0, 30.0, 10_000.0)), **options
        )

    def handle(self, count: int) -> None:
        """Handlers run to their end, in any order, and may make calls themselves."""
        for _ in range(min(count, len(self.batches))):
            batch = self.batches.pop(self.random.randrange(min(3, len(self.batches))))
            self.order.handled.add((batch.session, batch.index))
            if self.random.random() < 0.2 and len(self.calls) < 400:
                self.call("tell", level=LINEARIZABLE, nested=True)
            self.harness.done(batch)

    def collect(self) -> None:
        """End of a turn: what the client sends goes into the network, which forgets the oldest of too much."""
        self.harness.session.pump(self.harness.now)
        self.take()
        self.requests += self.harness.sent()
        self.requests, self.replies = self.requests[-60:], self.replies[-60:]
        for session in self.shard.sessions.values():
            self.published[session.number] = session.published

    def take(self) -> None:
        """What was delivered, in order."""
        items, self.harness.outbox.finished = self.harness.outbox.finished, []
        for item in items:
            if isinstance(item, Call):
                self.told.append(item)
                self.given(item)
            elif isinstance(item, EventBatch):
                self.order.batch(item)
                self.batches.append(item)
            elif item.state is ClientState.CONNECTED and item.session != self.order.session:
                self.order.begin(item.session)
                self.batches.clear()

    def given(self, call: Call) -> None:
        """A call is finished: its place among what was given before."""
        if call.error is not None:
            return
        if call.is_query:
            self.order.query(call)
            return
        waits = call.level == LINEARIZABLE and not call.nested
        self.order.command(call, waited=waits)
        for session in self.shard.sessions.values() if waits else ():
            if session.number == self.order.session and call.index in session.published:
                assert (session.number, call.index) in self.order.handled, f"{call} returned before it was handled"

    def pick(self, messages: list[Any]) -> Any:
        """Any message, out of order; now and then it stays to come again, now and then it is lost."""
        index = self.random.randrange(len(messages))
        message = messages[index] if self.random.random() < 0.25 else messages.pop(index)
        return None if self.random.random() < 0.15 else message

    def deliver_request(self) -> None:
        """Something reaches the shard, or is refused on the way."""
        if self.requests and (sent := self.pick(self.requests)):
            self.shard.refuse = self.random.choice((0, 0, 0, 0, 0, 0, *REFUSALS))
            self.replies += self.shard.handle(sent.message)

    def deliver_reply(self) -> None:
        """Something reaches the client."""
        if self.replies and (message := self.pick(self.replies)):
            self.give(message)

    def give(self, message: Any) -> None:
        reply, body = frames.parse_reply(message)
        self.harness.session.receive(reply, body, self.harness.now)
        self.take()

    def pass_time(self, seconds: float) -> None:
        """The clock moves; what the client repeats goes into the network."""
        self.requests += self.harness.advance(seconds)

    def trouble(self) -> None:
        """A new leader, a new connection, commands dropped from the early ones, or a session forgotten."""
        what = self.random.choice(("leader", "leader", "connection", "early", "expire"))
        if what == "leader":
            self.shard.lose_leader(self.random.randrange(len(self.shard.log) + 1))
            self.term += 1
            if self.random.random() < 0.7:
                self.harness.session.leader_changed(self.term, 0, self.harness.now)
        elif what == "connection":
            self.connection += 1
            self.requests.clear()
            self.harness.session.disconnected()
            self.pass_time(0.1)
            self.harness.session.connected("tcp://other:1", self.connection, self.harness.now)
        elif what == "early":
            for session in self.shard.sessions.values():
                session.early.clear()
        elif self.expire and self.random.random() < 0.2:
            self.shard.log.clear()
            self.shard.sessions.clear()

    def calm(self) -> None:
        """A fair network and one leader: everything must settle now."""
        self.shard.refuse = 0
        for _ in range(400):
            requests, self.requests = self.requests, []
            for sent in requests:
                self.replies += self.shard.handle(sent.message)
            self.replies += self.shard.commit()
            replies, self.replies = self.replies, []
            for message in replies:
                self.give(message)
            self.handle(len(self.batches))
            self.pass_time(0.5)
            self.collect()
            if self.is_quiet():
                return
        flow = self.harness.session.flow
        raise AssertionError(f"stuck: {flow.queue}, {flow.flight.window.pending}, {list(flow.settling.calls())}")

    def is_quiet(self) -> bool:
        """Whether nothing waits for anything."""
        flow = self.harness.session.flow
        waiting = flow.queue or flow.flight.window.pending or flow.flight.queries.count or self.batches
        waiting = waiting or list(flow.settling.calls()) or list(flow.arrivals.calls()) or flow.events.due
        session = self.shard.sessions.get(self.order.session)
        return not waiting and (session is None or session.told == session.event_index == flow.events.handled)

    def check(self) -> None:
        """The promises."""
        assert len(self.told) == len(set(map(id, self.told))), "a call was finished twice"
        finished = {id(call) for call in self.told}
        applied = [operation[2] for _, _, operation in self.shard.history if operation[1] in ("echo", "tell")]
        assert len(applied) == len(set(applied)), "applied twice"
        assert applied == sorted(applied), "not in the order of submission"
        for tag, call in self.calls.items():
            assert (id(call) in finished) != (tag in self.given_up), f"{call} was told {id(call) in finished}"
            if tag in self.given_up:
                continue
            if call.error is None:
                assert call.result == tag, "somebody else's result"
                assert call.is_query or tag in applied, "answered, but not applied"
            elif isinstance(call.error, EventsPending):
                assert call.error.result == tag
                assert tag in applied, "told as applied, and was not"
            elif call.error.definite:
                assert tag not in applied, f"failed definitely ({call.error}), but applied"
        for session, indexes in self.order.events.items():
            published = self.published[session]
            assert indexes == published[: len(indexes)], f"of {published} session {session} was given {indexes}"
            if session in self.shard.sessions:
                assert indexes == published, f"of {published} session {session} was given only {indexes}"


@pytest.mark.parametrize("expire", [False, True], ids=["one-session", "sessions-expire"])
@pytest.mark.parametrize("events", [False, True], ids=["no-events", "events"])
@pytest.mark.parametrize("block", range(6))
def test_whatever_happens_each_command_runs_at_most_once_in_order_and_is_answered(kit, block, expire, events):
    for seed in range(25 * block, 25 * block + 25):
        storm = Storm(kit, seed, expire=expire, events=events)
        try:
            for _ in range(300):
                storm.step()
            storm.calm()
            storm.check()
        except Exception as error:
            raise AssertionError(f"seed {seed}, expire {expire}, events {events}: {error}") from error
