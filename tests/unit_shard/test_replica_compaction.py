"""Snapshots, compaction, catching up and rebuilding, seen from whole replicas over real files."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import msgpack
import pytest
from ocelog.client.protocol.admin import COMPACT, SNAPSHOT, AdminRequest
from ocelog.log.compactor import rewrite
from ocelog.log.entry import KEEP_ALIVE
from ocelog.log.entry import SNAPSHOT as SNAPSHOT_MODE
from ocelog.log.errors import NoSpace
from ocelog.log.segment import Segment
from ocelog.shard import housekeeping
from ocelog.shard.capture import Capture
from ocelog.shard.compaction_run import Stage
from ocelog.shard.digest import Digest
from ocelog.shard.divergence import Diverged

from ..simulation.breaking import Edit, Mutant, broken
from .trio import Trio

TINY = {"segment_bytes_max": 4096, "compaction": {"enabled": 0, "digest_entries": 50}}


@pytest.fixture
def trio(tmp_path):
    return Trio(tmp_path, **TINY)


class Load:
    """A session with a map and a counter at the leader."""

    def __init__(self, trio, kit):
        self.trio, self.kit = trio, kit
        self.leader = trio.elect()
        self.session = trio.register(self.leader)
        self.sequence = 0
        self.map = self.run(kit.opening("m", "map"))[0][1]
        self.counter = self.run(kit.opening("c", "counter"))[0][1]

    def run(self, *parts):
        """Commands of the session; their results."""
        first = self.sequence + 1
        self.sequence += len(parts)
        return self.trio.commands(self.leader, self.session, first, *parts)

    def overwrite(self, count, keys=3):
        """So many puts to few keys, and as many increments."""
        for number in range(count):
            self.run(
                self.kit.operation(self.map, "put", b"k%d" % (number % keys), b"v%d" % number + bytes(100)),
                self.kit.operation(self.counter, "add", 1),
            )


def settle(trio, turns=60):
    """Let everything that is under way come to its end."""
    trio.run(turns)
    for replica in filter(None, trio.replicas):
        assert replica.housekeeping.run is None, replica.housekeeping.run.stage


def compact(trio, member, *, major=False):
    report = trio.replicas[member].administer(AdminRequest(COMPACT, major))
    assert report["ok"], report
    settle(trio)
    assert trio.replicas[member].housekeeping.status()["error"] is None
    assert trio.replicas[member].housekeeping.runs == report["run"]


def states(trio, kit):
    return [kit.state_of(replica.executor) for replica in trio.replicas if replica is not None]


def test_a_compaction_keeps_what_lives_and_shrinks_the_log(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    replica = trio.replicas[load.leader]
    before, state = replica.log.log_bytes, kit.state_of(replica.executor)
    live = replica.log.live_indexes().tolist()
    compact(trio, load.leader)
    assert replica.log.log_bytes < before / 3
    assert 0 < replica.log.dense_index <= replica.log.snapshot_index
    assert kit.state_of(replica.executor) == state
    assert set(replica.log.live_indexes().tolist()) >= set(live[-3:])
    load.overwrite(5)
    trio.run(20)
    first, second, third = states(trio, kit)
    assert first == second == third


def test_a_restart_rebuilds_from_snapshot_and_live_entries(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    for member in range(3):
        compact(trio, member)
    load.overwrite(7)
    trio.run(20)
    follower = (load.leader + 1) % 3
    before = kit.state_of(trio.replicas[follower].executor)
    digest = trio.replicas[follower].executor.digest
    trio.restart(follower)
    assert trio.replicas[follower].rebuilding
    settle(trio)
    assert not trio.replicas[follower].rebuilding
    assert kit.state_of(trio.replicas[follower].executor) == before
    assert trio.replicas[follower].executor.digest == digest


def test_events_and_the_chain_of_their_indexes_survive_restarts(trio, kit):
    """Unhandled events come back byte for byte; the index of the last one, also when all were handled and compacted away."""
    load = Load(trio, kit)
    load.run(kit.operation(load.map, "listen"), kit.operation(load.counter, "listen"))
    load.overwrite(30)
    handled = trio.replicas[load.leader].executor.sessions.get(load.session).event_index
    record = (KEEP_ALIVE, SNAPSHOT_MODE, 0, 0, 0, msgpack.packb([(load.session, 0, handled)]))
    trio.replicas[load.leader].leadership.intake.records.append(record)
    settle(trio)
    for member in range(3):
        compact(trio, member)
    for member in range(3):
        trio.restart(member)
    load.leader = trio.elect()
    settle(trio)
    for replica in trio.replicas:
        session = replica.executor.sessions.get(load.session)
        assert (session.event_index, session.handled, list(session.events)) == (handled, handled, [])
    load.overwrite(2)
    settle(trio)
    batches = list(trio.replicas[load.leader].executor.sessions.get(load.session).events)
    assert [batch.previous for batch in batches] == [handled, *[batch.index for batch in batches[:-1]]]
    assert len(batches) == 4
    trio.restart((load.leader + 1) % 3)
    settle(trio)
    assert [list(replica.executor.sessions.get(load.session).events) for replica in trio.replicas] == [batches] * 3


def test_all_restart_and_go_on(trio, kit):
    load = Load(trio, kit)
    load.overwrite(40)
    for member in range(3):
        compact(trio, member, major=True)
    load.overwrite(3)
    before = kit.state_of(trio.replicas[load.leader].executor)
    for member in range(3):
        trio.restart(member)
    load.leader = trio.elect()
    after = kit.state_of(trio.replicas[load.leader].executor)
    assert after | {"index": before["index"], "time": before["time"]} == before  # it has applied its no-op
    load.overwrite(3)
    trio.run(30)
    first, second, third = states(trio, kit)
    assert first == second == third


@pytest.mark.parametrize("stopped", [False, True])
def test_a_member_that_lacks_compacted_entries_is_installed(trio, kit, stopped):
    """It was cut off, or its process was stopped, while the others compacted what it lacks."""
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    behind = (load.leader + 1) % 3
    trio.cut = {behind}
    if stopped:
        trio.replicas[behind] = None
    load.overwrite(60)
    for member in range(3):
        if member != behind:
            compact(trio, member)
    load.overwrite(3)
    trio.cut = set()
    if stopped:
        trio.replicas[behind] = trio.open(behind)
    trio.run(120)
    member = trio.replicas[behind]
    assert member.log.dense_index >= trio.replicas[load.leader].log.dense_index
    assert member.executor.applied_index == trio.replicas[load.leader].executor.applied_index
    first, second, third = states(trio, kit)
    assert first == second == third
    trio.restart(behind)
    trio.run(60)
    assert kit.state_of(trio.replicas[behind].executor) == first


def test_a_snapshot_alone_rewrites_nothing(trio, kit):
    load = Load(trio, kit)
    load.overwrite(30)
    replica = trio.replicas[load.leader]
    before = replica.log.log_bytes
    report = replica.administer(AdminRequest(SNAPSHOT))
    settle(trio)
    assert replica.log.snapshot_index >= report["snapshot_index"]
    assert (replica.log.log_bytes >= before, replica.log.dense_index) == (True, 0)
    status = replica.housekeeping.status()
    assert (status["runs"], status["snapshots"], status["failures"]) == (1, 1, 0)


def test_without_a_compactor_the_replica_works_on_and_says_so(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    trio.compactor = "absent"
    trio.replicas[load.leader].administer(AdminRequest(COMPACT))
    settle(trio)
    replica = trio.replicas[load.leader]
    status = replica.housekeeping.status()
    assert status["error"] == "no compactor is running"
    assert (status["runs"], status["snapshots"], status["failures"]) == (1, 1, 1)
    assert replica.log.snapshot_index > 0
    trio.compactor = "runs"
    compact(trio, load.leader)
    assert replica.log.dense_index > 0


def test_what_a_compactor_wrote_before_it_was_killed_goes(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    trio.compactor = "silent"
    replica = trio.replicas[load.leader]
    replica.administer(AdminRequest(COMPACT))
    trio.run(20)
    [request] = trio.asked
    paths = [f"{replica.log.directory}/log/{group.target.file_name}" for group in request.groups]
    assert len(paths) > 1
    for path in paths[1:]:
        replica.log.disk.write(path, [b"rewritten"])
    replica.not_compacted("the compactor went away")
    settle(trio)
    assert not any(map(replica.log.disk.exists, paths))
    trio.compactor = "runs"
    compact(trio, load.leader)
    assert replica.log.dense_index > 0


def test_a_compactor_that_goes_after_it_has_answered_takes_nothing_along(trio, kit):
    """In the very turn in which its files were swapped in."""
    load = Load(trio, kit)
    load.overwrite(6, keys=6)
    load.overwrite(60)
    trio.compactor = "silent"
    replica = trio.replicas[load.leader]
    replica.administer(AdminRequest(COMPACT))
    trio.run(20)
    [request] = trio.asked
    replica.compacted(rewrite(replica.log.disk, request))
    job = replica.background.next()
    job.run()
    replica.background_done(job)
    assert replica.housekeeping.run.stage is Stage.OVER
    replica.not_compacted("the compactor went away")
    settle(trio)
    assert replica.log.dense_index > 0
    state = kit.state_of(replica.executor)
    trio.restart(load.leader)
    trio.run(200)
    assert kit.state_of(trio.replicas[load.leader].executor)["resources"] == state["resources"]


def test_a_compactor_that_hangs_is_not_waited_for_for_ever(trio, kit, monkeypatch):
    monkeypatch.setattr(housekeeping, "ANSWER_MS_MAX", 1000)
    load = Load(trio, kit)
    load.overwrite(60)
    trio.compactor = "silent"
    replica = trio.replicas[load.leader]
    replica.administer(AdminRequest(COMPACT))
    trio.run(20)
    assert replica.housekeeping.run.stage is Stage.REWRITE
    settle(trio, 120)
    assert "has not answered" in replica.housekeeping.status()["error"]
    trio.compactor = "runs"
    compact(trio, load.leader)
    assert replica.log.dense_index > 0


def test_runs_begin_by_themselves_when_segments_are_full(tmp_path, kit):
    trio = Trio(tmp_path, segment_bytes_max=4096, compaction={"digest_entries": 50})
    load = Load(trio, kit)
    load.overwrite(150)
    settle(trio, 200)
    for replica in trio.replicas:
        assert replica.housekeeping.runs >= 1
        assert replica.log.log_bytes < 12 * 4096
    first, second, third = states(trio, kit)
    assert first == second == third


class FullDisk:
    """Stands in for a replica's disk: nothing can be written as long as the reserve is there, or ever if `hopeless`."""

    def __init__(self, replica, *, hopeless=False):
        self.disk = replica.log.disk
        self.reserve = f"{replica.log.directory}/log/reserve"
        self.hopeless = hopeless
        self.refused = 0

    def __getattr__(self, name):
        return getattr(self.disk, name)

    def write(self, path, parts):
        if self.hopeless or self.disk.exists(self.reserve):
            self.refused += 1
            raise NoSpace(f"{path}: no room, by a test")
        return self.disk.write(path, parts)


def test_a_full_disk_is_compacted_with_the_room_in_reserve(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    replica = trio.replicas[load.leader]
    full = replica.log.disk = FullDisk(replica)
    before = replica.log.log_bytes
    compact(trio, load.leader)
    assert full.refused == 1
    assert replica.log.log_bytes < before / 3
    trio.run(10)
    assert full.disk.exists(full.reserve), "it is allocated again"


def test_without_any_room_a_run_ends_and_harms_nothing(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    replica = trio.replicas[load.leader]
    state = kit.state_of(replica.executor)
    full = replica.log.disk = FullDisk(replica, hopeless=True)
    replica.administer(AdminRequest(COMPACT))
    settle(trio)
    assert "no room, by a test" in replica.housekeeping.status()["error"]
    assert (full.refused, replica.log.snapshot_index, kit.state_of(replica.executor) == state) == (2, 0, True)
    replica.log.disk = full.disk
    compact(trio, load.leader)


def test_entries_that_found_no_room_make_a_run(trio, kit, monkeypatch):
    """Whatever the settings: it is the one thing that a replica can do about it."""
    load = Load(trio, kit)
    load.overwrite(60)
    replica = trio.replicas[load.leader]
    monkeypatch.setattr(type(replica.log), "no_space", True)
    trio.run(60)
    assert replica.housekeeping.runs >= 1
    assert replica.log.dense_index > 0


def test_a_machine_that_never_releases_is_named_once(trio, kit, monkeypatch, caplog):
    load = Load(trio, kit)
    load.overwrite(3)
    replica = trio.replicas[load.leader]
    resource = replica.executor.by_name["m"]
    compact(trio, load.leader)
    assert replica.housekeeping.status()["never_released"] == []
    monkeypatch.setattr(type(resource), "hoards", property(lambda self: self.name == "m"))
    for _ in range(2):
        load.overwrite(3)
        compact(trio, load.leader)
    assert replica.housekeeping.status()["never_released"] == ["m"]
    assert caplog.text.count("'m', a map, has released none") == 1


def test_a_machine_that_releases_twice_is_named_and_stops_nobody(trio, kit, monkeypatch, caplog):
    """It is wrong on all replicas alike; as an assertion it would stop all of them, again at every start."""
    load = Load(trio, kit)
    load.overwrite(6)
    trio.run(20)
    released = []

    def put_and_release_again(machine, commit, key, value):
        previous = machine.live.pop(key, None)
        machine.live[key] = (commit.index, value)
        if previous is not None:
            released.append(previous[0])
            machine.release(previous[0])
            machine.release(load.map)  # the entry that created the map, each time

    for replica in trio.replicas:
        resource = replica.executor.by_name["m"]
        monkeypatch.setitem(resource.commands, "put", put_and_release_again.__get__(resource.machine))
    load.overwrite(6)
    trio.run(10)
    assert released
    assert "released twice or are not there" in caplog.text
    first, second, third = states(trio, kit)
    assert first == second == third


def test_a_replica_whose_state_differs_stops(trio, kit):
    """Its memory is wrong, for whatever reason: the next agreed index shows it."""
    load = Load(trio, kit)
    load.overwrite(5)
    trio.run(20)
    odd = (load.leader + 1) % 3
    counter = trio.replicas[odd].executor.by_name["c"].machine
    counter.value += 1
    with pytest.raises(Diverged, match=f"replica {odd}.*differs from the majority's"):
        for _ in range(40):
            load.overwrite(2)
            trio.run(5)


def otherwise(machine, kind, key, old, new):
    """What a machine that is not deterministic might publish; its results and releases are those of the others."""
    machine.publish(machine.listeners.of(key), "change", [kind, key, new, old])


@pytest.mark.parametrize("folded", [True, False])
def test_a_replica_that_publishes_otherwise_stops(trio, kit, monkeypatch, folded):
    """E9: the digest takes in what was published, to whom and by which entry. One without the events notices nothing."""
    load = Load(trio, kit)
    load.run(kit.operation(load.map, "listen"))
    odd = (load.leader + 1) % 3
    machine = trio.replicas[odd].executor.by_name["m"].machine
    monkeypatch.setattr(machine, "_changed", otherwise.__get__(machine))
    blind = Mutant("events", () if folded else (Edit(Digest, "fold", "if events:", "if False:"),), ())
    with broken(blind), pytest.raises(Diverged, match=f"replica {odd}.*differs") if folded else nullcontext():
        for _ in range(30):
            load.overwrite(2)
            trio.run(5)
    assert trio.replicas[load.leader].executor.applied_index >= 50
    ours, theirs = (trio.replicas[member].executor.sessions.get(load.session).events for member in (load.leader, odd))
    assert ours[0].payload != theirs[0].payload


@pytest.fixture
def no_collector():
    """Cycles are collected rarely in a replica: what they hold stays mapped, and on the disk."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def mapped(trio, member):
    """The segments that exist in memory of a member's directory, whether or not they are part of its log."""
    directory = trio.replicas[member].log.directory
    return {
        each for each in gc.get_objects() if isinstance(each, Segment) and each.file.path.startswith(f"{directory}/")
    }


def test_what_a_compaction_drops_is_let_go_at_once(trio, kit, no_collector):
    load = Load(trio, kit)
    for major in (False, True, False):
        load.overwrite(60)
        for member in range(3):
            compact(trio, member, major=major)
    load.overwrite(3)
    for member, replica in enumerate(trio.replicas):
        assert mapped(trio, member) == set(replica.log.sealed_segments()) | {replica.log._open}


def test_what_an_install_replaces_is_let_go_at_once(trio, kit, no_collector):
    load = Load(trio, kit)
    load.overwrite(30)
    trio.run(20)
    behind = (load.leader + 1) % 3
    trio.cut = {behind}
    load.overwrite(60)
    for member in range(3):
        if member != behind:
            compact(trio, member)
    old = weakref.ref(trio.replicas[behind].executor)
    trio.cut = set()
    trio.run(100)
    assert old() is None, "a whole state would be kept beside the new one"
    load.overwrite(3)
    trio.run(20)
    for member, replica in enumerate(trio.replicas):
        assert replica.log.dense_index > 0
        assert mapped(trio, member) == set(replica.log.sealed_segments()) | {replica.log._open}


def test_a_term_that_is_over_and_a_capture_are_let_go_at_once(trio, kit, no_collector):
    load = Load(trio, kit)
    load.overwrite(10)
    leader = trio.replicas[load.leader]
    leader.administer(AdminRequest(SNAPSHOT))
    trio.run(1)
    capture = weakref.ref(leader.executor.capture) if leader.executor.capture else None
    settle(trio)
    assert capture is None or capture() is None
    assert not [each for each in gc.get_objects() if isinstance(each, Capture)]
    term = weakref.ref(leader.leadership)
    trio.cut = {load.leader}
    trio.elect()
    trio.run(60)
    assert leader.leadership is None
    assert term() is None
