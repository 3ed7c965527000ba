"""Events: what a machine publishes while an entry is applied, queued at the sessions, the same on every replica."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors
from ocelog.client.protocol.events import unpack_batch
from ocelog.log.entry import KEEP_ALIVE, NOOP, SNAPSHOT, UNREGISTER
from ocelog.shard.executor import Executor
from ocelog.shard.machines.base import RELEASE, Commit, StateMachine, command, query
from ocelog.shard.machines.registry import BUILT_IN, registry

KEYS = (b"one" + bytes(13), b"two" + bytes(13), b"three" + bytes(11))


class Bell(StateMachine):
    """Publishes what it is told, by every way there is."""

    type_name = "bell"

    def __init__(self):
        super().__init__()
        self.watchers = []

    @command(mode=SNAPSHOT)
    def ring(self, commit: Commit, sessions, *values) -> int:
        for value in values:
            self.publish(sessions, "rung", value)
        return len(values)

    @command(mode=SNAPSHOT)
    def ring_object(self, commit: Commit, kind: str) -> None:
        wrong = {
            "object": object(),
            "large": 1 << 70,
            "tuple as key": {(1, 2): 3},
            "extension": msgpack.ExtType(1, b"x"),
            "empty extension": msgpack.ExtType(1, b""),
        }
        deep = []
        for _ in range(2000):
            deep = [deep]
        self.publish(commit.session, "rung", {**wrong, "deep": deep}[kind])

    @command(mode=SNAPSHOT)
    def ring_named(self, commit: Commit, sessions, name) -> None:
        self.publish(sessions, name)

    @command(mode=SNAPSHOT)
    def ring_and_raise(self, commit: Commit) -> None:
        self.publish(commit.session, "rung", 1)
        raise RuntimeError("after the event")

    @command(mode=SNAPSHOT)
    def ring_and_answer(self, commit: Commit) -> object:
        self.publish(commit.session, "rung", 1)
        return object()

    @command(mode=RELEASE)
    def ring_and_release(self, commit: Commit, value: str) -> None:
        self.publish(commit.session, "rung", value)
        self.release(commit.index)

    @command(mode=SNAPSHOT)
    def ring_later(self, commit: Commit, delay_ms: int, *sessions: int) -> None:
        self.schedule(commit.time + delay_ms, "due", *sessions)

    @command(mode=SNAPSHOT)
    def watch(self, commit: Commit) -> None:
        self.watchers.append(commit.session)

    @query
    def ring_from_a_query(self, commit: Commit, session: int) -> None:
        self.publish(session, "rung")

    def due(self, commit: Commit, *sessions: int) -> None:
        self.publish(sessions, "due", commit.index)

    def session_opened(self, commit: Commit) -> None:
        self.publish(self.watchers, "opened", commit.session)

    def session_closed(self, commit: Commit) -> None:
        self.publish([*self.watchers, commit.session], "closed", commit.session)

    def session_expired(self, commit: Commit) -> None:
        self.publish(self.watchers, "expired", commit.session)

    def snapshot(self):
        return self.watchers

    def install(self, state):
        self.watchers = state


MACHINES = registry((*BUILT_IN, Bell))


@pytest.fixture
def entries(kit):
    return kit.Entries(MACHINES)


@pytest.fixture
def sessions(entries):
    return [entries.register(key=key) for key in KEYS]


@pytest.fixture
def bell(entries, sessions):
    return entries.open(sessions[0], 1, "bell", "bell")


def heard(entries, session):
    """Of each batch that a session has not handled: index, the one before, and its events."""
    known = entries.executor.sessions.get(session)
    return [
        (batch.index, batch.previous, [event[1:] for event in unpack_batch(batch.payload)]) for batch in known.events
    ]


# -- from the handler to the session -------------------------------------------------------------------


def test_an_event_is_queued_with_the_index_of_its_entry(entries, kit, sessions, bell):
    """Resource, name and value; the batch before it is named, the first names none."""
    for sequence, value in ((2, "a"), (3, {"b": [1, None]})):
        entries.command(sessions[0], sequence, kit.operation(bell, "ring", sessions[1], value))
    first, second = len(entries.log) - 1, len(entries.log)
    assert heard(entries, sessions[1]) == [
        (first, 0, [("rung", "a")]),
        (second, first, [("rung", {"b": [1, None]})]),
    ]
    known = entries.executor.sessions.get(sessions[1])
    assert unpack_batch(known.events[0].payload)[0].resource == bell
    assert (known.event_index, known.handled, known.event_count) == (second, 0, 2)
    assert known.event_bytes == sum(len(batch.payload) for batch in known.events)
    assert heard(entries, sessions[0]) == []
    assert entries.executor.sessions.get(sessions[0]).event_index == 0


def test_all_events_of_an_entry_are_one_batch_in_their_order(entries, kit, sessions, bell):
    """Also of several machines, of timers and of the command itself: what is due fires first."""
    other = entries.open(sessions[0], 2, "bell", "other bell")
    entries.command(sessions[0], 3, kit.operation(other, "ring_later", 10, sessions[1]))
    entries.command(sessions[0], 4, kit.operation(bell, "ring_later", 10, sessions[1], sessions[2]))
    entries.command(sessions[0], 5, kit.operation(bell, "ring", sessions[1:], "x", "y"), pass_ms=10)
    index = len(entries.log)
    due = ("due", index)
    assert heard(entries, sessions[1]) == [(index, 0, [due, due, ("rung", "x"), ("rung", "y")])]
    assert heard(entries, sessions[2]) == [(index, 0, [due, ("rung", "x"), ("rung", "y")])]
    resources = [event.resource for event in unpack_batch(entries.executor.sessions.get(sessions[1]).events[0].payload)]
    assert resources == [other, bell, bell, bell]


def test_many_sessions_share_one_payload(entries, kit, sessions, bell):
    """It is encoded once and kept once, whatever order the sessions were named in."""
    entries.command(sessions[0], 2, kit.operation(bell, "ring", sessions[::-1], "a", "b"))
    payloads = [entries.executor.sessions.get(session).events[0].payload for session in sessions]
    assert payloads[0] is payloads[1] is payloads[2]
    assert entries.executor.published == [entries.executor.sessions.get(session) for session in sessions]
    entries.executor.forget_moved()
    assert entries.executor.published == []


def test_a_session_that_is_not_open_gets_nothing_and_stops_nobody(entries, kit, sessions, bell):
    """E12: an event for a closed session does not stop delivery to others. Nor does one for a session that is not there yet."""
    entries.add((UNREGISTER, SNAPSHOT, 0, sessions[1], 0, b""))
    coming = len(entries.log) + 2
    named = [sessions[1], 999, sessions[2], 0, -1, coming]
    assert entries.command(sessions[0], 2, kit.operation(bell, "ring", named, "a")) == (errors.OK, 1)
    assert entries.register(key=b"later" + bytes(11)) == coming
    assert [batch[2] for batch in heard(entries, sessions[2])] == [[("rung", "a")]]
    assert heard(entries, coming) == []


def test_session_listeners_publish(entries, kit, sessions, bell):
    """At the index of the entry that opened or ended the session; to the session that ended it is nothing."""
    entries.command(sessions[0], 2, kit.operation(bell, "watch"))
    fourth = entries.register(key=b"four" + bytes(12))
    entries.add((UNREGISTER, SNAPSHOT, 1, sessions[1], 1, b""), (UNREGISTER, SNAPSHOT, 0, sessions[2], 0, b""))
    last = len(entries.log)
    assert heard(entries, sessions[0]) == [
        (fourth, 0, [("opened", fourth)]),
        (last - 1, fourth, [("closed", sessions[1])]),
        (last, last - 1, [("expired", sessions[2])]),
    ]


def test_a_timer_publishes_to_a_session_that_the_same_entry_ends(entries, kit, sessions, bell):
    """The session is gone with its events; the others have theirs, with what the listeners say about it, in one batch."""
    entries.command(sessions[0], 2, kit.operation(bell, "watch"))
    entries.command(sessions[0], 3, kit.operation(bell, "ring_later", 10, *sessions))
    index = entries.add((UNREGISTER, SNAPSHOT, 0, sessions[1], 0, b""), pass_ms=10)
    assert heard(entries, sessions[0]) == [(index, 0, [("due", index), ("expired", sessions[1])])]
    assert heard(entries, sessions[2]) == [(index, 0, [("due", index)])]
    assert [session.id for session in entries.executor.published] == [sessions[0], sessions[2]]


# -- what fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ring_and_raise", "ring_and_answer"])
def test_a_handler_that_raises_loses_its_events(entries, kit, sessions, bell, name):
    """If a handler raises, its events are dropped, and do not come with the next command's. A bad result is the same."""
    assert entries.command(sessions[0], 2, kit.operation(bell, name))[0] == errors.MACHINE_ERROR
    entries.command(sessions[0], 3, kit.operation(bell, "ring", sessions[1], "a"))
    assert heard(entries, sessions[0]) == []
    assert [batch[2] for batch in heard(entries, sessions[1])] == [[("rung", "a")]]


@pytest.mark.parametrize("kind", ["object", "large", "tuple as key", "extension", "empty extension", "deep"])
def test_an_event_that_cannot_be_packed_or_read_is_the_commands_error(entries, kit, sessions, bell, kind):
    """Nothing that a handler publishes can crash a replica, or reach a client that cannot read it."""
    assert entries.command(sessions[0], 2, kit.operation(bell, "ring_object", kind))[0] == errors.MACHINE_ERROR
    assert heard(entries, sessions[0]) == []


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("abc", "x"),
        (None, "x"),
        ([1, "2"], "x"),
        ([[1]], "x"),
        (1.0, "x"),
        ([1.0], "x"),
        (True, "x"),
        (1, 5),
        (1, None),
    ],
)
def test_events_go_to_ids_of_sessions_and_have_names(entries, kit, bell, target, name):
    """Anything else is the command's error."""
    assert entries.command(1, 2, kit.operation(bell, "ring_named", target, name))[0] == errors.MACHINE_ERROR


def test_an_event_may_be_nested_as_deep_as_msgpack_reads_it(entries, kit, sessions, bell):
    """What is packed as deep as it can be is read by a client within the array of its batch."""

    def ring(depth, sequence):
        value = None
        for _ in range(depth):
            value = [value]
        machine = entries.executor.resources[bell].machine
        try:
            machine.publish(sessions[0], "deep", value)
        except ValueError:
            return False
        machine.forget_pending()
        entries.command(sessions[0], sequence, kit.operation(bell, "ring", sessions[0], value))
        return True

    depths = [depth for depth in range(1015, 1030) if ring(depth, depth - 1013)]
    assert depths and depths[-1] < 1024
    assert len(heard(entries, sessions[0])) == len(depths)


def test_a_query_publishes_nothing(entries, kit, sessions, bell):
    """E9: events are produced only by committed entries. A query that tries gets an error, and so does nobody else."""
    before = kit.state_of(entries.executor)
    code, text = kit.decoded(
        entries.executor.run_query(sessions[0], kit.operation(bell, "ring_from_a_query", sessions[1]))
    )
    assert (code, text) == (
        errors.MACHINE_ERROR,
        "query ring_from_a_query of bell may not release, schedule or publish",
    )
    assert kit.state_of(entries.executor) == before
    entries.command(sessions[0], 2, kit.operation(bell, "ring", sessions[0], "a"))
    assert heard(entries, sessions[1]) == []


# -- acknowledgements ----------------------------------------------------------------------------------


def test_handled_events_are_forgotten_by_the_log(entries, kit, sessions, bell):
    """Up to the index that a keep-alive entry names; the index of the last event stays known, also when it was handled."""
    indexes = []
    for sequence in range(2, 6):
        entries.command(sessions[0], sequence, kit.operation(bell, "ring", sessions[1], sequence))
        indexes.append(len(entries.log))
    known = entries.executor.sessions.get(sessions[1])
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(sessions[1], 0, indexes[1])])))
    assert [batch.index for batch in known.events] == indexes[2:]
    assert (known.handled, known.event_count) == (indexes[1], 2)
    assert known.event_bytes == sum(len(batch.payload) for batch in known.events)
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(sessions[1], 0, indexes[0])])))
    assert known.handled == indexes[1]
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(sessions[1], 0, 1 << 63)])))
    assert (known.handled, known.event_index, list(known.events)) == (indexes[3], indexes[3], [])
    assert (known.event_count, known.event_bytes) == (0, 0)
    entries.command(sessions[0], 6, kit.operation(bell, "ring", sessions[1], "next"))
    assert heard(entries, sessions[1]) == [(len(entries.log), indexes[3], [("rung", "next")])]


# -- the same everywhere -------------------------------------------------------------------------------


def busy(entries, kit, sessions, bell):
    """A log in which everything publishes, with acknowledgements and ends between."""
    entries.command(sessions[0], 2, kit.operation(bell, "watch"))
    for sequence in range(3, 30):
        values = [sequence] * (sequence % 3)
        entries.command(
            sessions[0], sequence, kit.operation(bell, "ring", sessions[sequence % 2 :], *values), pass_ms=3
        )
        if sequence % 4 == 0:
            entries.command(sessions[1], sequence // 4, kit.operation(bell, "ring_later", 5, *sessions))
        if sequence % 5 == 0:
            handled = (sessions[2], 0, len(entries.log) - 3)
            entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([handled])), pass_ms=3)
        if sequence == 20:
            entries.add((UNREGISTER, SNAPSHOT, 0, sessions[1], 0, b""), (NOOP, SNAPSHOT, 0, 0, 0, b""))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_do_not_depend_on_how_entries_are_batched(entries, kit, sessions, bell, size):
    """E9: identical on all replicas; a replay after a crash gives the unacknowledged ones byte for byte, and the same digest."""
    busy(entries, kit, sessions, bell)
    follower = Executor(MACHINES)
    for start in range(0, len(entries.log), size):
        kit.apply(follower, entries.log[start : start + size])
    assert [list(session.events) for session in follower.sessions] == [
        list(session.events) for session in entries.executor.sessions
    ]
    assert kit.state_of(follower) == kit.state_of(entries.executor)
    assert any(session.events for session in follower.sessions)
    assert (follower.digest, follower.rolling.brief()) == (entries.executor.digest, entries.executor.rolling.brief())
