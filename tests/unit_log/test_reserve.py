"""A full disk: what makes room has room, nothing stops, and the reserve comes back by itself."""

from __future__ import annotations

from random import Random

import pytest
from ocelog.log.directory import open_directory
from ocelog.log.errors import NoSpace
from ocelog.log.identity import Identity
from ocelog.log.log import Log, LogConfig
from ocelog.log.meta import Meta
from ocelog.log.reserve import NAME, Reserve

from tests.simulation.disk import SimDisk

from .conftest import Place
from .history_driver import compact, present, synced
from .log_driver import TINY, append, held, open_log, sync

IDENTITY = Identity(cluster_id="ab" * 16, shard=3, member=1, incarnation=1)
RESERVE = f"r/log/{NAME}"


def opened(disk: SimDisk) -> tuple[Meta, Log]:
    _, meta, log = open_directory(disk, "r", expected=IDENTITY, config=TINY)
    return meta, log


def fill(disk: SimDisk) -> None:
    """From now on there is not a byte left."""
    disk.capacity -= disk.free_bytes("r")
    disk.small_files_need_room = True


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(Random(1), capacity=1 << 20)


def test_a_log_keeps_a_reserve_of_one_segment(place: Place) -> None:
    open_log(place.disk, place.directory)
    path = f"{place.directory}/log/{NAME}"
    assert place.disk.open(path).size == TINY.segment_bytes_max
    open_log(place.disk, place.directory, LogConfig(segment_bytes_max=8192))
    assert place.disk.open(path).size == 8192
    open_log(place.disk, place.directory, LogConfig(segment_bytes_max=8192, reserve=False))
    assert not place.disk.exists(path)


def test_a_vote_is_stored_on_a_full_disk(disk: SimDisk) -> None:
    """A replica that could not store its vote would have to stop, and with it perhaps the shard."""
    meta, _ = opened(disk)
    fill(disk)
    meta.store(7, 2)
    assert not disk.exists(RESERVE)
    found, log = opened(disk)
    assert (found.term, found.voted_for) == (7, 2)
    log.use_reserve()
    fill(disk)
    with pytest.raises(NoSpace):
        found.store(8, 2)


def test_a_manifest_is_replaced_on_a_full_disk(disk: SimDisk) -> None:
    _, log = opened(disk)
    append(log, 1, b"a", b"b", b"c")
    sync(log)
    fill(disk)
    log.truncate(2)
    assert sync(log) == 2
    assert not disk.exists(RESERVE)
    assert len(held(opened(disk)[1])) == 2


def test_the_reserve_comes_back_when_there_is_room(disk: SimDisk) -> None:
    meta, log = opened(disk)
    fill(disk)
    meta.store(7, 2)
    append(log, 1, b"a")
    sync(log)
    assert not disk.exists(RESERVE)
    disk.capacity += 4 * TINY.segment_bytes_max
    append(log, 1, *[b"b"] * 9)
    sync(log)
    assert disk.open(RESERVE).size == TINY.segment_bytes_max


def test_a_full_disk_is_compacted_with_the_reserve_and_goes_on(disk: SimDisk) -> None:
    _, log = opened(disk)
    append(log, 1, *[b"x" * 200] * 28)
    log.release(range(2, 26, 2))
    sync(log)
    fill(disk)
    with pytest.raises(NoSpace):
        append(log, 1, *[b"x" * 200] * 8)
    assert log.use_reserve()
    frozen = synced(disk, log, 25)
    assert compact(disk, "r", log, frozen, major=True) > 0
    sync(log)
    assert not disk.exists(RESERVE), "it is not taken back in the middle of the work"
    log.renew_reserve()
    sync(log)
    assert disk.exists(RESERVE)
    assert append(log, 1, *[b"x" * 200] * 8) == 29
    sync(log)
    assert [entry[0] for entry in present(opened(disk)[1])] == list(range(26, 37))


def test_no_job_is_made_for_a_reserve_that_has_no_room(disk: SimDisk) -> None:
    """Else every turn on a full disk would have one."""
    _, log = opened(disk)
    sync(log)
    fill(disk)
    assert log.use_reserve()
    fill(disk)
    log.renew_reserve()
    sync(log)
    assert log.sync_job() is None
    assert not disk.exists(RESERVE)
    assert not log.use_reserve()


def test_without_a_reserve_there_is_nothing_to_use() -> None:
    disk = SimDisk(Random(1))
    log = open_log(disk, "r", LogConfig(segment_bytes_max=4096, reserve=False))
    assert not log.use_reserve()
    log.renew_reserve()
    sync(log)
    assert not disk.exists(RESERVE)
    reserve = Reserve(disk, "r/log", 0)
    reserve.replace("r/small", b"data")
    assert disk.read("r/small") == b"data"
