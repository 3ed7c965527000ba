"""Events on their way to clients: pushed in order, repeated, acknowledged, folded into the log, settled, expired."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import events, frames
from ocelog.log.entry import KEEP_ALIVE, SNAPSHOT
from ocelog.shard.machines.base import StateMachine, command
from ocelog.shard.machines.registry import registry

LISTENER = b"l" * 16
WRITER = b"k" * 16
TICK_MS = 50


class Speaker(StateMachine):
    """Publishes what it is told to whom it is told."""

    type_name = "speaker"

    @command(mode=SNAPSHOT)
    def say(self, commit, sessions, size=1, times=1):
        """Publish so many events of so many bytes to these sessions."""
        for _ in range(times):
            self.publish(sessions, "said", bytes(size))

    def snapshot(self):
        return None

    def install(self, state):
        pass


class Hall:
    """A desk with a speaker, a writer's session and listeners at routes 10, 11..."""

    def __init__(self, kit, listeners=1, timeout_ms=30_000, limits=None, **options):
        self.kit = kit
        self.desk = kit.Desk(limits, machines=registry([Speaker]), sessions_max=100_000, **options)
        self.writer = self.desk.register(WRITER)
        self.speaker = self.desk.open(self.writer, 1, "speaker")
        self.sequence = 1
        self.keys = {}
        self.listeners = []
        for number in range(listeners):
            key = LISTENER[:12] + number.to_bytes(4, "little")
            self.desk.send(frames.REGISTER, kit.registering(timeout_ms), key=key, route=10 + number)
            (answer,) = self.desk.turn()
            self.keys[answer.reply.session] = key
            self.listeners.append(answer.reply.session)
        self.listener = self.listeners[0] if self.listeners else 0

    def say(self, sessions=None, size=1, times=1, *, turn=True):
        """One command that publishes; returns the turn's answers."""
        self.sequence += 1
        sessions = self.listeners if sessions is None else sessions
        operation = self.kit.operation(self.speaker, "say", sessions, size, times)
        self.request = self.desk.commands(self.writer, self.sequence, operation, key=WRITER)
        return self.desk.turn() if turn else []

    def said(self, sessions=None, size=1, times=1):
        """The same; returns the log index of the command."""
        self.say(sessions, size, times)
        return len(self.desk.log)

    def handled(self, received, handled, session=None, **fields):
        """A listener's HANDLED; returns the turn's answers."""
        session = session or self.listener
        body = events.pack_handled(received, handled)
        fields = {"route": 10 + self.listeners.index(session)} | fields
        self.desk.send(frames.HANDLED, body, session=session, key=self.keys[session], **fields)
        return self.desk.turn()

    def settle(self, *indexes, **fields):
        """The writer asks what is settled; returns the turn's answers."""
        fields = {"count": len(indexes)} | fields
        body = events.pack_indexes(indexes)
        self.desk.send(frames.SETTLE, body, session=self.writer, key=WRITER, **fields)
        return self.desk.turn()

    @property
    def pushes(self):
        return self.desk.leadership.pushes

    def session(self, session=None):
        return self.desk.executor.sessions.get(session or self.listener)

    def alive(self, ticks):
        """So many ticks in which everybody keeps alive; returns the answers that are not about that."""
        answers = []
        for tick in range(ticks):
            if tick % 10 == 0:
                for session, key in [*self.keys.items(), (self.writer, WRITER)]:
                    route = 10 + self.listeners.index(session) if session in self.keys else 1
                    self.desk.keep_alive(session, key=key, route=route)
            answers += self.desk.ticks(1)
        return [answer for answer in answers if answer.kind != frames.KEPT_ALIVE]


@pytest.fixture
def hall(kit):
    """One listener."""
    return Hall(kit)


def pushed(answers):
    """(route, index before, indexes) of every EVENTS."""
    found = []
    for answer in answers:
        if answer.kind == frames.EVENTS:
            indexes, _ = frames.unpack_results(answer.body, answer.reply.count) if answer.reply.count else ((), [])
            found.append((answer.origin.route, answer.reply.request, list(indexes)))
    return found


def settled(answers):
    """The indexes of all SETTLED."""
    return [
        index
        for answer in answers
        if answer.kind == frames.SETTLED
        for index in events.unpack_indexes(answer.body, answer.reply.count)
    ]


# -- the thin path -------------------------------------------------------------------------------------


def test_an_event_is_pushed_in_the_turn_that_applies_it(hall):
    """To the route of the session, with the index of its batch before, after the command's own result."""
    answers = hall.say()
    index = len(hall.desk.log)
    assert [answer.kind for answer in answers] == [frames.RESULTS, frames.EVENTS]
    assert pushed(answers) == [(10, 0, [index])]
    assert answers[1].reply.event_index == index
    _, (payload,) = frames.unpack_results(answers[1].body, 1)
    assert events.unpack_batch(payload) == [events.Event(hall.speaker, "said", b"\0")]


def test_what_is_handled_is_folded_into_the_log(hall):
    """Once a second, with the acknowledgements of results; then no replica keeps the batch."""
    index = hall.said()
    hall.handled(index, index)
    assert hall.session().events
    hall.desk.ticks(20)
    assert not hall.session().events
    assert hall.session().handled == index
    assert hall.desk.kinds().count(KEEP_ALIVE) == 1


def test_a_command_is_settled_when_its_event_is_handled(hall):
    """The result says UNSETTLED, and SETTLE is answered when the listener has handled the event."""
    (result, _) = hall.say()
    index = len(hall.desk.log)
    assert result.reply.flags == frames.UNSETTLED
    assert settled(hall.settle(index)) == []
    assert settled(hall.handled(index, 0)) == []
    assert settled(hall.handled(index, index)) == [index]
