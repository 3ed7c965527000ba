"""The cached map: what it answers itself, what it does not, and that it is never older than what came before."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import ocelog
import pytest
from ocelog.client.caching import MISSING, Cache
from ocelog.client.changes import MapEvent, Resync
from ocelog.client.listeners import Phase
from ocelog.client.protocol.errors import BadArgument


def event(kind, key, old, new, index=5):
    return MapEvent([kind, key, old, new], index)


class Batch:
    def retain(self):
        raise AssertionError("a cache holds nobody up")


@pytest.fixture
def cache():
    cache = Cache(threading.RLock(), 3)
    cache.begin(1)
    return cache


def read(cache, key, value):
    reading = cache.read(key)
    assert reading is not None
    cache.keep(key, reading, value)


def test_what_was_read_is_kept_and_changed_by_events(cache):
    assert cache.look(b"a") is MISSING
    read(cache, b"a", b"1")
    read(cache, b"b", None)
    assert (cache.look(b"a"), cache.look(b"b")) == (b"1", None)
    cache.offer(event("updated", b"a", b"1", b"2"), Batch())
    cache.offer(event("added", b"b", None, b"3"), Batch())
    cache.offer(event("added", b"c", None, b"4"), Batch())
    assert (cache.look(b"a"), cache.look(b"b"), cache.look(b"c")) == (b"2", b"3", MISSING)
    cache.offer(event("expired", b"a", b"2", None), Batch())
    assert cache.look(b"a") is None
    cache.offer(event("cleared", None, None, None), Batch())
    assert cache.look(b"b") is MISSING


@pytest.mark.parametrize("kind", ["updated", "cleared", "lost", "write", "write all", "end"])
def test_an_answer_that_was_overtaken_is_not_kept(cache, kind):
    reading = cache.read(b"a")
    if kind == "updated":
        cache.offer(event("updated", b"a", b"1", b"2"), Batch())
    elif kind == "cleared":
        cache.offer(event("cleared", None, None, None), Batch())
    elif kind == "lost":
        cache.lose()
        cache.phase = Phase.ASKING
        cache.resume(Resync(None, 9))
    elif kind == "write":
        with cache.writing([b"a"]):
            assert cache.read(b"a") is None
    elif kind == "write all":
        with cache.writing([]):
            assert cache.read(b"a") is None
    else:
        cache.end()
    cache.keep(b"a", reading, b"1")
    assert cache.look(b"a") is MISSING


def test_two_reads_at_once_of_which_one_fails(cache):
    one, two = cache.read(b"a"), cache.read(b"a")
    cache.keep(b"a", one)
    assert cache.look(b"a") is MISSING
    cache.keep(b"a", two, b"1")
    assert cache.look(b"a") == b"1"


def test_nothing_is_kept_while_events_may_be_missing(cache):
    read(cache, b"a", b"1")
    cache.lose()
    assert cache.look(b"a") is MISSING
    assert cache.read(b"a") is None
    cache.phase = Phase.ASKING
    cache.offer(event("updated", b"a", b"1", b"2", 7), Batch())
    cache.resume(Resync(None, 6))
    read(cache, b"a", b"2")
    assert cache.look(b"a") == b"2"


def test_the_first_to_come_is_the_first_to_go(cache):
    for key in (b"a", b"b", b"c", b"a", b"d"):
        read(cache, key, b"1")
    assert [cache.look(key) is MISSING for key in (b"a", b"b", b"c", b"d")] == [True, False, False, False]


@pytest.mark.parametrize("number", [0, -1, 1.5, None, True])
def test_a_number_of_keys(number):
    with pytest.raises(BadArgument):
        Cache(threading.RLock(), number)


def until_local(client, users, key):
    """Read until an answer comes without a message: it listens from some moment on."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with client.receipts() as receipts:
            value = users.get(key)
        if not receipts:
            return value
    raise AssertionError("it never answers itself")


@pytest.mark.system
def test_reads_are_local_and_follow_other_clients(endpoints, name):
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        plain = other.map(name)
        plain.put("ada", 1)
        with client.map(name).cached() as users:
            assert until_local(client, users, "ada") == 1
            assert until_local(client, users, "nobody") is None
            with client.receipts() as receipts:
                assert users.contains("ada") is True and users.contains("nobody") is False
                assert users.get_or_default("nobody", 7) == 7
            assert not receipts
            with client.receipts() as receipts:
                assert users.get("ada", consistency=ocelog.LINEARIZABLE) == 1
            assert receipts
            plain.put("ada", 2, consistency=ocelog.LINEARIZABLE)
            assert users.get("ada") == 2, "a command that waits for its listeners waits for the cache"
            plain.clear(consistency=ocelog.LINEARIZABLE)
            assert users.get("ada") is None
        with client.receipts() as receipts:
            users.get("ada")
        assert receipts, "closed, it keeps nothing"


@pytest.mark.system
def test_what_the_handle_writes_it_reads(client, name):
    with client.map(name).cached() as users:
        for number in range(300):
            users.put("ada", number)
            assert users.get("ada") == number
            assert users.get("ada") == number
        users.put_many({"ada": -1, "bob": -1})
        assert (users.get("ada"), users.get("bob")) == (-1, -1)
        users.remove("ada")
        assert users.get("ada") is None
        users.clear()
        assert users.get("bob") is None


@pytest.mark.system
def test_lost_continuity_empties_it(endpoints, name):
    """As at the end of a session: what was kept before is not answered after it."""
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        users = client.map(name).cached()
        other.map(name).put("ada", 1)
        assert until_local(client, users, "ada") == 1
        cache = users._cache
        with client.listening.lock:
            cache.lose()
        assert cache.look(b"\xa3ada") is MISSING
        users.close()
        users.close()


@pytest.mark.system
def test_one_that_is_forgotten_is_closed(endpoints, name):
    async def forgotten():
        async with ocelog.connect_async(endpoints) as client:
            users = client.map(name).cached()
            await users.put("ada", 1)
            cache = users._cache
            del users
            gc.collect()
            await client.map(name).put("ada", 2)
            async with client.map(name).events():
                pass
            return cache.phase

    assert asyncio.run(forgotten()) is Phase.ENDED


@pytest.mark.system
def test_after_a_session_has_ended_it_keeps_what_is_there_then(endpoints, name):
    """A callback that does not end makes the shard end the session; the next one begins with nothing kept."""
    release = threading.Event()
    with ocelog.connect(endpoints, session_timeout=1) as client, ocelog.connect(endpoints) as other:
        plain = other.map(name)
        plain.put("ada", 1)
        with client.map(name).cached() as users:
            assert until_local(client, users, "ada") == 1
            with client.map(name).on_change(lambda event: release.wait(20)):
                plain.put("bob", 1)
                deadline = time.monotonic() + 15
                while users._cache.look(b"\xa3ada") is not MISSING:
                    assert time.monotonic() < deadline, "the session does not end"
                    time.sleep(0.01)
                plain.put("ada", 2)
                release.set()
            assert until_local(client, users, "ada") == 2
            plain.put("ada", 3, consistency=ocelog.LINEARIZABLE)
            assert users.get("ada") == 3
