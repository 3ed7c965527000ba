"""Stories: the counterexamples behind the rules of the log, each played on a calm cluster with every checker watching.

What a story compares itself is only that it really happens; that states, live sets, holes and answers are right is looked
at by the checkers after every turn.
"""

from __future__ import annotations

from typing import Any

import pytest
from ocelog.client.protocol import frames
from ocelog.log.entry import HEADER_BYTES
from ocelog.log.segment import Segment

from .observer import segments_of
from .scheduler import MS, SECOND
from .stage import Stage, installs_to, whole_install

COMMANDS: dict[str, list[tuple[Any, ...]]] = {
    "a replace whose predecessor is gone": [
        ("map", "put", b"k0", b"v1"),
        ("map", "replace", b"k0", b"v2"),
    ],
    "a put_if_absent that was refused, beside a key that expires": [
        ("leases", "put", b"k0", b"v1", 200),
        ("leases", "put_if_absent", b"k0", b"v2", 0),
        ("wait", 400),
        ("leases", "put_if_absent", b"k0", b"v3", 0),
    ],
    "a put of several keys, partly removed": [
        ("leases", "put", b"k0", b"v1", 0),
        ("leases", "put_both", b"k0", b"k1", b"v2"),
        ("leases", "remove", b"k1"),
        ("leases", "hold", b"k2", b"v3"),
    ],
    "an overwritten key whose time would be over": [
        ("leases", "put", b"k0", b"v1", 300),
        ("leases", "put", b"k0", b"v2", 0),
        ("leases", "put", b"k1", b"v3", 300),
        ("wait", 400),
    ],
    "clear, and writes behind it": [
        ("map", "put", b"k0", b"v1"),
        ("map", "put", b"k1", b"v2"),
        ("map", "clear"),
        ("map", "put", b"k1", b"v3"),
        ("leases", "put", b"k1", b"v4", 0),
        ("leases", "clear"),
    ],
    "timers of equal due time": [
        ("leases", "put", b"k0", b"v1", 3000),
        ("leases", "alarm", 3000, 2),
        ("leases", "put", b"k1", b"v2", 3000),
        ("leases", "alarm", 3000, 0),
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_state_is_rebuilt_from_what_is_left(name: str) -> None:
    """Whatever was overwritten, refused, removed or expired is gone from the log, and missed by nobody."""
    stage = Stage()
    for command in COMMANDS[name]:
        if command[0] == "wait":
            stage.run(command[1] * MS)
        else:
            stage.do(*command)
    for _ in range(2):
        stage.fill()
        stage.compact()
        stage.crash_all()
    # Timers that were pending fire on all replicas alike.
    stage.run(4 * SECOND)
    stage.fill()
    stage.compact()
    stage.crash_all()
    model = stage.observer.model
    for host in stage.hosts:
        log = host.replica.log
        assert log.dense_index > 0
        assert [i for i in stage.holds(host) if i <= log.dense_index] == [
            i for i in model.lives[log.snapshot_index] if i <= log.dense_index
        ]


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_counts_only_when_its_log_is_synced(seed: int) -> None:
    """A follower applies what the others have synced; its own snapshot of that must wait for its own disk."""
    stage = Stage(seed)
    stage.fill()
    stage.settle()
    slow = stage.followers[0]
    stage.slow_disk(slow, 5 * SECOND)
    stage.fill()
    assert slow.replica.executor.applied_index > slow.replica.log.synced_index
    slow.replica.housekeeping.ask(snapshot_only=True)
    stage.run(SECOND)
    assert slow.replica.log.snapshot_index <= slow.replica.log.synced_index
    slow.kill(power_loss=True)
    slow.start()
    stage.settle()


def test_a_transfer_outlives_the_segments_it_sends() -> None:
    """What is sent is rewritten and removed at its sender, while the member has the first parts of it."""
    stage, _ = held_transfer()
    stage.network.deliver_parked()
    stage.settle(2 * SECOND)
    assert stage.observer.counts["installs"] >= 1


def test_a_segment_rots_that_only_a_transfer_holds_on_to() -> None:
    """The install begins anew with the newer snapshot; nothing is wrong with its sender, which goes on as it is."""
    stage, held = held_transfer()
    leader = stage.leader
    for segment in held:
        for offset in segment.offset[: segment.count].tolist():
            segment.buffer[offset + HEADER_BYTES] ^= 1
    stage.network.deliver_parked()
    stage.settle()
    assert stage.observer.counts["installs"] >= 1
    assert (leader.counts["starts"], leader.member_incarnation) == (1, 1)


def held_transfer() -> tuple[Stage, list[Segment]]:
    """A transfer in the middle, and the segments that it sends, all of which compaction has replaced meanwhile."""
    stage = Stage(part_bytes=200, window_parts=1)
    behind = stage.left_behind()
    stage.network.parks = stage.parts_to(behind, 3)
    behind.start()
    stage.run_until(lambda: len(stage.network.parked) > 0)
    leader = stage.leader
    log = leader.replica.log
    before = [segment for segment in segments_of(log) if segment.last_index < log.snapshot_index]
    for _ in range(2):
        stage.fill()
        for key in KEYS:
            stage.put(key)
        stage.fill()
        stage.compact(leader)
    assert before, "the transfer sends entries"
    assert not {id(segment) for segment in before} & {id(segment) for segment in segments_of(log)}
    stage.network.parks = None
    return stage, before


def test_an_install_older_than_the_commit_index_changes_nothing() -> None:
    """Its parts come again when the member has long been caught up and has gone on."""
    stage = Stage(part_bytes=4000, window_parts=16)
    behind = stage.left_behind()
    stage.network.parks = installs_to(behind)
    behind.start()
    stage.run_until(lambda: whole_install(stage.network.parked))
    late, stage.network.parked, stage.network.parks = stage.network.parked, [], None
    stage.settle()
    stage.fill()
    stage.compact(behind)
    installs, snapshot_index = stage.observer.counts["installs"], behind.replica.log.snapshot_index
    stage.network.parked = late
    stage.network.deliver_parked()
    stage.run(SECOND)
    assert installs == stage.observer.counts["installs"]
    assert behind.replica.log.snapshot_index == snapshot_index
    stage.settle()


def test_an_install_that_is_overtaken_by_a_newer_one() -> None:
    """The parts of the first leader's install arrive between those of the second leader's, which has another snapshot."""
    stage = Stage(part_bytes=4000, window_parts=16)
    behind = stage.left_behind()
    stage.network.parks = installs_to(behind)
    behind.start()
    stage.run_until(lambda: whole_install(stage.network.parked))
    late, stage.network.parked = stage.network.parked, []
    first = stage.leader
    first.kill(power_loss=False)
    stage.run_until(lambda: any(host.leads for host in stage.hosts))
    stage.compact(stage.leader)
    stage.run_until(lambda: whole_install(stage.network.parked))
    newer, stage.network.parked = stage.network.parked, []
    stage.network.parks = None
    stage.network.parked = [each for pair in zip(newer, late, strict=False) for each in pair] + newer
    stage.network.deliver_parked()
    first.start()
    stage.settle()


def test_the_leader_changes_while_a_member_catches_up() -> None:
    """The next leader begins again, from its own snapshot, and the member's vote counts meanwhile."""
    stage = Stage(part_bytes=200, window_parts=1)
    behind = stage.left_behind()
    behind.start()
    stage.run_until(lambda: behind.replica.catch_up.incoming.under_way)
    first = stage.leader
    first.kill(power_loss=False)
    stage.run_until(lambda: any(host.leads for host in stage.hosts))
    stage.put("k0")
    assert stage.observer.counts["installs"] == 1
    first.start()
    stage.settle()


def test_a_deposed_leader_whose_tail_lies_where_the_others_have_holes() -> None:
    """Its uncommitted entries are dropped, and what it lacks comes from its own commit index on."""
    stage = Stage()
    stage.fill()
    stage.settle()
    old = stage.leader
    stage.network.separate([old.name], [host.name for host in stage.followers])
    operation = stage.begin("map", "put", b"k0", stage.value())
    stage.run_until(lambda: old.replica.log.last_index > old.replica.core.commit_index)
    stage.run_until(lambda: operation not in stage.client.workload.open)
    others = [host for host in stage.hosts if host is not old]
    stage.fill(3)
    stage.compact(*others)
    committed = old.replica.core.commit_index
    stage.network.heal()
    stage.settle()
    assert stage.observer.counts["installs"] == 1
    assert old.replica.log.dense_index > committed > 0
    stage.put("k0")
    stage.crash_all()


def test_a_deposed_leader_whose_long_tail_reaches_behind_the_snapshot() -> None:
    """It has an entry at the index of the snapshot, of an earlier term: the snapshot is not what its own log says."""
    stage = Stage(in_flight_max=64)
    stage.fill()
    stage.settle()
    old = stage.leader
    committed = old.replica.core.commit_index
    stage.network.separate([old.name], [host.name for host in stage.followers])
    for _ in range(40):
        stage.begin("map", "put", b"k0", stage.value())
    stage.run_until(lambda: old.replica.log.last_index >= committed + 40)
    stage.client.restart()  # nobody repeats them
    others = [host for host in stage.hosts if host is not old]
    stage.fill()
    stage.compact(*others)
    snapshot_index = others[0].replica.log.snapshot_index
    assert committed < others[0].replica.log.dense_index <= snapshot_index <= old.replica.log.last_index
    stage.network.heal()
    stage.settle()
    assert stage.observer.counts["installs"] == 1
    assert old.replica.log.snapshot_index == snapshot_index
    stage.crash_all()


def test_the_snapshot_of_a_leader_rots_before_it_is_sent() -> None:
    """The member notices; the leader has to notice too, or it sends the same for ever."""
    stage = Stage()
    behind = stage.left_behind()
    snapshot = stage.leader.replica.log.snapshot
    stage.rot(stage.leader, f"snapshots/{snapshot.path.rpartition('/')[2]}", snapshot.bytes - 60)
    behind.start()
    stage.settle()


CUTS = [(operations, power_loss) for operations in range(8) for power_loss in (True, False)]
"""After how many operations of the disk a process is killed, and whether what was not synced is lost."""


@pytest.mark.parametrize("cut", CUTS)
def test_a_crash_while_a_snapshot_is_published(cut: tuple[int, bool]) -> None:
    """The log is synced first, here beyond what was synced before; then the manifest names it, then the old one goes."""
    stage = Stage()
    stage.fill()
    stage.snapshot()
    host = stage.followers[0]
    stage.slow_disk(host, 200 * MS)
    stage.put("k0", 20)
    host.replica.housekeeping.ask(snapshot_only=True)
    stage.kill_in_job(host, lambda job: job.log_job is not None and job.log_job.snapshot is not None, *cut)


@pytest.mark.parametrize("cut", CUTS)
def test_a_crash_while_rewritten_segments_are_taken_over(cut: tuple[int, bool]) -> None:
    """The manifest names the new files before the old ones go."""
    stage = Stage()
    stage.put("k0")
    stage.fill(4)
    host = stage.followers[0]
    dense_index = host.replica.log.dense_index
    host.replica.housekeeping.ask(major=True)
    stage.kill_in_job(host, lambda job: host.replica.log.dense_index > dense_index, *cut)


@pytest.mark.parametrize("cut", CUTS)
def test_a_crash_while_an_install_is_published(cut: tuple[int, bool]) -> None:
    """The old log or the new one, whole."""
    stage = Stage()
    behind = stage.left_behind()
    behind.start()
    stage.kill_in_job(behind, lambda job: behind.replica.core.installing, *cut)


KEYS = [f"k{number}" for number in range(12)]


@pytest.mark.parametrize("level", [frames.LINEARIZABLE, frames.BOUNDED_LINEARIZABLE])
def test_a_leader_that_was_paused_answers_nothing_from_the_past(level: int) -> None:
    """Meanwhile another leads and has written; the old one's clients and their router know of nobody else."""
    stage = Stage(clients=2, routers=2, tick=50 * MS)
    writer, reader = stage.simulation.clients
    reader.working = False
    stage.run_until(lambda: not stage.simulation.workload.open)
    while reader.connection.endpoint == writer.connection.endpoint:
        reader.reconnect()
        stage.run(SECOND // 4)
    stage.put("k0")
    stage.run(SECOND)
    old = stage.leader
    side = [old.name, reader.name, reader.connection.endpoint.removeprefix("ipc://")]
    stage.network.separate(side, [name for name in stage.network.names if name not in side], inward=True, outward=True)
    old.pause(20 * SECOND)
    stage.run_until(lambda: stage.leader is not old)
    stage.put("k0")
    old.pause(0)
    operation = reader.submit("map", ("get", b"k0"), is_query=True, level=level)
    reader.act()
    stage.run(SECOND // 5)
    assert old.leads, "it does not know yet"
    assert operation in stage.simulation.workload.open
    stage.network.heal()
    stage.run_until(lambda: operation not in stage.simulation.workload.open)
