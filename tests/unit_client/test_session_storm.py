"""A session against everything a network and a shard may do, seeded: loss, repeats, late copies, refusals, new leaders.

Whatever happens, each command is applied at most once and in order, each call gets its own result, what failed definitely was
not applied, and when the storm is over every sequence is settled.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.limits import Limits


class Storm:
    """One client session and one shard with a hostile network between them."""

    def __init__(self, kit: Any, seed: int, *, expire: bool) -> None:
        self.random = Random(seed)
        self.kit = kit
        self.expire = expire
        self.harness = kit.Harness(seed=seed)
        self.shard = kit.FakeShard(limits=Limits(in_flight_max=self.random.choice((2, 5, 40)), operations_max=3))
        self.shard.autocommit = False
        self.shard.data[5] = {}
        self.requests: list[Any] = []
        self.replies: list[Any] = []
        self.calls: dict[int, Any] = {}
        self.given_up: set[int] = set()
        self.term = 1
        self.connection = 1
        self.harness.session.connected("tcp://somewhere:1", 1, self.harness.now)

    def step(self) -> None:
        """One random thing happens."""
        dice = self.random.random()
        if dice < 0.25:
            self.submit()
        elif dice < 0.50:
            self.deliver_request()
        elif dice < 0.72:
            self.deliver_reply()
        elif dice < 0.84:
            self.replies += self.shard.commit(self.random.randrange(4))
        elif dice < 0.94:
            self.pass_time(self.random.choice((0.001, 0.05, 0.3, 2.0)))
        else:
            self.trouble()
        self.collect()

    def submit(self) -> None:
        """A command or a query that answers its own number."""
        for _ in range(self.random.randrange(1, 4)):
            tag = len(self.calls)
            self.calls[tag] = self.harness.call(
                "echo", tag, query=self.random.random() < 0.25, timeout=self.random.choice((0.2, 2.0, 30.0))
            )
        if self.random.random() < 0.1:
            tag = self.random.randrange(len(self.calls))
            if not self.calls[tag].done:
                self.given_up.add(tag)
                self.harness.session.give_up(self.calls[tag], self.harness.now)

    def collect(self) -> None:
        """End of a turn: what the client sends goes into the network, which forgets the oldest of too much."""
        self.harness.session.pump(self.harness.now)
        self.requests += self.harness.sent()
        self.requests, self.replies = self.requests[-60:], self.replies[-60:]

    def pick(self, messages: list[Any]) -> Any:
        """Any message, out of order; now and then it stays to come again, now and then it is lost."""
        index = self.random.randrange(len(messages))
        message = messages[index] if self.random.random() < 0.25 else messages.pop(index)
        return None if self.random.random() < 0.15 else message

    def deliver_request(self) -> None:
        """Something reaches the shard, or is refused on the way."""
        if self.requests and (sent := self.pick(self.requests)):
            self.shard.refuse = self.random.choice(
                (0, 0, 0, 0, 0, errors.NOT_LEADER, errors.NO_LEADER, errors.BUSY, errors.NO_SPACE, errors.NOT_SENT)
            )
            self.replies += self.shard.handle(sent.message)

    def deliver_reply(self) -> None:
        """Something reaches the client."""
        if self.replies and (message := self.pick(self.replies)):
            self.give(message)

    def give(self, message: Any) -> None:
        reply, body = frames.parse_reply(message)
        self.harness.session.receive(reply, body, self.harness.now)

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
            self.pass_time(0.5)
            self.collect()
            flow = self.harness.session.flow
            if not flow.queue and not flow.flight.window.pending and not flow.flight.queries.count:
                return
        raise AssertionError(f"stuck: {flow.queue}, {flow.flight.window.pending}")

    def check(self) -> None:
        """The promises."""
        finished = self.harness.finished()
        assert len(finished) == len(set(map(id, finished))), "a call was finished twice"
        settled = {id(call) for call in finished}
        applied = [operation[2] for _, _, operation in self.shard.history if operation[1] == "echo"]
        assert len(applied) == len(set(applied)), "applied twice"
        assert applied == sorted(applied), "not in the order of submission"
        for tag, call in self.calls.items():
            assert (id(call) in settled) != (tag in self.given_up), f"{call} was told {id(call) in settled}"
            if tag in self.given_up:
                continue
            if call.error is None:
                assert call.result == tag, "somebody else's result"
                assert call.is_query or tag in applied, "answered, but not applied"
            elif call.error.definite:
                assert tag not in applied, f"failed definitely ({call.error}), but applied"


@pytest.mark.parametrize("expire", [False, True], ids=["one-session", "sessions-expire"])
@pytest.mark.parametrize("block", range(6))
def test_whatever_happens_each_command_runs_at_most_once_in_order_and_is_answered(kit, block, expire):
    for seed in range(50 * block, 50 * block + 50):
        storm = Storm(kit, seed, expire=expire)
        try:
            for _ in range(300):
                storm.step()
            storm.calm()
            storm.check()
        except Exception as error:
            raise AssertionError(f"seed {seed}, expire {expire}: {error}") from error
