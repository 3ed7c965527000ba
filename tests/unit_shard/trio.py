"""Three replicas over real logs, joined by a list of messages, for tests of what a turn does."""

from __future__ import annotations

import itertools
from random import Random

import msgpack
from ocelog.client.protocol import frames
from ocelog.client.protocol.frames import REQUEST, VERSION, Item
from ocelog.client.protocol.limits import Limits
from ocelog.log.compactor import rewrite
from ocelog.log.directory import open_directory
from ocelog.log.files import OsDisk
from ocelog.log.identity import Identity
from ocelog.log.log import LogConfig
from ocelog.shard.compaction_config import CompactionConfig
from ocelog.shard.machines.registry import registry
from ocelog.shard.raft.config import RaftConfig
from ocelog.shard.raft.messages import LEADER
from ocelog.shard.replica import Replica

KEY = b"k" * 16
START_MS = 1_700_000_000_000


class Trio:
    """Three replicas; messages arrive in the next turn, jobs are done at once.

    `compactor` runs, is absent, or is silent: it never answers. `loses` says which messages do not arrive. `machines` are
    those of the members that have others than the built-in ones; what is changed counts from a member's restart on.
    """

    def __init__(self, path, **settings):
        self.path = path
        self.settings = settings
        self.machines = dict(settings.get("machines", {}))
        self.compactor = "runs"
        self.asked = []
        self.loses = lambda message: False
        self.replicas = [self.open(member) for member in range(3)]
        self.inboxes = [[], [], []]
        self.answers = [[], [], []]
        self.cut = set()
        self.sent = []
        self.now = 0
        self.requests = itertools.count(1)

    def open(self, member):
        """Open the member's directory, as it is."""
        expected = Identity(cluster_id="ab" * 16, shard=0, member=member, incarnation=1)
        disk = OsDisk()
        config = LogConfig(segment_bytes_max=self.settings.get("segment_bytes_max", 64 * 1024))
        directory = str(self.path / f"replica-{member}")
        _, meta, log = open_directory(disk, directory, expected=expected, config=config)
        return Replica(
            shard=0,
            member=member,
            voters=range(3),
            log=log,
            meta=meta,
            raft_config=RaftConfig(),
            limits=Limits(),
            machines=self.machines.get(member) or registry(),
            rng=Random(member),
            compaction=CompactionConfig(**self.settings.get("compaction", {})),
        )

    def restart(self, member):
        """Stop the member as a kill does, and open what its disk has."""
        self.replicas[member] = None
        self.inboxes[member] = []
        self.replicas[member] = self.open(member)

    def turn(self, member, *, tick=False):
        """One turn of one replica: read, tick, step, send, sync."""
        replica = self.replicas[member]
        if replica is None:
            return
        inbox, self.inboxes[member] = self.inboxes[member], []
        for message in inbox:
            replica.receive_peer(message)
        if tick:
            replica.tick()
        turn = replica.step(self.now, START_MS + self.now, lease_clock_ms=self.now)
        self.sent += turn.messages
        for message in turn.messages:
            if not self.cut & {member, message.to} and not self.loses(message):
                self.inboxes[message.to].append(message)
        for items in turn.answers.values():
            self.answers[member] += [frames.parse_reply(parts) for _, parts in items]
        if turn.job is not None:
            turn.job.run()
            replica.job_done(turn.job)
        if turn.background is not None:
            turn.background.run()
            replica.background_done(turn.background)
        if turn.compaction is not None:
            self.asked.append(turn.compaction)
            if self.compactor == "runs":
                replica.compacted(rewrite(replica.log.disk, turn.compaction))
            elif self.compactor == "absent":
                replica.not_compacted("no compactor is running")

    def run(self, turns, *, ticks=True):
        """So many turns of everybody; a tick in every third."""
        for number in range(turns):
            self.now += 20
            for member in range(3):
                self.turn(member, tick=ticks and number % 3 == 0)

    @property
    def leader(self):
        """The member that leads the highest term, or None."""
        leading = [r for r in self.replicas if r and r.core.role is LEADER and r.member not in self.cut]
        return max(leading, key=lambda r: r.core.term).member if leading else None

    def elect(self):
        """Run until a leader has begun its term."""
        for _ in range(400):
            self.run(1)
            leader = self.leader
            if leader is not None and self.replicas[leader].leadership and self.replicas[leader].leadership._begun:
                return leader
        raise AssertionError("no leader after 400 turns")

    def send(self, member, kind, body=b"", **fields):
        """Hand one client message to a replica; returns its request id."""
        fields = {
            "shard": 0,
            "count": 0,
            "session": 0,
            "first": 0,
            "acknowledged": 0,
            "version": VERSION,
            "left": 60_000,
            "level": frames.LINEARIZABLE,
            "flags": 0,
            "seen": 0,
            "key": KEY,
        } | fields
        request = next(self.requests)
        header = REQUEST.pack(
            fields["version"],
            kind,
            fields["shard"],
            fields["level"],
            fields["flags"],
            fields["count"],
            request,
            fields["session"],
            fields["key"],
            fields["first"],
            fields["acknowledged"],
            fields["seen"],
            1,
            fields["left"],
        )
        self.replicas[member].receive_bundle(b"router", [Item(1, frames.request_frames(header, body))])
        return request

    def ask(self, member, kind, body=b"", **fields):
        """Hand in a message and run until it is answered."""
        request = self.send(member, kind, body, **fields)
        for _ in range(60):
            self.run(1)
            for reply, answer in self.answers[member]:
                if reply.request == request and reply.kind != frames.EVENTS:
                    return reply, bytes(answer)
        raise AssertionError(f"request {request} was not answered in 60 turns")

    def register(self, member):
        """Open a session; returns its id."""
        reply, _ = self.ask(member, frames.REGISTER, msgpack.packb(["tester", 30_000]))
        assert reply.kind == frames.REGISTERED, reply
        return reply.session

    def commands(self, member, session, first, *parts):
        """Run commands; returns their results as code and value (or text)."""
        body = frames.pack_parts(parts)
        reply, body = self.ask(member, frames.COMMAND, body, session=session, first=first, count=len(parts))
        _, results = frames.unpack_results(body, reply.count)
        return [(r[0], msgpack.unpackb(r[1:]) if r[0] == 0 else r[1:].decode()) for r in results]
