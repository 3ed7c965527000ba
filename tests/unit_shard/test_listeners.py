"""Who listens to a map or a counter, and the change events they get."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import errors
from ocelog.client.protocol.events import unpack_batch
from ocelog.log.entry import RELEASE, SNAPSHOT, UNREGISTER
from ocelog.shard.machines.listeners import Listeners

A, B = b"a" * 16, b"b" * 16


class Shop:
    """One resource, a session that writes and one that listens."""

    def __init__(self, entries, kit, type_name):
        self.entries, self.kit = entries, kit
        self.writer, self.listener = entries.register(key=A), entries.register(key=B)
        self.resource = entries.open(self.writer, 1, type_name)
        self._sequences = {self.writer: 2, self.listener: 1}

    @property
    def machine(self):
        return self.entries.executor.resources[self.resource].machine

    def run(self, name, *arguments, by=None):
        session = by or self.writer
        sequence = self._sequences[session]
        self._sequences[session] += 1
        mode = self.machine.operations[name].mode
        return self.entries.command(
            session, sequence, self.kit.operation(self.resource, name, *arguments), mode=mode, window=1
        )

    def heard(self, session=None):
        """The values of all events that a session was published, all of them changes of the resource."""
        batches = self.entries.executor.sessions.get(session or self.listener).events
        events = [event for batch in batches for event in unpack_batch(batch.payload)]
        assert all(event[:2] == (self.resource, "change") for event in events)
        return [event.value for event in events]


@pytest.fixture
def users(entries, kit):
    return Shop(entries, kit, "map")


@pytest.fixture
def hits(entries, kit):
    return Shop(entries, kit, "counter")


WRITES = [
    ("put", b"k", b"1"),
    ("put", b"k", b"2"),
    ("put_if_absent", b"k", b"3"),
    ("put_if_absent", b"l", b"4"),
    ("replace", b"k", b"5"),
    ("replace", b"m", b"6"),
    ("remove", b"k"),
    ("remove", b"k"),
    ("put", b"k", b"7"),
    ("clear",),
    ("clear",),
]
CHANGES = [
    ["added", b"k", None, b"1"],
    ["updated", b"k", b"1", b"2"],
    ["added", b"l", None, b"4"],
    ["updated", b"k", b"2", b"5"],
    ["removed", b"k", b"5", None],
    ["added", b"k", None, b"7"],
    ["cleared", None, None, None],
]


def test_every_change_of_a_map_is_an_event(users):
    """Kind, key, old and new; what changed nothing is none, and `clear` is one event, whatever there was."""
    assert users.run("listen", by=users.listener) == (errors.OK, None)
    for write in WRITES:
        users.run(*write)
    assert users.heard() == CHANGES
    assert users.heard(users.writer) == []


def test_a_listener_of_one_key_hears_of_that_key(users):
    """And of a clear. Who listens to all keys and to one hears of each change once."""
    users.run("listen", b"l", by=users.listener)
    for session_key in (b"k", None):
        users.run("listen", session_key)
    for write in WRITES:
        users.run(*write)
    assert users.heard() == [CHANGES[2], CHANGES[6]]
    assert users.heard(users.writer) == CHANGES


def test_a_stream_begins_behind_the_listen_command(users):
    """E11: nothing older is heard, and nothing later is missed."""
    users.run("put", b"k", b"1")
    users.run("listen", by=users.listener)
    listened = len(users.entries.log)
    users.run("put", b"k", b"2")
    assert users.heard() == [["updated", b"k", b"1", b"2"]]
    assert users.entries.executor.sessions.get(users.listener).event_index == listened + 1


def test_who_listens_no_more_hears_no_more(users):
    """What was published before stays. Listening twice is listening once, and what is not listened to can be unlistened."""
    for _ in range(2):
        users.run("listen", by=users.listener)
    users.run("put", b"k", b"1")
    users.run("unlisten", b"k", by=users.listener)
    users.run("put", b"k", b"2")
    users.run("unlisten", by=users.listener)
    users.run("put", b"k", b"3")
    assert users.heard() == CHANGES[:2]
    assert not users.machine.listeners and users.machine.listeners == Listeners()


@pytest.mark.parametrize("sequence", [0, 2], ids=["expired", "closed"])
@pytest.mark.parametrize("shop", ["users", "hits"])
def test_a_listener_is_dropped_when_its_session_ends(request, shop, sequence):
    """Nothing of it stays, so nothing is published to it."""
    shop = request.getfixturevalue(shop)
    for session in (shop.writer, shop.listener):
        shop.run("listen", by=session)
    shop.entries.add((UNREGISTER, SNAPSHOT, 1, shop.listener, sequence, b""))
    assert shop.machine.listeners.state() == [[shop.writer, [None]]]


@pytest.mark.parametrize("key", ["text", 5, [b"k"], True])
def test_a_key_is_bytes_or_none(users, hits, key):
    """Anything else is the caller's error."""
    for name in ("listen", "unlisten"):
        assert users.run(name, key)[0] == errors.MACHINE_ERROR
    assert not users.machine.listeners


def test_every_change_of_a_counter_is_an_event(hits):
    """With the old and the new value; what leaves the value as it was is none."""
    assert hits.run("listen", by=hits.listener) == (errors.OK, None)
    for write in [
        ("set", 5),
        ("set", 5),
        ("add", -7),
        ("add", 0),
        ("compare_and_set", 1, 2),
        ("compare_and_set", -2, 9),
    ]:
        hits.run(*write)
    hits.run("add", (1 << 63) - 1)
    assert hits.heard() == [["changed", None, 0, 5], ["changed", None, 5, -2], ["changed", None, -2, 9]]
    assert hits.run("listen", b"k")[0] == errors.MACHINE_ERROR
    hits.run("unlisten", None, by=hits.listener)
    hits.run("add", 1)
    assert len(hits.heard()) == 3


def test_all_entries_of_a_map_in_one_query(users, kit):
    """What a client that lost continuity begins with."""
    for write in WRITES[:9]:
        users.run(*write)
    data = kit.operation(users.resource, "entries")
    assert kit.decoded(users.entries.executor.run_query(1, data)) == (errors.OK, [[b"l", b"4"], [b"k", b"7"]])


# -- what a snapshot holds of them ---------------------------------------------------------------------


def test_listeners_are_taken_back_from_their_state():
    """In an order of their own, whatever order they came in."""
    one, other = Listeners(), Listeners()
    pairs = [(7, b"b"), (3, None), (7, None), (3, b"a"), (12, b"b")]
    for session, key in pairs:
        one.listen(session, key)
    for session, key in reversed(pairs):
        other.listen(session, key)
    assert one.state() == other.state() == [[3, [None, b"a"]], [7, [None, b"b"]], [12, [b"b"]]]
    taken = Listeners()
    taken.install(one.state())
    assert (taken, taken.state()) == (one, one.state())
    assert sorted(taken.of(b"b")) == [3, 7, 12]
    assert sorted(taken.of(b"a")) == sorted(taken.of(b"x")) == sorted(taken.of(None)) == [3, 7]


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        [1],
        [[1, []]],
        [[1, [1]]],
        [["1", [None]]],
        [[1, [None], 3]],
        [[1, [b"b", b"a"]]],
        [[1, [None, None]]],
        [[2, [None]], [1, [None]]],
        [[1, [None]], [1, [b"a"]]],
    ],
)
def test_a_state_that_was_never_given_is_refused(state):
    """A snapshot is hostile input."""
    with pytest.raises((TypeError, ValueError)):
        Listeners().install(state)


def test_releases_are_what_they_were(users):
    """A listener changes nothing about which entries are live."""
    users.run("listen", by=users.listener)
    for write in WRITES:
        users.run(*write)
    modes = {index for index, entry in enumerate(users.entries.log, 1) if entry[21] == RELEASE}
    assert set(users.entries.executor.take_released()) == modes
