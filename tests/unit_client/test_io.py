"""The I/O thread and the owner of a client: events, states, outcomes and routers, over a real socket."""

from __future__ import annotations

import queue
import threading
import time
from types import SimpleNamespace

import pytest
from ocelog.client.backoff import Once
from ocelog.client.calls import Call, ClientState, EventBatch, StateChange
from ocelog.client.io import IoThread
from ocelog.client.options import check
from ocelog.client.protocol import frames, outcomes
from ocelog.client.protocol.errors import Closed, ConnectFailed
from ocelog.client.protocol.events import unpack_handled

SECONDS = 10.0


class Inbox:
    """An owner that keeps what it is given, in order."""

    def __init__(self) -> None:
        self.items: queue.Queue = queue.Queue()

    def deliver(self, items) -> None:
        for item in items:
            self.items.put(item)

    def next(self, kind):
        """The next item of that kind; others before it are passed over."""
        deadline = time.monotonic() + SECONDS
        while True:
            item = self.items.get(timeout=max(0.001, deadline - time.monotonic()))
            if isinstance(item, kind):
                return item


@pytest.fixture
def scene(kit, router):
    """A thread that is connected, its owner, and how to make a call."""
    threads = []

    def begin(*endpoints, owner=True, **options):
        defaults = {"timeout": SECONDS, "session_timeout": 30.0, "client_id": "me"}
        io = IoThread(check(list(endpoints) or router.endpoint, **{**defaults, **options}))
        threads.append(io)
        inbox = Inbox()
        io.owner = inbox if owner else None
        resource = kit.resource("m", "map")

        def call(*parts, **fields):
            now = time.monotonic()
            one = Call(resource, parts, fields.pop("query", False), now, now + SECONDS, inbox, None, **fields)
            io.submit([one])
            return one

        return SimpleNamespace(io=io, inbox=inbox, call=call, resource=resource)

    yield begin
    for io in threads:
        io.close(0.5)
        io.ended.result(SECONDS)


def handled(router):
    """What the shard was told by the last HANDLED."""
    told = [unpack_handled(sent.body) for sent in router.requests if sent.kind == frames.HANDLED]
    return told[-1] if told else None


def test_results_and_events_come_to_the_owner_in_the_order_of_the_log(scene, router):
    here = scene()
    calls = [here.call("tell", n) for n in range(3)]
    items = [here.inbox.next((Call, EventBatch)) for _ in range(6)]
    assert items[::2] == calls
    assert [event.value for batch in items[1::2] for event in batch.events] == [0, 1, 2]
    assert [batch.index for batch in items[1::2]] == [call.index for call in calls]


def test_done_may_be_called_in_any_thread_and_the_shard_is_told(kit, scene, router):
    here = scene()
    for n in range(3):
        here.call("tell", n)
    batches = [here.inbox.next(EventBatch) for _ in range(3)]
    threads = [threading.Thread(target=batch.done) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    kit.until(lambda: handled(router) == (batches[-1].index, batches[-1].index))


def test_without_an_owner_every_batch_counts_as_handled(kit, scene, router):
    here = scene(owner=False)
    call = here.call("tell", 1)
    assert here.inbox.next(Call) is call
    kit.until(lambda: handled(router) == (call.index, call.index))


def test_a_linearizable_call_returns_when_its_events_are_handled(scene):
    here = scene()
    call = here.call("tell", 1, level=frames.LINEARIZABLE)
    batch = here.inbox.next(EventBatch)
    assert not call.done
    batch.done()
    assert here.inbox.next(Call) is call
    assert call.error is None


def test_states_are_told_and_can_be_looked_up(scene, router):
    here = scene()
    here.call("echo", 1)
    change = here.inbox.next(StateChange)
    assert (change.shard, change.state) == (0, ClientState.CONNECTED)
    assert here.io.states == {0: ClientState.CONNECTED}
    router.shards[0].sessions.clear()
    here.call("echo", 2)
    expired = here.inbox.next(StateChange)
    assert (expired.state, expired.session) == (ClientState.EXPIRED, change.session)
    again = here.inbox.next(StateChange)
    assert again.state is ClientState.CONNECTED
    assert again.session > change.session
    here.io.close(1)
    here.io.ended.result(SECONDS)
    assert here.io.states == {0: ClientState.CLOSED}
    assert here.inbox.next(StateChange).state is ClientState.CLOSED


def test_an_outcome_is_asked_for_and_comes_to_whoever_asked(scene, router):
    here = scene()
    router.outcome = outcomes.Outcome(outcomes.NEVER, 0, b"")
    call = here.io.outcome(1, 40, b"k" * 16, 3, time.monotonic() + SECONDS, here.inbox, None)
    assert here.inbox.next(Call) is call
    assert call.result == router.outcome


def test_a_question_after_the_end_is_answered_with_closed(scene):
    here = scene()
    here.io.close(1)
    here.io.ended.result(SECONDS)
    call = here.io.outcome(0, 40, b"k" * 16, 3, time.monotonic() + SECONDS, here.inbox, None)
    assert here.inbox.next(Call) is call
    assert isinstance(call.error, Closed)


def test_once_means_one_round_over_all_endpoints(scene):
    started = time.monotonic()
    here = scene("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", retry=Once(), timeout=60.0)
    with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:2"):
        here.io.ready.result(SECONDS)
    assert time.monotonic() - started < SECONDS


def test_a_router_that_reaches_no_shard_is_left_for_one_that_does(kit, scene, router):
    deaf = kit.FakeRouter([kit.FakeShard(0), kit.FakeShard(1)])
    deaf.deaf = True
    try:
        here = scene(deaf.endpoint, router.endpoint, session_timeout=1.0)
        call = here.call("echo", 7)
        assert here.inbox.next(StateChange).state is ClientState.SUSPENDED
        assert here.inbox.next(StateChange).state is ClientState.CONNECTED
        assert here.inbox.next(Call) is call
        assert call.result == 7
    finally:
        deaf.stop()


def test_a_lost_router_is_replaced_by_one_that_was_only_heard_of_and_events_follow(kit, scene, router):
    other = kit.FakeRouter(router.shards)
    router.routers = [other.endpoint]
    try:
        here = scene()
        here.call("tell", 1)
        assert here.inbox.next(EventBatch).events[0].value == 1
        router.stop()
        here.call("tell", 2)
        assert here.inbox.next(EventBatch).events[0].value == 2
        assert here.io.connection.endpoint == other.endpoint
    finally:
        other.stop()


def test_no_router_suspends_and_the_next_one_connects_again(kit, scene, router):
    here = scene()
    call = here.call("echo", 1)
    assert here.inbox.next(Call) is call
    kit.until(lambda: here.io.states == {0: ClientState.CONNECTED})
    router.stop()
    kit.until(lambda: here.io.states == {0: ClientState.SUSPENDED})
    again = kit.FakeRouter(router.shards, endpoint=router.endpoint)
    try:
        kit.until(lambda: here.io.connection.ready)
        here.call("echo", 2)
        assert here.inbox.next(Call).result == 2
        kit.until(lambda: here.io.states == {0: ClientState.CONNECTED})
    finally:
        again.stop()
