"""Installs between whole replicas: parts that are lost, repeated, damaged or too late, and transfers that outlive their files."""

from __future__ import annotations

import gc
import weakref
from random import Random

import pytest
from ocelog.log.compaction_request import CompactionResult, GroupResult
from ocelog.log.errors import NoSpace
from ocelog.shard import transfers
from ocelog.shard.capture import Capture
from ocelog.shard.compaction_run import Stage
from ocelog.shard.neighbours import EntryQuery
from ocelog.shard.raft.messages import Install, InstallResponse

from .test_replica_compaction import TINY, Load, compact, states
from .trio import Trio

PART_BYTES = 600


@pytest.fixture
def trio(tmp_path, monkeypatch):
    monkeypatch.setattr(transfers, "PART_BYTES", PART_BYTES)
    monkeypatch.setattr(transfers, "WINDOW_BYTES", 4 * PART_BYTES)
    return Trio(tmp_path, **TINY)


class Behind(Load):
    """A member that was cut off while the others wrote and compacted what it lacks."""

    def __init__(self, trio, kit, *, keys=12, before=10):
        super().__init__(trio, kit)
        self.overwrite(before, keys=keys)
        trio.run(20)
        self.member = (self.leader + 1) % 3
        trio.cut = {self.member}
        self.overwrite(60, keys=keys)
        for member in range(3):
            if member != self.member:
                compact(trio, member)
        self.overwrite(2, keys=keys)

    @property
    def replica(self):
        return self.trio.replicas[self.member]

    def catch_up(self, turns=600):
        """Let the member back and wait until it holds what the leader does."""
        self.trio.cut = set()
        for _ in range(turns):
            self.trio.run(1)
            if self.replica.executor.applied_index == self.trio.replicas[self.leader].executor.applied_index:
                return
        raise AssertionError(f"applied {self.replica.executor.applied_index} after {turns} turns")

    def check(self, kit):
        assert self.replica.log.dense_index > 0
        first, second, third = states(self.trio, kit)
        assert first == second == third


def recorded(trio):
    """All installs that travel from now on, in order."""
    seen = []

    def record(message):
        if isinstance(message, Install):
            seen.append(message)
        return False

    trio.loses = record
    return seen


def test_a_transfer_is_one_stream_in_parts_within_a_window(trio, kit):
    load = Behind(trio, kit)
    sent = recorded(trio)
    load.catch_up()
    load.check(kit)
    assert len(sent) > 4
    positions = [message.position for message in sent]
    assert positions == sorted(set(positions)), "nothing was lost, so nothing is sent twice"
    total = sent[0].snapshot_bytes + sent[0].entry_bytes
    assert sum(len(message.entries.data) for message in sent) == total
    assert {message.from_index for message in sent} == {sent[0].from_index}
    live = trio.replicas[load.leader].log.snapshot.live
    assert sum(len(message.entries.sizes) for message in sent) == sum(live > sent[0].from_index)


@pytest.mark.parametrize("seed", range(8))
def test_lost_parts_and_answers_are_repeated(trio, kit, seed):
    load = Behind(trio, kit)
    rng = Random(seed)
    trio.loses = lambda message: isinstance(message, Install | InstallResponse) and rng.random() < 0.3
    load.catch_up(3000)
    load.check(kit)


def test_a_transfer_that_begins_anew_goes_on_where_the_member_is(trio, kit):
    """The connection broke: the leader probes again, and finds what it had begun."""
    load = Behind(trio, kit)
    trio.cut = set()
    sent = recorded(trio)
    while len(sent) < 4:
        trio.run(1)
    assert load.replica.catch_up.incoming.under_way
    trio.replicas[load.leader].peer_gone(load.member)
    load.catch_up()
    load.check(kit)
    positions = [message.position for message in sent]
    assert positions.count(0) == 2, "it was begun anew"
    assert all(positions.count(position) == 1 for position in positions if position), "and nothing else was sent twice"


def test_parts_that_come_twice_change_nothing(trio, kit):
    load = Behind(trio, kit)
    again = []

    def repeat(message):
        if isinstance(message, Install) and message not in again:
            again.append(message)
            trio.inboxes[message.to] += [message, message]
        return False

    trio.loses = repeat
    load.catch_up()
    load.check(kit)
    before = (load.replica.log.snapshot_index, load.replica.log.last_index)
    trio.inboxes[load.member] += again  # all of it once more, after it was installed
    trio.run(20)
    assert (load.replica.log.snapshot_index, load.replica.log.last_index) == before
    load.check(kit)


def test_a_transfer_outlives_the_segments_and_the_snapshot_it_began_with(trio, kit):
    """The leader compacts again while it sends: the stream stays what it was."""
    load = Behind(trio, kit)
    slowed = {"count": 0}

    def slow(message):
        if isinstance(message, InstallResponse):
            slowed["count"] += 1
            return slowed["count"] % 3 != 0
        return False

    trio.loses = slow
    trio.cut = set()
    leader = trio.replicas[load.leader]
    first = leader.log.snapshot_index
    trio.run(10)
    assert load.replica.catch_up.incoming.under_way
    load.overwrite(30)
    compact(trio, load.leader, major=True)
    assert leader.log.snapshot_index > first
    load.catch_up(3000)
    load.check(kit)


@pytest.mark.parametrize("lag_bytes_max", [1 << 20, 3000])
def test_a_transfer_that_never_ends_keeps_no_more_than_the_budget_from_compaction(tmp_path, kit, lag_bytes_max):
    """A member whose disk is full takes nothing, and must not fill the leader's."""
    trio = Trio(tmp_path, **(TINY | {"compaction": TINY["compaction"] | {"lag_bytes_max": lag_bytes_max}}))
    load = Behind(trio, kit, keys=3)
    trio.loses = lambda message: isinstance(message, Install) and message.position > 0
    trio.cut = set()
    trio.run(10)
    leader = trio.replicas[load.leader]
    [index] = leader.catch_up.transfers.snapshot_indexes
    load.overwrite(120, keys=3)
    dense_index = leader.log.dense_index
    assert dense_index <= index
    compact(trio, load.leader, major=True)
    assert (leader.log.dense_index > index) == (lag_bytes_max == 3000)
    trio.loses = lambda message: False
    load.catch_up(3000)
    load.check(kit)


def test_a_leader_that_is_replaced_in_the_middle_leaves_nothing_behind(trio, kit):
    load = Behind(trio, kit)
    trio.loses = lambda message: isinstance(message, InstallResponse)
    trio.cut = set()
    trio.run(10)
    assert load.replica.catch_up.incoming.under_way
    trio.loses = lambda message: False
    trio.cut = {load.leader}
    old = load.leader
    load.leader = trio.elect()
    assert load.leader not in (old, load.member)
    load.catch_up(1500)
    trio.cut = set()
    trio.run(200)
    load.check(kit)
    names = set(load.replica.log.disk.list(f"{load.replica.log.directory}/snapshots"))
    assert len(names) == 1, "what was staged and not published is gone"


def test_what_was_staged_goes_when_its_leader_does(trio, kit):
    """Also when no other install comes: its bytes would lie there for as long as the process lives."""
    load = Behind(trio, kit)
    trio.loses = lambda message: isinstance(message, Install) and message.position > 0
    trio.cut = set()
    trio.run(10)
    assert load.replica.catch_up.incoming.under_way
    disk, snapshots = load.replica.log.disk, f"{load.replica.log.directory}/snapshots"
    assert len(disk.list(snapshots)) == 1
    trio.loses = lambda message: isinstance(message, Install)
    trio.cut = {load.leader}
    trio.run(200)
    assert trio.leader is not None
    assert not load.replica.catch_up.incoming.under_way
    assert disk.list(snapshots) == []


def test_a_transfer_whose_next_entry_is_damaged_does_not_have_the_loop_spin(trio, kit):
    load = Behind(trio, kit)
    leader = trio.replicas[load.leader]
    index = int(leader.log.snapshot.live[-1])
    segment = leader.log._segments.of(index)
    segment.buffer[segment.offset_of(index) + 60] ^= 4
    trio.loses = lambda message: isinstance(message, EntryQuery)
    trio.cut = set()
    trio.run(60)
    assert leader.healing.waiting_for == [index]
    assert not leader.catch_up.has_work()
    trio.loses = lambda message: False
    load.catch_up()
    load.check(kit)


def test_a_part_that_was_damaged_on_its_way_begins_the_install_again(trio, kit):
    load = Behind(trio, kit)
    damaged = []

    def damage(message):
        if isinstance(message, Install) and len(message.entries.sizes) and not damaged:
            data = bytearray(message.entries.data)
            data[60] ^= 1
            message.entries = transfers.Part(bytes(data), message.entries.sizes)
            damaged.append(message)
        return False

    trio.loses = damage
    load.catch_up(1500)
    assert damaged
    load.check(kit)


def test_no_room_for_an_install_is_no_end(trio, kit, monkeypatch):
    load = Behind(trio, kit)
    staged = []
    stage = load.replica.log.stage

    def refuse(**fields):
        staged.append(fields)
        if len(staged) < 3:
            raise NoSpace("no room, by a test")
        return stage(**fields)

    monkeypatch.setattr(load.replica.log, "stage", refuse)
    load.catch_up(1500)
    assert len(staged) == 3
    load.check(kit)


def test_a_member_that_lacks_a_live_entry_of_its_own_asks_for_all(trio, kit, monkeypatch):
    load = Behind(trio, kit)
    missing = load.replica.log.missing
    told = []

    def lacks_one(live, through):
        if through and not told:
            told.append(through)
            return 1
        return missing(live, through)

    monkeypatch.setattr(load.replica.log, "missing", lacks_one)
    sent = recorded(trio)
    load.catch_up(1500)
    load.check(kit)
    assert told and {message.from_index for message in sent} == {told[0], 0}


def test_a_run_under_way_is_given_up_when_the_log_is_replaced(trio, kit):
    load = Behind(trio, kit, keys=3, before=40)
    trio.compactor = "silent"
    load.replica.housekeeping.ask(major=True)
    trio.run(10)
    assert load.replica.housekeeping.run.stage is Stage.REWRITE
    load.catch_up()
    assert load.replica.housekeeping.run is None
    assert "replaced by an install" in load.replica.housekeeping.status()["error"]
    load.check(kit)
    # The compactor answers after all: what it wrote is nobody's, and goes.
    disk, directory = load.replica.log.disk, f"{load.replica.log.directory}/log"
    [request] = [each for each in trio.asked if each.directory == load.replica.log.directory]
    before = set(disk.list(directory))
    names = {group.target.file_name for group in request.groups}
    for name in names:
        disk.write(f"{directory}/{name}", [b"rewritten"])
    done = tuple(GroupResult(generation=group.generation, entries=1, bytes=9) for group in request.groups)
    load.replica.compacted(CompactionResult(groups=done))
    trio.run(10)
    assert names and not names & set(disk.list(directory))
    assert before - set(disk.list(directory)) == set()
    load.check(kit)


def test_a_run_that_is_given_up_does_not_keep_the_state_that_was_replaced(trio, kit, monkeypatch):
    """It was being captured: as much memory again, for as long as the process lives."""
    load = Behind(trio, kit)
    monkeypatch.setattr(Capture, "step", lambda *_: False)
    load.replica.housekeeping.ask()
    trio.run(3)
    assert load.replica.housekeeping.run.stage is Stage.CAPTURE
    replaced = weakref.ref(load.replica.executor)
    load.catch_up()
    assert "replaced by an install" in load.replica.housekeeping.status()["error"]
    gc.collect()
    assert replaced() is None
