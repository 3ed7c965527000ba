"""A leader, a machine that publishes what it is told, a writer and listeners: for tests of events."""

from __future__ import annotations

from ocelog.client.protocol import events, frames
from ocelog.log.entry import SNAPSHOT
from ocelog.shard.machines.base import StateMachine, command
from ocelog.shard.machines.registry import registry

LISTENER = b"l" * 12
WRITER = b"k" * 16


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
            key = LISTENER + number.to_bytes(4, "little")
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
