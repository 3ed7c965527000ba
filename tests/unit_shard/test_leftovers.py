"""What is left behind of resources that were created, used and deleted: nothing, in the log and in memory, for any type.

Types come from the registry and their commands from the rebuild property, so a new machine is looked at as soon as it is there.
"""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from ocelog.client.protocol import frames, operations
from ocelog.client.protocol.admin import COMPACT, AdminRequest
from ocelog.client.protocol.events import pack_handled
from ocelog.log.entry import COMMAND, KEEP_ALIVE, RELEASE, RESOURCE, SNAPSHOT, UNREGISTER
from ocelog.shard.machines.registry import registry

from ..census import census
from .rebuild.drawing import OPERATIONS
from .trio import Trio

COMMANDS = 12


def drawn_commands(drawn, type_name):
    """Commands of a machine, with modes and arguments."""
    declared = registry()[type_name].operations
    choices = [(name, those) for name, those in OPERATIONS[type_name].items() if name in declared]
    for _ in range(COMMANDS):
        name, arguments = drawn.choice(choices)
        yield declared[name].mode, (name, *map(drawn.choice, arguments))


class Life:
    """Creates, uses and deletes resources: two sessions that stay, and one for each resource that may end before it."""

    def __init__(self, entries, kit, seed=1):
        self.entries, self.kit, self.drawn = entries, kit, Random(seed)
        self.sequences = {entries.register(key=bytes((97 + n,)) * 16): 0 for n in range(2)}
        self.lasting = list(self.sequences)
        self.keeping = []

    def next(self, session):
        self.sequences[session] += 1
        return session, self.sequences[session]

    def live_one(self, type_name):
        entries, drawn = self.entries, self.drawn
        guest = entries.register(key=len(entries.log).to_bytes(16))
        sessions = [*self.lasting, guest]
        self.sequences[guest] = 0
        index = entries.add(
            (RESOURCE, SNAPSHOT, 1, *self.next(self.lasting[0]), self.kit.opening(type_name, type_name))
        )
        records = []
        for mode, (name, *arguments) in drawn_commands(drawn, type_name):
            session, sequence = self.next(drawn.choice(sessions))
            records.append((COMMAND, mode, 1, session, sequence, self.kit.operation(index, name, *arguments)))
        half = len(records) // 2
        for several in (records[:half], records[half:]):
            first = len(entries.log) + 1
            self.keeping += [first + at for at, record in enumerate(several) if record[1] == RELEASE]
            entries.add(*several, pass_ms=drawn.choice((0, 2)))
        if drawn.random() < 0.5:
            self.end(guest)
        payload = operations.encode([operations.SHARD, operations.DELETE, type_name])
        entries.add((RESOURCE, SNAPSHOT, 1, *self.next(self.lasting[1]), payload))
        if guest in self.sequences:
            self.end(guest)

    def end(self, session):
        self.entries.add((UNREGISTER, SNAPSHOT, 1, *self.next(session), b""))
        del self.sequences[session]

    def live(self, count):
        for _ in range(count):
            for type_name in registry():
                self.live_one(type_name)

    def settle(self):
        """Every result is acknowledged and every event handled; an hour later nobody asks for an ended session."""
        rows = [[session, self.sequences[session], self.entries.executor.applied_index] for session in self.lasting]
        executor = self.entries.executor
        self.entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb(rows)))
        self.entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([])), pass_ms=2 * 3600 * 1000)
        executor.forget_moved()
        released = executor.take_released()
        assert len(set(released)) == len(released), "an entry was released twice"
        assert sorted(released) == self.keeping, "an entry is live, and nothing is there that it could belong to"
        self.keeping = []


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_executor_is_what_it_was_when_all_resources_are_deleted(entries, kit, count):
    """All types, `count` resources of each: no table, timer, listener, event or result is left, and no live entry."""
    life = Life(entries, kit)
    life.live(5)
    life.settle()
    before = census(entries.executor)
    life.live(count)
    life.settle()
    executor = entries.executor
    assert not executor.resources and not executor.by_name and not executor.live_counts()
    assert executor.timers.next_due is None and not executor.timers.unowned() and not executor.timers.owned()
    assert not executor.timers.owners
    assert census(executor) == before


class Cluster:
    """A session at the leader of three replicas over real files; commands go in portions."""

    def __init__(self, trio, kit):
        self.trio, self.kit = trio, kit
        self.leader = trio.elect()
        self.session = trio.register(self.leader)
        self.sequence = 0
        self.drawn = Random(2)

    def run(self, *parts):
        """Commands of the session, acknowledged with the next; their results."""
        first = self.sequence + 1
        self.sequence += len(parts)
        return self.trio.commands(self.leader, self.session, first, *parts)

    def live(self, count):
        """Create, use and delete so many resources of each type."""
        for _ in range(count):
            names = list(registry())
            indexes = [value for _, value in self.run(*(self.kit.opening(name, name) for name in names))]
            for name, index in zip(names, indexes, strict=True):
                commands = [command for _, command in drawn_commands(self.drawn, name)]
                self.run(*(self.kit.operation(index, *command) for command in commands))
            self.run(*(operations.encode([operations.SHARD, operations.DELETE, name]) for name in names))

    def settle(self):
        """Say that everything was handled, then compact all logs; what each of them is, and what lives in it."""
        replica = self.trio.replicas[self.leader]
        last = replica.executor.sessions.get(self.session).event_index
        handled = pack_handled(last, last)
        self.trio.send(self.leader, frames.KEEP_ALIVE, handled, session=self.session, acknowledged=self.sequence)
        self.trio.run(60)
        for _ in range(2):  # what the first one seals, the second rewrites
            for replica in self.trio.replicas:
                assert replica.administer(AdminRequest(COMPACT, True))["ok"]
            self.trio.run(60)
        return [
            (len(log.live_indexes()), log.segment_count, replica.housekeeping.live_bytes)
            for replica in self.trio.replicas
            for log in (replica.log,)
        ]


def test_the_logs_are_what_they_were_when_all_resources_are_deleted(tmp_path, kit):
    """Live entries, live bytes and segments behind a major compaction, on every replica; and the snapshots."""
    cluster = Cluster(Trio(tmp_path, segment_bytes_max=8192, compaction={"enabled": 0}), kit)
    cluster.live(1)
    before = cluster.settle()
    sizes = [snapshot_bytes(replica) for replica in cluster.trio.replicas]
    log_bytes = [replica.log.log_bytes for replica in cluster.trio.replicas]
    cluster.live(4)
    assert any(replica.log.log_bytes > 2 * size for replica, size in zip(cluster.trio.replicas, log_bytes, strict=True))
    assert cluster.settle() == before
    for replica, size, log_size in zip(cluster.trio.replicas, sizes, log_bytes, strict=True):
        assert snapshot_bytes(replica) <= size + 64, "numbers are longer, nothing else"
        assert replica.log.log_bytes <= log_size + 8192


def snapshot_bytes(replica):
    """The size of the snapshot that the replica would start from."""
    return replica.log.snapshot.bytes
