"""Streams, callbacks, states, receipts and outcomes of both clients, over an I/O thread that answers from memory.

What the sessions and the cluster do has its own tests; here an operation is applied at once, its result delivered, and
then the events that it published, as a session delivers them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import queue
import signal
import threading
import time
from concurrent.futures import Future
from itertools import islice
from types import SimpleNamespace

import ocelog
import pytest
from ocelog.client.aio import AsyncClient
from ocelog.client.calls import Call, ClientState, EventBatch, StateChange
from ocelog.client.handlers import THREAD_NAME
from ocelog.client.options import check
from ocelog.client.protocol import errors, outcomes
from ocelog.client.protocol.errors import (
    BadArgument,
    Closed,
    DeadlineExceeded,
    EventsPending,
    OutcomeUnknown,
    SessionExpired,
)
from ocelog.client.protocol.events import Event
from ocelog.client.sync import Client

SECONDS = 10.0
KEY = bytes(16)


class ScriptedIo:
    """Stands for the I/O thread and the cluster: one shard, applied in the order of submission.

    `answer(call)` may be replaced to answer otherwise; returning False it leaves the call unanswered.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        slots = SimpleNamespace(shard_of=lambda key: 0)
        self.connection = SimpleNamespace(endpoints=["tcp://nowhere:1"], slots=slots)
        self.ended: Future[None] = Future()
        self.owner = None
        self.states = {}
        self.calls = []
        self.given_up = []
        self.handled = []
        self.outcomes = []
        self.index = 0
        self.maps = {}
        self.counters = {}
        self.listening = set()
        self.answer = lambda call: True
        self._closing = False
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # -- what a client uses ------------------------------------------------------------------------

    @property
    def usable(self):
        return not self._closing and self.pid == os.getpid()

    def why_unusable(self):
        return Closed("the client is closed" if self.pid == os.getpid() else "made by another process")

    def submit(self, calls):
        for call in calls:
            self._queue.put(lambda call=call: self._perform(call))

    def share(self, watch, nudge):
        """All is left to the thread."""

    turn = submit

    def give_up(self, call):
        self.given_up.append(call)

    def outcome(self, shard, session, key, sequence, deadline, owner, waiter):
        call = Call(SimpleNamespace(shard=shard, name=""), ("outcome",), True, 0.0, deadline, owner, waiter)
        self.asked = (shard, session, key, sequence)

        def run():
            call.result = self.outcomes.pop(0)
            call.index = call.result.index
            owner.deliver([call])

        self._queue.put(run)
        return call

    def close(self, timeout=0):
        self._closing = True
        self._queue.put(None)

    forget = close

    # -- what a test uses --------------------------------------------------------------------------

    def do(self, function, *arguments):
        """Run something in the thread, and wait."""
        done = threading.Event()
        self._queue.put(lambda: (function(*arguments), done.set()))
        assert done.wait(SECONDS)

    def state(self, state, *, shard=0, reason="because"):
        """A change of the session's state."""
        if state is ClientState.EXPIRED:
            self.listening.clear()
        self.states = {**self.states, shard: state}
        if self.owner is not None:
            self.owner.deliver([StateChange(shard, state, 77, reason)])

    # -- the thread --------------------------------------------------------------------------------

    def _run(self):
        while (function := self._queue.get()) is not None:
            function()
        self.ended.set_result(None)

    def _perform(self, call):
        self.calls.append(call)
        if not self.answer(call):
            return
        if call.error is not None:
            call.owner.deliver([call])
            return
        if call.resource.index is None:
            self.index += 1
            call.resource.index = self.index
        self.index += not call.is_query
        events = []
        state = self.maps if call.resource.type == "map" else self.counters
        call.result = self._apply(call, state, events)
        call.index = self.index
        if call.traced:
            call.receipt = {"term": 3, "replica": 1, "path": "leader", "applied": 17}
        call.owner.deliver([call])
        if events and (call.resource.name in self.listening) and self.owner is not None:
            found = [Event(call.resource.index, "change", event) for event in events]
            self.owner.deliver([EventBatch(0, 77, self.index, found, self.handled.append)])

    def _apply(self, call, state, events):
        name, *arguments = call.parts
        if name == "listen":
            return self.listening.add(call.resource.name)
        if name == "unlisten":
            return self.listening.discard(call.resource.name)
        if state is self.counters:
            old = state.get(call.resource.name, 0)
            if name == "get":
                return old
            state[call.resource.name] = new = arguments[0] if name == "set" else old + arguments[0]
            events.append(["changed", None, old, new])
            return None if name == "set" else new
        entries = state.setdefault(call.resource.name, {})
        if name == "put":
            key, value = arguments
            old, entries[key] = entries.get(key), value
            events.append(["added" if old is None else "updated", key, old, value])
            return old
        if name == "remove":
            old = entries.pop(arguments[0], None)
            events.append(["removed", arguments[0], old, None])
            return old
        return {"get": lambda: entries.get(arguments[0]), "entries": lambda: list(map(list, entries.items()))}[name]()


@pytest.fixture
def io():
    io = ScriptedIo()
    yield io
    io.close()


def connected(io, **options):
    return Client(io, check("tcp://nowhere:1", 5.0, 30.0, None, **options))


@pytest.fixture
def client(io):
    with connected(io) as client:
        yield client


def run(io, scenario, **options):
    """Run `scenario(client)` in a loop of its own."""

    async def main():
        async with AsyncClient(io, check("tcp://nowhere:1", 5.0, 30.0, None, **options)) as client:
            await asyncio.wait_for(scenario(client), SECONDS)

    asyncio.run(main())


async def until(condition):
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came so")


def fields(event):
    return (event.kind, event.key, event.old, event.new)


def events_threads():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


# -- streams -----------------------------------------------------------------------------------------


def test_a_blocking_loop_over_a_map(client):
    users = client.map("users")
    with users.events(timeout=SECONDS) as events:
        users.put("ada", {"born": 1815})
        users.put("ada", 1)
        users.remove("ada")
        seen = [fields(event) for event in islice(events, 3)]
    assert seen == [
        ("added", "ada", None, {"born": 1815}),
        ("updated", "ada", {"born": 1815}, 1),
        ("removed", "ada", 1, None),
    ]
    assert list(events) == []  # closed


def test_an_asyncio_loop_over_a_counter(io):
    async def scenario(client):
        hits = client.counter("hits")
        seen = []
        async with hits.events() as events:
            await hits.increment()
            await hits.set(7)
            async for event in events:
                seen.append(fields(event))
                if len(seen) == 2:
                    break
        assert seen == [("changed", None, 0, 1), ("changed", None, 1, 7)]
        assert [event async for event in events] == []

    run(io, scenario)


def test_a_stream_that_nobody_entered_listens_from_its_making_all_the_same(io):
    async def scenario(client):
        users = client.map("users")
        events = users.events()
        await users.put("a", 1)
        assert (await anext(events)).new == 1
        await events.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    run(io, scenario)


def test_with_a_timeout_an_iteration_ends_when_nothing_comes(io, client):
    users = client.map("users")
    events = users.events(timeout=0.05)
    users.put("a", 1)
    assert [event.new for event in events] == [1]
    users.put("a", 2)
    assert [event.new for event in events] == [2]
    with pytest.raises(DeadlineExceeded, match=r"no event within 0\.05 s"):
        events.next(timeout=0.05)

    async def scenario(client):
        users = client.map("users")
        async with users.events(timeout=0.05) as events:
            await users.put("b", 1)
            assert [event.new async for event in events] == [1]
            with pytest.raises(DeadlineExceeded, match=r"no event within 0\.05 s"):
                await events.next(timeout=0.05)

    other = ScriptedIo()
    run(other, scenario)


def test_a_key_and_a_buffer_are_checked(io, client):
    for wrong in (1.5, True, ("a",)):
        with pytest.raises(BadArgument):
            client.map("users").events(wrong)
    for wrong in (0, -1, 1.0, True):
        with pytest.raises(BadArgument, match="buffer"):
            client.map("users").events(buffer=wrong)
    with pytest.raises(BadArgument, match="timeout"):
        client.map("users").events(timeout=0)
    assert io.listening == set()


def test_a_consumer_that_is_too_slow_gets_the_state_instead(client):
    users = client.map("users")
    with users.events(buffer=3) as events:
        for number in range(10):
            users.put("a", number)
        resync = events.next(timeout=SECONDS)
        assert (resync.kind, resync.state) == ("resync", {"a": 9})
        users.put("a", 10)
        event = events.next(timeout=SECONDS)
        assert (event.new, event.index) == (10, resync.index + 1)


def test_a_consumer_in_a_loop_that_is_too_slow_gets_the_state_instead(io):
    async def scenario(client):
        users = client.map("users")
        async with users.events(buffer=3) as events:
            for number in range(10):
                await users.put("a", number)
            resync = await anext(events)
            assert (resync.kind, resync.state) == ("resync", {"a": 9})
            await users.put("a", 10)
            assert (await events.next(timeout=SECONDS)).new == 10

    run(io, scenario)


def test_ten_thousand_events_in_order(client):
    hits = client.counter("hits")
    numbers = []
    with hits.events(buffer=20_000, timeout=SECONDS) as events:
        for number in range(10_000):
            client.submit(hits, "set", number)
        numbers = [event.new for event in islice(events, 10_000)]
    assert numbers == list(range(10_000))


def test_ten_thousand_events_to_asyncio(io):
    async def scenario(client):
        hits = client.counter("hits")
        async with hits.events(buffer=20_000) as events:
            sending = asyncio.gather(*[hits.set(number) for number in range(10_000)])
            numbers = [(await anext(events)).new for _ in range(10_000)]
            await sending
        assert numbers == list(range(10_000))

    run(io, scenario)


@pytest.mark.parametrize("how", ["stream", "client"])
def test_closing_wakes_who_waits_for_an_event(io, how):
    client = connected(io)
    events = client.map("users").events()
    ended = []
    thread = threading.Thread(target=lambda: ended.append(list(events)))
    thread.start()
    (events if how == "stream" else client).close()
    thread.join(SECONDS)
    assert ended == [[]]
    client.close()

    async def scenario(client):
        events = client.map("users").events()
        task = asyncio.ensure_future(_collect(events))
        await asyncio.sleep(0.01)
        if how == "stream":
            events.close()
        else:
            await client.close()
        assert await task == []

    run(ScriptedIo(), scenario)


async def _collect(events):
    return [event async for event in events]


def test_a_cancelled_wait_loses_no_event(io):
    async def scenario(client):
        users = client.map("users")
        async with users.events() as events:
            for number in range(50):
                waiting = asyncio.ensure_future(anext(events))
                await asyncio.sleep(0)
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
                await users.put("a", number)
                assert (await anext(events)).new == number

    run(io, scenario)


def test_two_tasks_share_a_stream_and_each_event_goes_to_one(io):
    async def scenario(client):
        hits = client.counter("hits")
        async with hits.events() as events:
            tasks = [asyncio.ensure_future(_take(events, 50)) for _ in range(2)]
            await asyncio.gather(*[hits.set(number) for number in range(100)])
            found = await asyncio.gather(*tasks)
        assert sorted(found[0] + found[1]) == list(range(100))

    run(io, scenario)


async def _take(events, count):
    return [(await anext(events)).new for _ in range(count)]


def test_a_stream_that_cannot_listen_says_why_and_leaves_nothing_behind(io):
    def refuse(call):
        if call.parts[0] == "listen":
            call.error = errors.WrongType(errors.WRONG_TYPE, "it is a counter")
        return True

    io.answer = refuse
    with connected(io) as client, pytest.raises(errors.WrongType):
        client.map("users").events()
    other = ScriptedIo()
    other.answer = refuse

    async def scenario(client):
        with pytest.raises(errors.WrongType):
            async with client.map("users").events():
                pass
        with pytest.raises(errors.WrongType):
            await anext(client.map("users").events())
        with pytest.raises(errors.WrongType):
            await client.map("users").on_change(print)

    run(other, scenario)


def test_a_forgotten_stream_is_closed(io, client):
    users = client.map("users")
    events = users.events()
    assert io.listening == {"users"}
    del events
    gc.collect()
    users.put("a", 1)
    for _ in range(1000):
        if not io.listening:
            break
        time.sleep(0.005)
    assert io.listening == set()


def test_a_stream_keeps_its_client_and_a_forgotten_client_ends(io):
    events = connected(io).map("users").events()
    gc.collect()
    assert not io.ended.done()
    del events
    gc.collect()
    io.ended.result(SECONDS)


def test_an_io_thread_that_dies_ends_the_streams_with_an_error(io):
    client = connected(io)
    events = client.map("users").events()
    io.close()
    with pytest.raises(Closed):
        events.next(timeout=SECONDS)


# -- callbacks ---------------------------------------------------------------------------------------


def test_callbacks_of_a_blocking_client_run_in_their_thread_one_at_a_time(io, client):
    users, heard = client.map("users"), []
    assert not events_threads()
    with users.on_change(lambda event: heard.append((event.new, threading.current_thread().name))):
        for number in range(100):
            users.put("a", number)
        client.counter("hits").on_change(lambda event: heard.append((event.new, threading.current_thread().name)))
        client.counter("hits").set(100)
        deadline = time.monotonic() + SECONDS
        while len(heard) < 101 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert heard == [(number, THREAD_NAME) for number in range(101)]
    assert len(events_threads()) == 1
    users.put("a", "unheard")
    client.close()
    assert len(heard) == 101


def test_a_callback_may_make_blocking_calls_and_their_results_do_not_wait_for_it(io, client):
    """Copycat's testBlockOnEvent: the callback submits a command and waits for it, while events flow."""
    hits, users = client.counter("hits"), client.map("users")
    answers = queue.SimpleQueue()

    def callback(event):
        users.put(event.new, client.submit(hits, "get", query=True), consistency=ocelog.LINEARIZABLE)
        answers.put(users.get(event.new))

    with hits.on_change(callback):
        for number in range(1, 21):
            hits.set(number)
        found = [answers.get(timeout=SECONDS) for _ in range(20)]
    assert all(value >= number for number, value in enumerate(found, 1))
    nested = [call for call in io.calls if call.parts[0] == "put"]
    assert all(call.nested and call.level == ocelog.LINEARIZABLE for call in nested)
    assert not any(call.nested for call in io.calls if call.parts[0] == "set")


def test_an_event_is_handled_when_its_callback_is_over(io, client):
    users = client.map("users")
    inside, leave = threading.Event(), threading.Event()

    def callback(event):
        inside.set()
        assert leave.wait(SECONDS)

    with users.on_change(callback), users.events() as events:
        users.put("a", 1)
        assert inside.wait(SECONDS)
        assert events.next(timeout=SECONDS).new == 1
        io.do(lambda: None)
        assert io.handled == []
        leave.set()
        deadline = time.monotonic() + SECONDS
        while not io.handled and time.monotonic() < deadline:
            time.sleep(0.001)
    assert len(io.handled) == 1


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)])
def test_an_exception_in_a_callback_is_reported_and_not_fatal(io, client, caplog, error):
    users, heard, reported = client.map("users"), queue.SimpleQueue(), []

    def callback(event):
        if event.new == 1:
            raise error
        heard.put(event.new)

    client.on_error(lambda error, event: reported.append((error, event.new)))
    client.on_error(lambda error, event: 1 / 0)
    with users.on_change(callback):
        users.put("a", 1)
        users.put("a", 2)
        assert heard.get(timeout=SECONDS) == 2
    assert reported == [(error, 1)]
    assert "a callback for events raised" in caplog.text
    assert "the callback for errors raised" in caplog.text


def test_a_callback_may_close_its_subscription_a_stream_and_the_client(io):
    client = connected(io)
    users, heard, done = client.map("users"), [], threading.Event()
    events = users.events()

    def callback(event):
        heard.append(event.new)
        subscription.close()
        events.close()
        client.close()
        done.set()

    subscription = users.on_change(callback)
    for number in range(2):
        with contextlib.suppress(Closed):
            users.put("a", number)
    assert done.wait(SECONDS)
    assert heard == [0]
    with pytest.raises(Closed):
        users.get("a")
    for thread in events_threads():
        thread.join(SECONDS)
    assert not events_threads()


def test_what_waits_for_its_callback_is_dropped_when_the_subscription_is_closed(io, client):
    users, heard, inside, leave = client.map("users"), [], threading.Event(), threading.Event()

    def callback(event):
        heard.append(event.new)
        inside.set()
        assert leave.wait(SECONDS)

    subscription = users.on_change(callback)
    for number in range(5):
        users.put("a", number)
    assert inside.wait(SECONDS)
    subscription.close()
    leave.set()
    deadline = time.monotonic() + SECONDS
    while len(io.handled) < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (heard, len(io.handled)) == ([0], 5)


def test_callbacks_in_a_loop_plain_and_coroutine_functions_in_order(io):
    async def scenario(client):
        users, heard = client.map("users"), []

        async def slow(event):
            await asyncio.sleep(0.001)
            heard.append(("slow", event.new, await users.get("a") is not None))

        await users.on_change(slow)
        await users.on_change(lambda event: heard.append(("plain", event.new, True)))
        for number in range(20):
            await users.put("a", number, consistency=ocelog.LINEARIZABLE)
        await until(lambda: len(heard) == 40)
        assert heard == [(who, number, True) for number in range(20) for who in ("slow", "plain")]
        assert len(io.handled) == 20

    run(io, scenario)
    assert all(call.nested == (call.parts[0] in ("get", "listen", "unlisten")) for call in io.calls)


def test_only_what_a_callback_starts_while_it_runs_is_nested(io):
    async def scenario(client):
        users, later = client.map("users"), []

        async def afterwards():
            await asyncio.sleep(0.02)
            await client.submit(users, "get", b"after", query=True)

        async def callback(event):
            later.append(asyncio.ensure_future(afterwards()))
            await client.submit(users, "get", b"within", query=True)

        subscription = await users.on_change(callback)
        await users.put("a", 1)
        await until(lambda: later)
        await later[0]
        subscription.close()

    run(io, scenario)
    assert {call.parts[1]: call.nested for call in io.calls if call.parts[0] == "get"} == {
        b"within": True,
        b"after": False,
    }


def test_exceptions_of_callbacks_in_a_loop(io, caplog):
    async def scenario(client):
        users, heard, reported = client.map("users"), [], []

        async def callback(event):
            await asyncio.sleep(0)
            if event.new == 1:
                raise ValueError("mine")
            heard.append(event.new)

        def plain(event):
            raise KeyError(event.new)

        client.on_error(lambda error, event: reported.append(type(error)))
        await users.on_change(callback)
        await users.on_change(plain)
        await users.put("a", 1)
        await users.put("a", 2)
        await until(lambda: len(reported) == 3)
        assert (heard, reported) == ([2], [ValueError, KeyError, KeyError])
        await until(lambda: len(io.handled) == 2)

    run(io, scenario)
    assert "mine" in caplog.text


def test_a_coroutine_callback_may_close_everything(io):
    async def scenario(client):
        users, done = client.map("users"), asyncio.Event()
        events = users.events()

        async def callback(event):
            subscription.close()
            events.close()
            await client.close()
            done.set()

        subscription = await users.on_change(callback)
        with contextlib.suppress(Closed):
            await users.put("a", 1)
        await done.wait()
        assert [event async for event in events] == []

    run(io, scenario)


# -- recovery and states -----------------------------------------------------------------------------


def test_a_new_session_brings_a_resync_and_then_what_follows(io, client):
    users, heard = client.map("users"), queue.SimpleQueue()
    users.put("a", 1)
    events = users.events()
    users.on_change(heard.put)
    io.do(io.state, ClientState.EXPIRED)
    users.put("a", 2)
    users.put("a", 3)
    for source in (lambda: events.next(timeout=SECONDS), lambda: heard.get(timeout=SECONDS)):
        seen = source()
        while seen.kind != "resync":  # what came before the state was asked for
            seen = source()
        value = seen.state["a"]
        while value != 3:
            value = source().new
    users.put("a", 4)
    assert events.next(timeout=SECONDS).new == 4
    assert heard.get(timeout=SECONDS).new == 4


def test_with_recovery_close_the_streams_end_with_the_session(io):
    with connected(io, recovery="close") as client:
        users, reported = client.map("users"), queue.SimpleQueue()
        events = users.events()
        client.on_error(lambda error, resource: reported.put((error, resource.name)))
        users.on_change(print)
        io.do(io.state, ClientState.EXPIRED)
        with pytest.raises(SessionExpired):
            next(events)
        error, name = reported.get(timeout=SECONDS)
        assert isinstance(error, SessionExpired)
        assert name == "users"
    other = ScriptedIo()

    async def scenario(client):
        events = client.map("users").events()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.01)
        other.do(other.state, ClientState.EXPIRED)
        with pytest.raises(SessionExpired):
            await waiting

    run(other, scenario, recovery="close")


def test_the_state_of_a_client_is_the_worst_of_the_open_ones(io):
    client = connected(io)
    assert (client.state, client.states) == (ClientState.CONNECTED, {})
    for shard, state in ((0, ClientState.CONNECTED), (1, ClientState.SUSPENDED), (2, ClientState.CLOSED)):
        io.do(lambda shard=shard, state=state: io.state(state, shard=shard))
    assert client.state is ClientState.SUSPENDED
    assert client.states[2] is ClientState.CLOSED
    io.do(lambda: io.state(ClientState.EXPIRED, shard=0))
    assert client.state is ClientState.EXPIRED
    for shard in (0, 1):
        io.do(lambda shard=shard: io.state(ClientState.CLOSED, shard=shard))
    assert client.state is ClientState.CLOSED
    client.close()
    assert client.state is ClientState.CLOSED


def test_changes_of_state_are_told_and_may_be_answered_with_calls(io, client):
    told = queue.SimpleQueue()
    with client.on_state(lambda change: told.put((change, client.map("users").get("a")))):
        io.do(lambda: io.state(ClientState.SUSPENDED, reason="no router answers"))
        change, value = told.get(timeout=SECONDS)
    assert (change.shard, change.state, change.session, change.reason, value) == (
        0,
        ClientState.SUSPENDED,
        77,
        "no router answers",
        None,
    )
    io.do(lambda: io.state(ClientState.CONNECTED))
    assert told.empty()
    other = ScriptedIo()

    async def scenario(client):
        heard = []
        client.on_state(heard.append)
        other.do(lambda: other.state(ClientState.SUSPENDED, shard=3))
        await until(lambda: heard)
        assert (heard[0].shard, heard[0].state) == (3, ClientState.SUSPENDED)

    run(other, scenario)


# -- levels, outcomes, receipts ----------------------------------------------------------------------


def test_levels_of_calls_and_of_handles(io, client):
    users = client.map("users")
    users.put("a", 1)
    users.get("a")
    users.put("a", 1, consistency=ocelog.LINEARIZABLE)
    users.get("a", consistency=ocelog.CAUSAL)
    other = users.with_consistency(commands=ocelog.LINEARIZABLE, queries=ocelog.SEQUENTIAL)
    other.put("a", 1)
    other.get("a")
    other.get("a", consistency=ocelog.BOUNDED_LINEARIZABLE)
    third = other.with_consistency(queries=ocelog.CAUSAL)
    third.put("a", 1)
    third.get("a")
    client.submit(users, "get", b"a", query=True, consistency=ocelog.SEQUENTIAL)
    assert [ocelog.Consistency(call.level).name for call in io.calls] == [
        "SEQUENTIAL",
        "LINEARIZABLE",
        "LINEARIZABLE",
        "CAUSAL",
        "LINEARIZABLE",
        "SEQUENTIAL",
        "BOUNDED_LINEARIZABLE",
        "LINEARIZABLE",
        "CAUSAL",
        "SEQUENTIAL",
    ]


def test_a_level_that_is_none_is_refused_with_the_ones_there_are(client):
    users = client.map("users")
    for wrong in (ocelog.CAUSAL, ocelog.BOUNDED_LINEARIZABLE, "linearizable", 0, 2, True):
        with pytest.raises(BadArgument, match=r"a command is ocelog\.SEQUENTIAL or ocelog\.LINEARIZABLE"):
            users.put("a", 1, consistency=wrong)
        with pytest.raises(BadArgument, match="a command is"):
            users.with_consistency(commands=wrong)
        with pytest.raises(BadArgument, match="a command is"):
            client.submit(users, "put", b"a", b"b", consistency=wrong)
    for wrong in ("causal", 3, False, object()):
        with pytest.raises(BadArgument, match=r"a query is one of ocelog\.LINEARIZABLE, .*ocelog\.CAUSAL"):
            users.get("a", consistency=wrong)
        with pytest.raises(BadArgument, match="a query is"):
            users.with_consistency(queries=wrong)


def test_submit_takes_a_handle_or_a_name_and_a_type(io, client):
    assert client.submit(client.counter("hits"), "add", 2) == 2
    assert client.submit(("hits", "counter"), "get", query=True) == 2
    for wrong in ("hits", ("hits",), None):
        with pytest.raises(BadArgument, match="a resource is"):
            client.submit(wrong, "get", query=True)

    async def scenario(client):
        assert await client.submit(client.counter("hits"), "add", 2) == 2
        assert await client.submit(("hits", "counter"), "get", query=True) == 2

    run(ScriptedIo(), scenario)


@pytest.mark.parametrize(("selection", "number"), [("any", 0), ("leader", 1), ("followers", 2)])
def test_the_selection_goes_with_every_call(io, selection, number):
    with connected(io, selection=selection) as client:
        client.map("users").get("a")
    assert io.calls[0].selection == number


def test_options_that_are_none_are_refused():
    for options in ({"recovery": "perhaps"}, {"retry": 3}, {"selection": "nearest"}):
        with pytest.raises(BadArgument):
            ocelog.connect("tcp://127.0.0.1:1", **options)
        with pytest.raises(BadArgument):
            ocelog.connect_async("tcp://127.0.0.1:1", **options)


def unknown(call):
    if call.parts[0] == "put":
        call.error = OutcomeUnknown("no answer before the deadline", sequence=9)
        call.error.session, call.error.sequence = f"0/77/{KEY.hex()}", 9
    return True


PENDING = outcomes.Outcome(outcomes.PENDING, 0, b"")


def test_an_unknown_outcome_is_resolved_by_asking_until_it_is_decided(io, client):
    io.answer = unknown
    io.outcomes = [PENDING, PENDING, outcomes.Outcome(outcomes.APPLIED, 12, b"\x00\x07")]
    with pytest.raises(OutcomeUnknown) as caught:
        client.map("users").put("a", 1)
    outcome = caught.value.resolve(timeout=SECONDS)
    assert (outcome.answer, outcome.applied, outcome.result, outcome.index) == ("applied", True, 7, 12)
    assert str(outcome) == "applied at index 12, result 7"
    assert io.asked == (0, 77, KEY, 9)


def test_an_unknown_outcome_is_resolved_in_asyncio(io):
    io.answer = unknown
    io.outcomes = [PENDING, outcomes.Outcome(outcomes.APPLIED, 12, bytes((errors.VOIDED,)) + b"spent")]

    async def scenario(client):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.map("users").put("a", 1)
        outcome = await caught.value.resolve()
        assert (outcome.answer, outcome.applied, outcome.error.code) == ("applied", False, errors.VOIDED)

    run(io, scenario)


@pytest.mark.parametrize(
    ("answer", "name", "applied"),
    [
        (outcomes.ACKNOWLEDGED, "acknowledged", None),
        (outcomes.PENDING, "pending", None),
        (outcomes.NEVER, "never", False),
        (outcomes.FORGOTTEN, "forgotten", None),
    ],
)
def test_the_other_answers(io, client, answer, name, applied):
    io.outcomes = [outcomes.Outcome(answer, 0, b"")]
    outcome = client.outcome(f"3/77/{KEY.hex()}", 9)
    assert (outcome.answer, outcome.applied, str(outcome)) == (name, applied, name)
    assert io.asked == (3, 77, KEY, 9)


def test_what_stays_pending_is_a_deadline(io, client):
    io.answer = unknown
    io.outcomes = [PENDING] * 100
    with pytest.raises(OutcomeUnknown) as caught:
        client.map("users").put("a", 1)
    with pytest.raises(DeadlineExceeded, match=r"still pending after 0\.1 s"):
        caught.value.resolve(timeout=0.1)


def test_what_names_no_session_or_sequence_is_refused(client):
    for session in ("", "0/77", "0/77/zz", f"0/77/{'00' * 15}", f"x/77/{'00' * 16}", f"0/0/{'00' * 16}", None, 7):
        with pytest.raises(BadArgument, match="a session is named"):
            client.outcome(session, 1)
    for sequence in (0, -1, 1.0, True, None):
        with pytest.raises(BadArgument, match="a sequence is"):
            client.outcome(f"0/77/{KEY.hex()}", sequence)
    with pytest.raises(BadArgument, match="nothing to resolve"):
        OutcomeUnknown("by nobody").resolve()


def test_pending_events_carry_the_result_as_the_call_would_have_returned_it(io):
    def pending(call):
        if call.parts[0] == "put":
            raw = b"\x07" if call.parts[1] == b"\xa1a" else None
            call.error = EventsPending("two sessions have not handled them", result=raw, index=12)
        return True

    io.answer = pending
    with connected(io) as client:
        for key, result in (("a", 7), ("b", None)):
            with pytest.raises(EventsPending) as caught:
                client.map("users").put(key, 1, consistency=ocelog.LINEARIZABLE)
            assert (caught.value.result, caught.value.index) == (result, 12)


def test_receipts_are_those_of_the_calls_inside(io, client):
    users = client.map("users")
    users.put("a", 1)
    with client.receipts() as receipts:
        users.put("a", 2)
        users.get("a")
        threads = [threading.Thread(target=users.get, args=("elsewhere",))]
        for thread in threads:
            thread.start()
            thread.join(SECONDS)
    users.get("a")
    assert [call.traced for call in io.calls] == [False, True, True, False, False]
    assert [(receipt.operation, receipt.resource, receipt.index) for receipt in receipts] == [
        ("put", "users", 3),
        ("get", "users", 3),
    ]
    assert len(receipts) == 2
    assert receipts[0].fields["path"] == "leader"
    assert (
        str(receipts)
        .splitlines()[0]
        .startswith("put users on shard 0: index 3, term 3, replica 1, path leader, applied 17 us, elapsed ")
    )
    assert receipts[0].as_dict()["term"] == 3


def test_receipts_of_a_task_and_those_it_starts(io):
    async def scenario(client):
        users = client.map("users")

        async def other():
            await users.get("other")

        with client.receipts() as outer:
            with client.receipts() as inner:
                await asyncio.gather(users.get("a"), users.get("b"))
            await users.get("c")
            late = asyncio.ensure_future(_later(other))
        await other()
        await late
        assert (len(inner), len(outer)) == (2, 1)
        assert not client._tracing.on

    run(io, scenario)
    assert [call.traced for call in io.calls] == [True, True, True, False, False]


async def _later(function):
    await asyncio.sleep(0.01)
    await function()


def test_a_receipt_tells_of_a_failure_too(io):
    io.answer = unknown
    with connected(io) as client, client.receipts() as receipts, pytest.raises(OutcomeUnknown):
        client.map("users").put("a", 1)
    assert receipts[0].error == "OutcomeUnknown"
    assert "failed (OutcomeUnknown)" in str(receipts)


def test_a_stream_belongs_to_the_loop_of_its_client(io):
    async def make():
        client = AsyncClient(io, check("tcp://nowhere:1", 5.0, 30.0, None))
        return client, client.map("users").events()

    async def use(events):
        with pytest.raises(BadArgument, match="another event loop"):
            await anext(events)

    client, events = asyncio.run(make())
    asyncio.run(use(events))
    assert client.state is ClientState.CONNECTED


def test_a_flood_of_callbacks_leaves_turns_to_others(io):
    async def scenario(client):
        hits, heard, turns = client.counter("hits"), [], 0
        await hits.on_change(lambda event: heard.append(event.new))

        async def others():
            nonlocal turns
            while len(heard) < 5000:
                turns += bool(heard)
                await asyncio.sleep(0)

        sending = asyncio.gather(*[hits.set(number) for number in range(5000)])
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # they are handed over when the turn in which they were made is over
        io.do(lambda: None)  # blocks the loop until all of them are there
        await asyncio.gather(sending, others())
        assert heard == list(range(5000))
        assert turns >= 10

    run(io, scenario)


# -- forks -------------------------------------------------------------------------------------------


def test_after_a_fork_the_child_can_close_and_drop_what_it_has_but_not_use_it(io, client):
    users = client.map("users")
    events = users.events()
    subscription = users.on_change(print)
    held, free = threading.Event(), threading.Event()

    def hold():  # for ever, as the child sees it
        with client.listening.lock:
            held.set()
            assert free.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(SECONDS)
    child = os.fork()
    if child == 0:
        signal.alarm(int(SECONDS))
        code = 1
        with contextlib.suppress(BaseException):
            for attempt in (lambda: next(events), lambda: events.next(timeout=1), lambda: users.events()):
                with pytest.raises(Closed, match="another process"):
                    attempt()
            subscription.close()
            events.close()
            client.close()
            code = 0
        os._exit(code)
    free.set()
    thread.join(SECONDS)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    users.put("a", 1)
    assert events.next(timeout=SECONDS).new == 1
