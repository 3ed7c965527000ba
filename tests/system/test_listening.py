"""Listening to maps and counters of a cluster of processes, blocking, in asyncio and from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ocelog
import pytest
from ocelog.client.protocol.errors import DeadlineExceeded, OcelogError, OutcomeUnknown, SessionExpired
from ocelog.cluster import LocalCluster

WAIT_S_MAX = 60.0

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3) as cluster:
        yield cluster


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A resource of this test's own."""
    return request.node.name


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[ocelog.Client]:
    with ocelog.connect(cluster.endpoints, timeout=30) as client:
        yield client


@pytest.fixture
def other(cluster: LocalCluster) -> Iterator[ocelog.Client]:
    """Another client, whose commands cause what the first one hears."""
    with ocelog.connect(cluster.endpoints, timeout=30) as client:
        yield client


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.01)


def test_another_clients_changes_arrive_in_order(client, other, name):
    users = other.map(name)
    users.put("before", 1)
    with client.map(name).events() as events:
        users.put("ada", {"born": 1815})
        users.put_if_absent("ada", 1)
        users.replace("ada", [1])
        users.remove("ada")
        users.put("bob", 1)
        users.clear()
        seen = [events.next(timeout=30) for _ in range(5)]
    assert [(event.kind, event.key, event.old, event.new) for event in seen] == [
        ("added", "ada", None, {"born": 1815}),
        ("updated", "ada", {"born": 1815}, [1]),
        ("removed", "ada", [1], None),
        ("added", "bob", None, 1),
        ("cleared", None, None, None),
    ]
    indexes = [event.index for event in seen]
    assert indexes == sorted(set(indexes))


def test_several_listeners_of_one_client_each_get_every_event_once(client, other, name):
    users = other.map(name)
    everything, one = client.map(name).events(), client.map(name).events("a")
    called = queue.SimpleQueue()
    with client.map(name).on_change(called.put, "a"), everything, one:
        for number in range(10):
            users.put("a", number)
            users.put("b", number)
        assert [one.next(timeout=30).new for _ in range(10)] == list(range(10))
        assert [called.get(timeout=30).new for _ in range(10)] == list(range(10))
        assert [everything.next(timeout=30).new for _ in range(20)] == [n for n in range(10) for _ in "ab"]
        with pytest.raises(DeadlineExceeded):
            one.next(timeout=0.1)


def test_what_was_closed_is_heard_no_more_and_listening_again_begins_anew(client, other, name):
    hits = other.counter(name)
    client.counter(name).events().close()
    hits.set(1)
    with client.counter(name).events() as events:
        hits.set(2)
        event = events.next(timeout=30)
        assert (event.kind, event.old, event.new) == ("changed", 1, 2)


def test_a_linearizable_command_returns_when_every_listener_has_handled_it(client, other, name):
    heard = []

    def slowly(event):
        time.sleep(0.05)
        heard.append(event.new)

    with client.counter(name).on_change(slowly):
        hits = other.counter(name).with_consistency(commands=ocelog.LINEARIZABLE)
        for number in range(1, 6):
            assert hits.increment() == number
            assert heard == list(range(1, number + 1))
        sequential = time.monotonic()
        hits.increment(consistency=ocelog.SEQUENTIAL)
        assert time.monotonic() - sequential < 5
        assert hits.increment() == 7
        assert heard == [1, 2, 3, 4, 5, 6, 7]


def test_events_pending_says_that_the_command_was_applied(client, other, name):
    leave = threading.Event()
    with client.map(name).on_change(lambda event: leave.wait(WAIT_S_MAX)):
        other.map(name).put("a", 1)
        with pytest.raises(ocelog.EventsPending) as caught:
            other.map(name).put("a", 2, consistency=ocelog.LINEARIZABLE, timeout=0.5)
        assert caught.value.result == 1
        assert other.map(name).get("a") == 2
        leave.set()
        assert other.map(name).put("a", 3, consistency=ocelog.LINEARIZABLE) == 2


def test_a_callback_calls_its_own_resource_linearizably_without_waiting_for_itself(client, name):
    """Copycat's testBlockOnEvent."""
    hits, answers = client.counter(name), queue.SimpleQueue()

    def callback(event):
        if event.new < 10:
            answers.put(hits.increment(consistency=ocelog.LINEARIZABLE))

    with hits.on_change(callback):
        hits.increment(consistency=ocelog.LINEARIZABLE)
        assert [answers.get(timeout=30) for _ in range(9)] == list(range(2, 11))


def test_a_callback_in_a_loop_does_too(cluster, name):
    async def scenario():
        async with ocelog.connect_async(cluster.endpoints, timeout=30) as client:
            hits, answers = client.counter(name), asyncio.Queue()

            async def callback(event):
                if event.new < 10:
                    await answers.put(await hits.increment(consistency=ocelog.LINEARIZABLE))

            await hits.on_change(callback)
            await hits.increment(consistency=ocelog.LINEARIZABLE)
            assert [await answers.get() for _ in range(9)] == list(range(2, 11))

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S_MAX))


def test_an_async_stream_and_ten_thousand_events(cluster, name):
    async def scenario():
        async with (
            ocelog.connect_async(cluster.endpoints, timeout=30) as client,
            ocelog.connect_async(cluster.endpoints, timeout=30) as other,
        ):
            async with client.counter(name).events(buffer=20_000) as events:
                sending = asyncio.gather(*[other.counter(name).set(number) for number in range(1, 10_001)])
                numbers = [(await anext(events)).new for _ in range(10_000)]
                await sending
            assert numbers == list(range(1, 10_001))

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S_MAX))


def test_a_consumer_that_is_too_slow_gets_the_state_and_then_the_rest(client, other, name):
    users = other.map(name)
    with client.map(name).events(buffer=10) as events:
        for number in range(100):
            users.put(number, number)
        users.put("last", True, consistency=ocelog.LINEARIZABLE)
        resync = events.next(timeout=30)
        assert resync.kind == "resync"
        assert resync.state == {**{number: number for number in range(100)}, "last": True}
        users.put("after", 1)
        event = events.next(timeout=30)
        assert (event.kind, event.key) == ("added", "after")
        assert event.index > resync.index


def test_the_stream_goes_on_without_gap_or_repeat_while_leaders_are_killed(cluster, client, other, name):
    numbers, hits = [], other.counter(name)
    with client.counter(name).events(timeout=30) as events:
        reader = threading.Thread(target=lambda: numbers.extend(_until(events, 300)))
        reader.start()
        for number in range(1, 301):
            hits.set(number)
            if number % 100 == 50:
                leader = cluster.leader(0)
                cluster.kill(0, leader)
                hits.set(number)
                cluster.restart(0, leader)
        reader.join(WAIT_S_MAX)
    assert not reader.is_alive()
    changes = [number for number in numbers if number is not None]
    assert sorted(set(changes)) == list(range(1, 301))
    assert changes == sorted(changes)
    eventually(lambda: cluster.status()["healthy"], "the replicas to be back")


def _until(events, last):
    for event in events:
        yield event.new
        if event.new == last:
            return


def test_an_event_that_is_not_handled_ends_the_session_and_the_next_one_resyncs(cluster, other, name):
    states, heard, entered, leave = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event(), threading.Event()

    def callback(event):
        heard.put(event)
        entered.set()
        assert leave.wait(WAIT_S_MAX)

    with ocelog.connect(cluster.endpoints, timeout=30, session_timeout=1) as client:
        users = client.map(name)
        client.on_state(lambda change: states.put(change.state))
        with users.events() as events:
            users.on_change(callback)
            other.map(name).put("a", 1)
            assert entered.wait(WAIT_S_MAX)
            # Whoever waits for this client's handling waits at most for its session's timeout.
            assert other.map(name).put("a", 2, consistency=ocelog.LINEARIZABLE) == 1
            leave.set()
            seen = [events.next(timeout=30)]
            while seen[-1].kind != "resync":
                seen.append(events.next(timeout=30))
            assert seen[-1].state == {"a": 2}
            other.map(name).put("a", 3)
            assert events.next(timeout=30).new == 3
        seen = [heard.get(timeout=30)]
        while seen[-1].new != 3:
            seen.append(heard.get(timeout=30))
        assert [event.kind for event in seen].count("resync") == 1
    found = set()
    while not states.empty():
        found.add(states.get())
    assert ocelog.ClientState.EXPIRED in found


class Copy:
    """A copy of a map that is kept from its events alone; every event is checked against it."""

    def __init__(self) -> None:
        self.entries: dict[object, object] = {}
        self.index = 0
        self.resyncs = 0

    def take(self, event) -> None:
        assert event.index > self.index, f"{event} after {self.index}"
        self.index = event.index
        if event.kind == "resync":
            self.resyncs += 1
            self.entries = dict(event.state)
        elif event.kind == "cleared":
            self.entries = {}
        else:
            assert self.entries.pop(event.key, None) == event.old, event
            if event.new is not None:
                self.entries[event.key] = event.new


def test_a_copy_of_a_map_is_right_whatever_happens(cluster, other, name):
    """Leaders die, sessions end, a stream overflows: no event is missed, repeated or out of order without a Resync."""
    dice, users, errors, stop = random.Random(11), other.map(name), [], threading.Event()
    streamed, called = Copy(), Copy()
    with ocelog.connect(cluster.endpoints, timeout=30, session_timeout=1) as client:
        client.on_error(lambda error, event: errors.append(error))
        client.map(name).on_change(called.take)
        events = client.map(name).events(buffer=50)

        def read() -> None:
            for event in events:
                streamed.take(event)
                if dice.random() < 0.001:
                    time.sleep(0.2)  # too slow for its buffer

        def disturb() -> None:
            while not stop.wait(1):
                with client.listening.lock:  # the client's thread stands still: its session ends
                    time.sleep(2.5)
                leader = cluster.leader(0)
                cluster.kill(0, leader)
                stop.wait(0.5)
                cluster.restart(0, leader)

        threads = [threading.Thread(target=read), threading.Thread(target=disturb)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 8
        while time.monotonic() < end:
            chance = dice.random()
            if chance < 0.99:
                key = dice.randrange(20)
                users.put(key, dice.random()) if chance < 0.8 else users.remove(key)
            else:
                users.clear()
        stop.set()
        threads[1].join(WAIT_S_MAX)
        keys = users.keys()
        truth = {key: users.get(key) for key in keys}
        eventually(lambda: errors or streamed.entries == called.entries == truth, "the copies to be right")
        assert errors == []
        assert called.resyncs
        events.close()
        threads[0].join(WAIT_S_MAX)
        assert not threads[0].is_alive()
    eventually(lambda: cluster.status()["healthy"], "the replicas to be back")


def test_with_recovery_close_the_shard_is_over_for_that_client(cluster, other, name):
    leave = threading.Event()
    with ocelog.connect(cluster.endpoints, timeout=30, session_timeout=1, recovery="close") as client:
        events = client.map(name).events()
        client.map(name).on_change(lambda event: leave.wait(WAIT_S_MAX))
        other.map(name).put("a", 1)
        other.map(name).put("a", 2, consistency=ocelog.LINEARIZABLE)
        with pytest.raises(SessionExpired):
            for _ in range(3):
                events.next(timeout=30)
        with pytest.raises(SessionExpired):
            client.map(name).get("a")
        leave.set()


def test_levels_of_queries_against_a_cluster(client, other, name):
    users = client.map(name)
    for number in range(50):
        users.put("a", number)
        for level in ocelog.Consistency:
            assert users.get("a", consistency=level) == number
    for level in (ocelog.LINEARIZABLE, ocelog.BOUNDED_LINEARIZABLE):
        other.map(name).put("a", level.name)
        assert users.get("a", consistency=level) == level.name


def test_an_outcome_can_be_asked_by_another_client(cluster, client, other, name):
    users = client.map(name)
    users.put("a", 1)
    leader = cluster.leader(0)
    cluster.pause(0, leader)
    try:
        with pytest.raises(OutcomeUnknown) as caught:
            users.put("a", 2, timeout=0.2)
    finally:
        cluster.resume(0, leader)
    outcome = caught.value.resolve(timeout=30)
    assert outcome.answer in ("applied", "acknowledged")
    again = other.outcome(caught.value.session, caught.value.sequence, timeout=30)
    assert again.answer in ("applied", "acknowledged")
    assert users.get("a") == (2 if outcome.applied else 1) or outcome.applied is None


def test_cancelling_at_random_never_shifts_results_or_events(cluster, name):
    async def scenario():
        dice = random.Random(7)
        async with ocelog.connect_async(cluster.endpoints, timeout=30) as client:
            users = client.map(name)
            async with users.events(buffer=10_000) as events:
                for round_ in range(20):
                    tasks = [asyncio.ensure_future(users.put(n, [round_, n])) for n in range(50)]
                    await asyncio.sleep(dice.random() * 0.003)
                    for task in dice.sample(tasks, 20):
                        task.cancel()
                    for n, result in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
                        assert result is None or isinstance(result, asyncio.CancelledError) or result[1] == n
                entries = await client.submit(users, "entries", query=True)
                await users.put("end", 1)
                state = {}
                async for event in events:
                    if event.key == "end":
                        break
                    assert event.old == state.get(event.key)
                    state[event.key] = event.new
            assert len(state) == len(entries)

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S_MAX))


def test_a_client_closes_with_open_streams_and_callbacks(cluster, other, name):
    client = ocelog.connect(cluster.endpoints, timeout=30)
    streams = [client.map(name).events() for _ in range(20)]
    client.map(name).on_change(lambda event: time.sleep(0.01))
    ended = []
    threads = [threading.Thread(target=lambda stream=stream: ended.append(list(stream))) for stream in streams]
    for thread in threads:
        thread.start()
    for number in range(20):
        other.map(name).put(number, number)
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 5
    for thread in threads:
        thread.join(WAIT_S_MAX)
    assert len(ended) == 20
    other.map(name).put("more", 1, consistency=ocelog.LINEARIZABLE)


def test_a_fork_leaves_the_parents_stream_alone(client, other, name):
    with client.counter(name).events() as events:
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                try:
                    events.next(timeout=5)
                except OcelogError as error:
                    code = 0 if "another process" in str(error) else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        other.counter(name).set(5)
        assert events.next(timeout=30).new == 5


# -- the command line --------------------------------------------------------------------------------


@contextlib.contextmanager
def watching(cluster: LocalCluster, *arguments: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-P", "-m", "ocelog", *arguments]
    environment = os.environ | {"OCELOG_ENDPOINTS": cluster.endpoints[0]}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def poked_until(change: Callable[[int], object], arrived: Callable[[], bool]) -> None:
    """Repeat a change until the watcher, which says nothing when it begins, has shown one."""
    done = threading.Event()

    def poke() -> None:
        number = 0
        while not done.is_set():
            number += 1
            change(number)
            done.wait(0.1)

    thread = threading.Thread(target=poke)
    thread.start()
    try:
        assert arrived()
    finally:
        done.set()
        thread.join(WAIT_S_MAX)


def test_watch_prints_json_and_ends_with_ctrl_c(cluster, other, name):
    users = other.map(name)
    with watching(cluster, "map", "watch", name, "--key", "ada") as process:
        lines = []
        poked_until(lambda n: (users.put("bob", n), users.put("ada", {"n": n})), lambda: _line(process, lines))
        event = json.loads(lines[0])
        assert event["kind"] in ("added", "updated")
        assert event["key"] == "ada"
        assert event["new"]["n"] >= 1
        assert event["index"] > 0
        assert set(event) == {"kind", "key", "old", "new", "index"}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S_MAX)
        assert (process.returncode, errors) == (130, "")


def _line(process: subprocess.Popen[str], lines: list[str]) -> bool:
    assert process.stdout is not None
    lines.append(process.stdout.readline())
    return bool(lines[-1])


def test_watch_runs_a_command_for_each_change(cluster, other, name, tmp_path: Path):
    hits = other.counter(name)
    out = tmp_path / "seen"
    script = 'echo "$OCELOG_EVENT_KIND $OCELOG_EVENT_OLD $OCELOG_EVENT_NEW $OCELOG_EVENT" >> "$0"; exit 3'
    with watching(cluster, "counter", "watch", name, "--", "sh", "-c", script, str(out)) as process:
        poked_until(hits.set, lambda: eventually(lambda: out.exists() and out.read_text(), "a command") is None)
        kind, old, new, event = out.read_text().splitlines()[0].split(" ", 3)
        assert kind == "changed"
        assert int(new) == int(old) + 1
        assert json.loads(event)["new"] == int(new)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S_MAX)
        assert process.returncode == 130
        assert "sh ended with exit code 3 on the event of index" in errors


def test_watch_ends_when_nobody_reads_any_more_though_nothing_happens(cluster, other, name):
    users = other.map(name)
    with watching(cluster, "map", "watch", name) as process:
        poked_until(lambda n: users.put("a", n), lambda: _line(process, []))
        assert process.stdout is not None
        process.stdout.close()
        process.wait(WAIT_S_MAX)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (0, "")


def test_trace_and_consistency_on_the_command_line(cluster, name):
    for arguments in (["put", name, "a", "1"], ["get", name, "a", "--consistency", "sequential"]):
        with watching(cluster, "map", *arguments, "--trace") as process:
            _, errors = process.communicate(timeout=WAIT_S_MAX)
            assert process.returncode == 0, errors
            assert errors.startswith(f"{arguments[0]} {name} on shard 0: index ")
    with watching(cluster, "map", "put", name, "a", "1", "--consistency", "causal") as process:
        _, errors = process.communicate(timeout=WAIT_S_MAX)
        assert process.returncode == 64
        assert "a command is ocelog.SEQUENTIAL or ocelog.LINEARIZABLE" in errors
