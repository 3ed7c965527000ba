"""Every file of a compacted replica, damaged: refused with file, place and reason, or harmless; and what verify says of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.log import snapshot as snapshot_format
from ocelog.log.directory import open_directory
from ocelog.log.dump import check
from ocelog.log.entry import RELEASE
from ocelog.log.errors import Corruption, LogError, UnknownFormat
from ocelog.log.identity import Identity
from ocelog.log.log import Log
from ocelog.log.manifest import Manifest
from ocelog.log.segment import FOOTER, HEAD, SPARSE_ROW_BYTES

from tests.simulation.disk import SimDisk, SimFile

from .history_driver import compact, present, synced
from .log_driver import TIME_MS, TINY, Held, record, sync

IDENTITY = Identity(cluster_id="ab" * 16, shard=3, member=1, incarnation=1)
PAYLOADS = [b"%d" % number * 20 for number in range(1, 19)]
LIVE = [2, 3, 9, 11, 12]
S = 13
PRESENT = [2, 3, 9, *range(11, 19)]


@cache
def files() -> dict[str, bytes]:
    """A replica with 18 entries, a snapshot at 13, and what is dead in 1..10 gone: one sparse segment of 1..10, then 11..15
    sealed, 16..18 open."""
    disk = SimDisk(Random(1))
    log = opened(disk)
    for term, payloads in ((1, PAYLOADS[:7]), (2, PAYLOADS[7:])):
        log.append(term, TIME_MS, [record(payload, RELEASE) for payload in payloads])
    log.release([index for index in range(1, S + 1) if index not in LIVE])
    frozen = synced(disk, log, S)
    assert compact(disk, "r", log, frozen, major=True) == 1
    sync(log)
    assert [(segment.first_index, segment.last_index) for segment in log._segments] == [(1, 10), (11, 15), (16, 18)]
    return {path: bytes(file.data) for path, file in disk.files.items()}


def fresh() -> SimDisk:
    """That replica."""
    disk = SimDisk(Random(1))
    for path, data in files().items():
        replace(disk, path, data)
    return disk


@pytest.fixture(name="disk")
def _disk() -> SimDisk:
    return fresh()


def opened(disk: SimDisk) -> Log:
    return open_directory(disk, "r", expected=IDENTITY, config=TINY)[2]


def whole() -> Held:
    return [(index, 1 if index <= 7 else 2, PAYLOADS[index - 1]) for index in PRESENT]


def manifest_of(disk: SimDisk) -> Manifest:
    return Manifest.decode("r/manifest", disk.read("r/manifest"))


def sparse(disk: SimDisk) -> SimFile:
    return disk.files[f"r/log/{manifest_of(disk).segments[0].file_name}"]


def snapshot_file(disk: SimDisk) -> SimFile:
    return disk.files[f"r/snapshots/{manifest_of(disk).snapshot_name}"]


def replace(disk: SimDisk, path: str, data: bytes) -> None:
    disk.files[path] = SimFile(disk, path, data)


def findings(disk: SimDisk) -> dict[str, str]:
    """What verify finds damaged."""
    return {finding.path: finding.text for finding in check(disk, "r") if not finding.sound}


def test_the_undamaged_replica_opens(disk: SimDisk) -> None:
    assert present(opened(disk)) == whole()
    assert findings(disk) == {}
    texts = {finding.path.rpartition("/")[2]: finding.text for finding in check(disk, "r")}
    manifest = manifest_of(disk)
    assert texts["manifest"].endswith("snapshot at 13, dense from 11 on")
    assert texts[sparse(disk).path.rpartition("/")[2]].startswith("3 entries, of 1..10, version 2, ")
    assert texts[manifest.snapshot_name or ""].startswith("at entry 13 of term 2, 5 live entries, ")
    assert texts["reserve"] == "room kept in reserve"


def test_verify_changes_nothing(disk: SimDisk) -> None:
    before = {path: bytes(file.data) for path, file in disk.files.items()}
    list(check(disk, "r"))
    assert {path: bytes(file.data) for path, file in disk.files.items()} == before


# -- sparse segments -------------------------------------------------------------------------------------


def test_every_bit_of_the_header_is_checked(disk: SimDisk) -> None:
    file = sparse(disk)
    for bit in range(8 * HEAD.size):
        file.data[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corruption, UnknownFormat), match=file.path):
            opened(disk)
        assert list(findings(disk)) == [file.path]
        file.data[bit // 8] ^= 1 << bit % 8


def test_every_bit_of_the_arrays_is_checked(disk: SimDisk, caplog: pytest.LogCaptureFixture) -> None:
    """Opening reads the entries instead, and knows by the live set that it has found all."""
    file = sparse(disk)
    for position in range(file.size - FOOTER.size - 3 * SPARSE_ROW_BYTES, file.size):
        file.data[position] ^= 1
        log = opened(disk)
        assert present(log) == whole()
        assert log.live_indexes().tolist() == [*LIVE, *range(14, 19)]
        assert "its arrays are damaged" in findings(disk)[file.path]
        file.data[position] ^= 1
    assert f"{file.path}: its arrays are damaged" in caplog.text


def test_damage_to_an_entry_and_to_the_arrays_is_refused(disk: SimDisk) -> None:
    """The entries behind the bad one are not found then, and one of them is live."""
    file = sparse(disk)
    file.data[-1] ^= 1
    offset = opened(disk)._segments[0].offset_of(3)
    for position in range(offset, offset + 48 + len(PAYLOADS[2])):
        file.data[position] ^= 1
        with pytest.raises(Corruption) as caught:
            opened(disk)
        assert (caught.value.path, caught.value.index) == (file.path, 3)
        file.data[position] ^= 1


def test_damage_to_an_entry_is_found_when_it_is_read(disk: SimDisk) -> None:
    file = sparse(disk)
    offset = opened(disk)._segments[0].offset_of(3)
    file.data[offset + 50] ^= 1
    log = opened(disk)
    assert log.entry(2).index == 2
    for read in (lambda: log.entry(3), lambda: log.pin(0, log.live_indexes()).read(0, 1 << 20)):
        with pytest.raises(Corruption) as caught:
            read()
        assert (caught.value.path, caught.value.offset) == (file.path, offset)
    assert findings(disk)[file.path] == f"the checksum does not fit the entry at offset {offset}, entry 3"


def _other_version(data: bytearray, age: int) -> None:
    magic, version, _, *rest = HEAD.unpack_from(data)
    checksum = crc32(HEAD.pack(magic, version + age, 0, *rest))
    HEAD.pack_into(data, 0, magic, version + age, checksum, *rest)


def _another_shard(data: bytearray) -> None:
    magic, version, _, shard, *rest = HEAD.unpack_from(data)
    checksum = crc32(HEAD.pack(magic, version, 0, shard + 1, *rest))
    HEAD.pack_into(data, 0, magic, version, checksum, shard + 1, *rest)


def _rewritten_once_more(data: bytearray) -> None:
    magic, version, _, shard, segment_version, *rest = HEAD.unpack_from(data)
    checksum = crc32(HEAD.pack(magic, version, 0, shard, segment_version + 1, *rest))
    HEAD.pack_into(data, 0, magic, version, checksum, shard, segment_version + 1, *rest)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda data: _other_version(data, 1), "format version 2, of a newer Ocelog; this one reads version 1"),
        (lambda data: _other_version(data, -1), "format version 0, of an older Ocelog; this one reads version 1"),
        (_another_shard, "of shard 4"),
        (_rewritten_once_more, "of segment version 3"),
    ],
    ids=["newer", "older", "shard", "segment-version"],
)
def test_another_segment_in_its_place_is_refused(
    disk: SimDisk, harm: Callable[[bytearray], None], sentence: str
) -> None:
    file = sparse(disk)
    harm(file.data)
    with pytest.raises(LogError, match=sentence):
        opened(disk)
    assert sentence in findings(disk)[file.path]


@pytest.mark.parametrize("size", [0, 1, 64, 100, 300, -1])
def test_a_shortened_one_is_refused(disk: SimDisk, size: int) -> None:
    file = sparse(disk)
    replace(disk, file.path, bytes(file.data[:size]))
    if size == -1:
        assert present(opened(disk)) == whole(), "the entries are all there"
    else:
        with pytest.raises(Corruption, match=file.path):
            opened(disk)
    assert file.path in findings(disk)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_one_is_refused_and_nothing_else_is_touched(disk: SimDisk, number: int) -> None:
    path = f"r/log/{manifest_of(disk).segments[number].file_name}"
    disk.remove(path)
    disk.create("r/log/77-5000.seg", 64)
    disk.create("r/snapshots/77-5001.snap", 64)
    before = set(disk.files)
    with pytest.raises(Corruption, match=path):
        opened(disk)
    assert set(disk.files) == before
    assert findings(disk)[path] == "it is missing"


@given(data=st.binary(max_size=400))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for which in (sparse, snapshot_file):
        disk = fresh()
        path = which(disk).path
        replace(disk, path, data)
        with pytest.raises(LogError):
            opened(disk)
        assert path in findings(disk)


# -- the open segment, the manifest and the snapshot -----------------------------------------------------


def test_no_entry_up_to_the_snapshot_is_taken_for_a_torn_tail() -> None:
    """The sync mark is one sync behind; what S covers was synced all the same, and must not be cut away."""
    disk = SimDisk(Random(1))
    log = opened(disk)
    log.append(1, TIME_MS, [record(b"x" * 30, RELEASE)] * 3)
    synced(disk, log, 3)
    file = log._segments[0].file
    assert isinstance(file, SimFile)
    durable = bytes(file.durable)
    offset = log._segments[0].offset_of(3)
    broken = bytearray(durable)
    broken[40:64] = bytes(24)
    broken[offset + 50] ^= 1
    replace(disk, file.path, bytes(broken))
    with pytest.raises(Corruption) as caught:
        opened(disk)
    assert (caught.value.path, caught.value.index, caught.value.offset) == (file.path, 3, offset)
    assert disk.read(file.path) == bytes(broken), "nothing was zeroed"
    assert file.path in findings(disk)


def test_every_bit_of_the_manifest_is_checked(disk: SimDisk) -> None:
    file = disk.files["r/manifest"]
    for bit in range(8 * file.size):
        file.data[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corruption, UnknownFormat), match="r/manifest"):
            opened(disk)
        file.data[bit // 8] ^= 1 << bit % 8


def test_every_byte_of_the_snapshot_is_checked(disk: SimDisk) -> None:
    """There is no falling back to an older one."""
    file = snapshot_file(disk)
    for position in range(file.size):
        file.data[position] ^= 4
        with pytest.raises((Corruption, UnknownFormat), match=file.path):
            opened(disk)
        assert list(findings(disk)) == [file.path]
        file.data[position] ^= 4


@pytest.mark.parametrize(("age", "word"), [(1, "a newer"), (-1, "an older")])
def test_a_snapshot_of_another_format_version_is_named(disk: SimDisk, age: int, word: str) -> None:
    data = snapshot_file(disk).data
    magic, version, _, *rest = snapshot_format.HEAD.unpack_from(data)
    checksum = crc32(snapshot_format.HEAD.pack(magic, version + age, 0, *rest))
    snapshot_format.HEAD.pack_into(data, 0, magic, version + age, checksum, *rest)
    with pytest.raises(UnknownFormat, match=f"format version {version + age}, of {word} Ocelog"):
        opened(disk)


def test_a_snapshot_of_another_index_is_refused(disk: SimDisk) -> None:
    manifest = manifest_of(disk)
    data = bytes(snapshot_file(disk).data)
    manifest.snapshot_index = 12
    disk.replace("r/manifest", manifest.encode())
    replace(disk, f"r/snapshots/{manifest.snapshot_name}", data)
    with pytest.raises(Corruption, match="it is of index 13, and its name says otherwise"):
        opened(disk)
    assert list(findings(disk)) == [f"r/snapshots/{manifest.snapshot_name}"]


def test_an_older_manifest_does_not_pass_for_the_newer_one(disk: SimDisk) -> None:
    """One from a backup names files that are gone."""
    log = opened(disk)
    old = disk.read("r/manifest")
    log.append(2, TIME_MS, [record(b"more", RELEASE)] * 8)
    log.release([2, 3, 14])
    frozen = synced(disk, log, 20)
    compact(disk, "r", log, frozen, major=True)
    sync(log)
    disk.replace("r/manifest", old)
    with pytest.raises(Corruption, match="missing"):
        opened(disk)


def test_verify_names_a_live_entry_that_no_segment_holds(disk: SimDisk) -> None:
    manifest = manifest_of(disk)
    del manifest.segments[0]
    disk.replace("r/manifest", manifest.encode())
    with pytest.raises(Corruption) as caught:
        opened(disk)
    assert caught.value.index == 2
    assert findings(disk) == {snapshot_file(disk).path: "the entry is live, and in no segment, entry 2"}
