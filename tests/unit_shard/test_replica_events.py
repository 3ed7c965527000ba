"""Events in whole replicas over real logs: pushed, settled, and none lost to a leader's end, a restart or compaction."""

from __future__ import annotations

import itertools

import msgpack
import pytest
from ocelog.client.protocol import events, frames, operations
from ocelog.client.protocol.admin import COMPACT, AdminRequest
from ocelog.client.protocol.events import Route
from ocelog.client.protocol.frames import REQUEST, Item

from .trio import KEY, Trio

SHARD, OPEN = operations.SHARD, operations.OPEN


class House:
    """A trio with a map and one session, which listens to it and writes."""

    def __init__(self, path, **settings):
        self.trio = Trio(path, **settings)
        self.leader = self.trio.elect()
        self.session = self.trio.register(self.leader)
        self.sequence = 0
        ((_, self.map),) = self.command([SHARD, OPEN, "it", "map"])
        self.command([self.map, "listen", None])

    def command(self, *parts):
        """Run commands at the leader; returns codes and values."""
        first, self.sequence = self.sequence + 1, self.sequence + len(parts)
        encoded = [operations.encode(list(part)) for part in parts]
        return self.trio.commands(self.leader, self.session, first, *encoded)

    def put(self, key, value):
        """A put, which publishes; returns its log index."""
        self.command([self.map, "put", key, value])
        return self.replica.executor.sessions.get(self.session).event_index

    @property
    def replica(self):
        return self.trio.replicas[self.leader]

    def handled(self, received, handled):
        """The listener acknowledges to the leader."""
        self.trio.send(self.leader, frames.HANDLED, events.pack_handled(received, handled), session=self.session)

    def pushed(self, member=None):
        """(index before, index) of every batch that the member has pushed, and forget them."""
        member = self.leader if member is None else member
        found = []
        for reply, body in self.trio.answers[member]:
            if reply.kind == frames.EVENTS and reply.count:
                before = reply.request
                for index in frames.unpack_results(body, reply.count)[0]:
                    found.append((before, index))
                    before = index
        self.trio.answers[member] = []
        return found

    def tables(self):
        """What each replica keeps of the session's events."""
        sessions = [replica.executor.sessions.get(self.session) for replica in self.trio.replicas if replica]
        return [(s.event_index, s.handled, list(s.events)) for s in sessions]

    def tell_routes(self, member):
        """The router tells a new leader where the session is."""
        header = REQUEST.pack(frames.VERSION, frames.ROUTES, 0, 0, 0, 1, 0, 0, frames.NO_KEY, 0, 0, 0, 0, 0)
        body = events.pack_routes([Route(self.session, 1, 1)])
        self.trio.replicas[member].receive_bundle(b"router", [Item(0, frames.request_frames(header, body))])

    def change_leader(self):
        """The leader is cut off; another one leads."""
        self.trio.cut = {self.leader}
        self.leader = self.trio.elect()


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_every_replica_keeps_what_the_leader_pushes_until_the_log_says_it_is_handled(house):
    """Apply, push, acknowledge, fold, forget: equal on all replicas."""
    index = house.put(b"a", b"1")
    house.trio.run(5)
    assert house.pushed() == [(0, index)]
    assert [kept for _, _, kept in house.tables()] == [house.tables()[0][2]] * 3
    house.handled(index, index)
    house.trio.run(100)
    assert house.tables() == [(index, index, [])] * 3
    assert house.pushed() == []


def test_only_the_leader_pushes(house):
    """Followers hold the same queue and send nothing."""
    house.put(b"a", b"1")
    house.trio.run(5)
    assert [house.pushed(member) != [] for member in range(3)] == [member == house.leader for member in range(3)]


def test_a_new_leader_pushes_what_is_unhandled_as_soon_as_it_knows_where(house):
    """With the same bytes and the same batch before."""
    first = house.put(b"a", b"1")
    house.handled(first, first)
    house.trio.run(100)
    second = house.put(b"a", b"2")
    assert house.pushed() == [(0, first), (first, second)]
    house.change_leader()
    assert house.pushed() == []
    house.tell_routes(house.leader)
    house.trio.run(1)
    assert house.pushed() == [(first, second)]


def test_routes_may_come_before_the_term_has_begun(house):
    """Routers tell a new leader at once; it pushes with the no-op of its term."""
    index = house.put(b"a", b"1")
    house.trio.run(2)
    house.trio.cut = {house.leader}
    for _ in range(400):
        house.trio.run(1)
        leader = house.trio.leader
        if leader is not None:
            break
    assert not house.trio.replicas[leader].leadership._begun
    house.tell_routes(leader)
    house.leader = house.trio.elect()
    house.trio.run(1)
    assert house.pushed() == [(0, index)]


def test_a_deposed_leader_answers_who_waits_and_pushes_no_more(house):
    """NOT_LEADER for a question that was not answered."""
    index = house.put(b"a", b"1")
    old = house.leader
    request = house.trio.send(old, frames.SETTLE, events.pack_indexes([index]), session=house.session, count=1)
    house.trio.run(1)
    house.change_leader()
    house.trio.cut = set()
    house.trio.run(60)
    assert house.trio.replicas[old].leadership is None
    (refused,) = [reply for reply, _ in house.trio.answers[old] if reply.request == request and reply.kind == 0xFF]
    assert refused.code == 1
    house.pushed(old)
    house.put(b"a", b"2")
    assert house.pushed(old) == []


def test_events_survive_the_restart_of_everybody(house):
    """They are in the log."""
    index = house.put(b"a", b"1")
    house.trio.run(5)
    for member in range(3):
        house.trio.restart(member)
    house.leader = house.trio.elect()
    house.pushed()
    house.tell_routes(house.leader)
    house.trio.run(2)
    assert house.pushed() == [(0, index)]


def test_events_survive_compaction(tmp_path):
    """They are in the snapshot: their entries may be gone. The index of the last one is kept, also when it was handled."""
    house = House(tmp_path, segment_bytes_max=16 * 1024, compaction={"minor_interval_ms": 200})
    first = house.put(b"a", b"1")
    house.handled(first, first)
    house.trio.run(100)
    second = house.put(b"a", b"2")
    house.command([house.map, "unlisten", None])
    filler = [[house.map, "put", b"b", bytes(300)]] * 50
    for _ in range(12):
        house.command(*filler)
    for _ in range(300):
        house.trio.run(1)
        if all(replica.log.snapshot_index > second for replica in house.trio.replicas):
            break
    assert all(replica.log.snapshot_index > second for replica in house.trio.replicas)
    before = house.tables()
    for member in range(3):
        house.trio.restart(member)
    house.leader = house.trio.elect()
    house.trio.run(5)
    assert house.tables() == before
    house.pushed()
    house.tell_routes(house.leader)
    house.trio.run(2)
    assert house.pushed() == [(first, second)]


@pytest.mark.parametrize("unhandled", [0, 2])
def test_a_member_that_was_installed_leads_and_goes_on_with_the_chain(tmp_path, unhandled):
    """Its table came from a snapshot, and it pushes what was unhandled then, and what is published later, without a gap."""
    house = House(tmp_path, segment_bytes_max=4096, compaction={"enabled": 0})
    trio, behind = house.trio, (house.leader + 1) % 3
    trio.cut = {behind}
    handled = house.put(b"a", b"0")
    house.handled(handled, handled)
    trio.run(100)
    chain = [handled] + [house.put(b"a", b"%d" % number) for number in range(1, unhandled + 1)]
    house.command([house.map, "unlisten", None])
    for _ in range(10):
        house.command(*[[house.map, "put", b"b", bytes(300)]] * 20)
    for replica in trio.replicas:
        if replica.member != behind:
            assert replica.administer(AdminRequest(COMPACT, major=False))["ok"]
            trio.run(60)
    house.command([house.map, "listen", None])
    trio.cut = set()
    trio.run(120)
    assert trio.replicas[behind].log.snapshot_index > chain[-1], "it took no snapshot itself: it was installed"
    assert house.tables() == [house.tables()[0]] * 3
    trio.replicas[house.leader].core.transfer(behind)
    trio.run(20)
    house.leader = trio.elect()
    assert house.leader == behind
    house.pushed()
    house.tell_routes(behind)
    trio.run(2)
    chain.append(house.put(b"a", b"last"))
    assert house.pushed() == list(itertools.pairwise(chain))


def test_status_counts_events_pushes_and_expiries(house):
    """On every replica what waits; at the leader what it did, over all its terms."""
    index = house.put(b"a", b"1")
    house.trio.run(5)
    reports = [replica.status() for replica in house.trio.replicas]
    assert [report["events_waiting"] for report in reports] == [1, 1, 1]
    assert all(report["event_bytes_waiting"] > 0 for report in reports)
    assert [report["pushes"] > 0 for report in reports] == [member == house.leader for member in range(3)]
    house.handled(index, index)
    house.trio.run(100)
    assert [replica.status()["events_waiting"] for replica in house.trio.replicas] == [0, 0, 0]
    old, pushes = house.leader, house.replica.status()["pushes"]
    house.change_leader()
    house.trio.cut = set()
    house.trio.run(60)
    assert house.trio.replicas[old].status()["pushes"] == pushes


def test_a_receipt_of_whole_replicas_has_every_step(house):
    """From a clock that the replica was given."""
    for replica in house.trio.replicas:
        replica._clock = lambda: house.trio.now / 1000
    house.change_leader()
    header = REQUEST.pack(
        frames.VERSION,
        frames.COMMAND,
        0,
        0,
        frames.TRACED,
        1,
        99,
        house.session,
        KEY,
        house.sequence + 1,
        0,
        0,
        1,
        10_000,
    )
    body = frames.pack_parts([operations.encode([house.map, "put", b"a", b"1"])])
    house.replica.receive_bundle(b"router", [Item(1, frames.request_frames(header, body))])
    house.trio.run(20)
    answers = [(reply, body) for reply, body in house.trio.answers[house.leader] if reply.request == 99]
    assert [reply.kind for reply, _ in answers] == [frames.RECEIPT, frames.RESULTS]
    fields = msgpack.unpackb(answers[0][1])
    assert (fields["replica"], fields["term"]) == (house.leader, answers[1][0].term)
    assert all(fields[step] >= 0 for step in ("queued", "synced", "replicated", "applied"))
    assert fields["replicated"] > 0


def test_a_router_that_cannot_be_reached_is_pushed_nothing(house):
    """Until its clients are heard again."""
    house.replica.forget_router(b"router")
    house.trio.answers[house.leader] = []
    first = operations.encode([house.map, "put", b"a", b"1"])
    house.trio.send(
        house.leader,
        frames.COMMAND,
        frames.pack_parts([first]),
        session=house.session,
        first=house.sequence + 1,
        count=1,
    )
    house.replica.forget_router(b"router")
    house.trio.run(20)
    assert house.pushed() == []
    house.trio.send(house.leader, frames.KEEP_ALIVE, session=house.session)
    house.trio.run(2)
    assert len(house.pushed()) == 1


def test_only_routers_tell_routes(house):
    """A client that says where sessions are is refused."""
    header = REQUEST.pack(frames.VERSION, frames.ROUTES, 0, 0, 0, 1, 77, 0, frames.NO_KEY, 0, 0, 0, 0, 0)
    body = events.pack_routes([Route(house.session, 9, 9)])
    house.replica.receive_bundle(b"router", [Item(5, frames.request_frames(header, body))])
    house.trio.run(1)
    (refused,) = [reply for reply, _ in house.trio.answers[house.leader] if reply.request == 77]
    assert refused.code == 14
    house.put(b"a", b"1")
    assert len(house.pushed()) == 1
