"""Recovery beyond what a single damaged file shows: terms, votes of interrupted stores, names, and room."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path
from random import Random

import pytest
from ocelog.log.errors import LogError, NoSpace, StorageFailed
from ocelog.log.files import OsDisk
from ocelog.log.log import LogConfig
from ocelog.log.meta import Meta

from tests.simulation.disk import SimDisk

from .log_driver import append, open_log, sync


def test_a_damaged_term_is_never_believed() -> None:
    """Any bit of any header in a sealed segment: the terms are right, or the log refuses to open. A wrong term would decide
    which entries a follower keeps (Raft 5.3)."""
    disk = SimDisk(Random(1))
    log = open_log(disk, "r")
    append(log, 1, b"a", b"b")
    append(log, 3, b"c", b"d", b"e", b"f")
    sync(log)
    terms, segment = log.term_runs(1, 6), log._segments[0]
    assert segment.count == 5
    data = disk.files[segment.file.path].data
    for row in range(5):
        for bit in range(8 * 48):
            position = segment.offset_of(1 + row) + bit // 8
            data[position] ^= 1 << bit % 8
            try:
                assert open_log(disk, "r").term_runs(1, 6) == terms
            except LogError as error:
                assert segment.file.path in str(error)
            data[position] ^= 1 << bit % 8


@pytest.mark.parametrize("damaged", [{2}, {3}, {2, 3}, {6}, {7}, {6, 7, 8}, {2, 3, 6, 7, 8}, {12}, {13}, {11, 12, 13}])
def test_a_damaged_entry_between_others_of_its_term_keeps_no_log_from_opening(damaged: set[int]) -> None:
    """Terms never fall, so its own is known, whichever entries the search for changes of term happens to look at. The entry
    is found when it is read, and got back from a peer alone: of damage on two members, each lost its whole log otherwise."""
    disk = SimDisk(Random(1))
    log = open_log(disk, "r")
    append(log, 1, *[b"a"] * 4)
    append(log, 3, *[b"b"] * 10)
    sync(log)
    terms = log.term_runs(1, 14)
    assert [segment.count for segment in log._segments] == [5, 5, 4]
    for index in damaged:
        segment = log._segments.of(index)
        disk.files[segment.file.path].data[segment.offset_of(index) + 48] ^= 1
    if damaged & {11, 12, 13}:  # in the open segment, synced: what is cut there would be lost
        with pytest.raises(LogError, match="synced through"):
            open_log(disk, "r")
    else:
        assert open_log(disk, "r").term_runs(1, 14) == terms


@pytest.mark.parametrize("damaged", [{1}, {4}, {5}, {3, 4}, {4, 5}])
def test_a_damaged_entry_whose_term_could_be_another_does(damaged: set[int]) -> None:
    """At the first entry of a term, and at the last one of the term before, where nothing tells which of the two it is of."""
    disk = SimDisk(Random(1))
    log = open_log(disk, "r")
    append(log, 1, *[b"a"] * 4)
    append(log, 3, *[b"b"] * 10)
    sync(log)
    for index in damaged:
        segment = log._segments.of(index)
        disk.files[segment.file.path].data[segment.offset_of(index) + 48] ^= 1
    with pytest.raises(LogError, match=f"entry {min(damaged)} is damaged"):
        open_log(disk, "r")


def test_an_interrupted_vote_that_was_believed_survives_the_loss_of_a_copy() -> None:
    """A store cut short after its first copy is what the replica starts with and may answer for: both copies must hold it."""
    disk = SimDisk(Random(1))
    Meta.load(disk, "r").store(6, 1)
    old = disk.read("r/meta.1")
    Meta.load(disk, "r").store(7, 2)
    disk.replace("r/meta.1", old)
    assert Meta.load(disk, "r").term == 7
    disk.remove("r/meta.0")
    meta = Meta.load(disk, "r")
    assert (meta.term, meta.voted_for) == (7, 2)


def test_loading_repairs_a_lost_copy() -> None:
    disk = SimDisk(Random(1))
    Meta.load(disk, "r").store(6, 1)
    for lost, other in (("r/meta.0", "r/meta.1"), ("r/meta.1", "r/meta.0")):
        disk.remove(lost)
        Meta.load(disk, "r")
        disk.remove(other)
        meta = Meta.load(disk, "r")
        assert (meta.term, meta.voted_for) == (6, 1)


def test_new_directories_are_durable_in_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power loss after the first acknowledged entry must not lose the directory that holds it."""
    synced: list[str] = []
    monkeypatch.setattr(OsDisk, "sync_directory", lambda _, path: synced.append(path))
    OsDisk().make_directory(str(tmp_path / "data" / "shard-0" / "replica-0"))
    assert synced == [str(tmp_path), str(tmp_path / "data"), str(tmp_path / "data" / "shard-0")]
    OsDisk().make_directory(str(tmp_path / "data" / "shard-0" / "replica-0"))
    assert len(synced) == 3


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, StorageFailed)]
)
def test_a_full_disk_is_told_apart_from_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[LogError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    OsDisk().replace(str(tmp_path / "a"), b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error, match="a: "):
        OsDisk().replace(str(tmp_path / "a"), b"new")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_that_cannot_be_mapped_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its descriptor is closed once: a second close could hit a file that somebody opened in between."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "out of memory")

    monkeypatch.setattr("ocelog.log.files.mmap.mmap", fail)
    with pytest.raises(StorageFailed, match="a: "):
        OsDisk().create(str(tmp_path / "a"), 4096)
    assert os.listdir(tmp_path) == []


def test_cutting_a_long_tail_takes_little_memory() -> None:
    """Four megabytes of garbage behind the first entry; positions of its bytes would take thirty-two."""
    disk = SimDisk(Random(1))
    config = LogConfig(segment_bytes_max=4 << 20)
    log = open_log(disk, "r", config)
    append(log, 1, b"a")
    sync(log)
    segment = log._segments[0]
    segment.buffer[segment.end + 8 :] = b"\xff" * (segment.file.size - segment.end - 8)
    tracemalloc.start()
    log = open_log(disk, "r", config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (log.last_index, bytes(segment.buffer[segment.end :]).strip(b"\0")) == (1, b"")
    # The simulated disk copies the file itself for the spare and for the sync.
    assert peak < 6 * (4 << 20), f"{peak} bytes"
