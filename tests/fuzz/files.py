"""Targets on the disk: every file of a replica is read as if somebody hostile had written it, checksums included."""

from __future__ import annotations

import functools
from random import Random
from zlib import crc32

import numpy as np
from ocelog.log.directory import open_directory
from ocelog.log.entry import HEADER, Entry
from ocelog.log.envelope import _HEAD as ENVELOPE
from ocelog.log.errors import LogError
from ocelog.log.identity import Identity
from ocelog.log.manifest import Manifest
from ocelog.log.snapshot import HEAD as SNAPSHOT_HEAD
from ocelog.log.snapshot import SECTION, TRAILER, Snapshot
from ocelog.shard.errors import MachineMissing, StateMismatch
from ocelog.shard.executor import Executor
from ocelog.shard.restoring import install_state

from tests.simulation.disk import SimDisk, SimFile
from tests.unit_log.history_driver import compact, present, synced
from tests.unit_log.log_driver import TIME_MS, TINY, record, sync
from tests.unit_log.memory_file import MemoryFile
from tests.unit_shard.rebuild.drawing import draw_steps
from tests.unit_shard.rebuild.histories import History
from tests.unit_shard.rebuild.machines import MACHINES

from .target import Target

EXPECTED = Identity(cluster_id="ab" * 16, shard=3, member=1, incarnation=1)
RELEASE = 1


@functools.cache
def replica_files() -> dict[str, bytes]:
    """A compacted replica's directory: a sparse segment, a sealed and an open one, a snapshot and the small files."""
    disk = SimDisk(Random(1))
    log = open_directory(disk, "r", expected=EXPECTED, config=TINY)[2]
    log.append(1, TIME_MS, [record(b"%d" % number * 20, RELEASE) for number in range(1, 19)])
    log.release([1, 4, 5, 6, 7, 8, 10, 13])
    assert compact(disk, "r", log, synced(disk, log, 13), major=True) == 1
    sync(log)
    return {path: bytes(file.data) for path, file in disk.files.items()}


def of_kind(part: str) -> list[bytes]:
    """The contents of the files whose path has this in it."""
    return [data for path, data in replica_files().items() if part in path]


# -- one file at a time -----------------------------------------------------------------------------


def entry(data: bytes) -> None:
    """One entry."""
    Entry.decode(memoryview(data), 0)


def entry_repaired(data: bytes) -> bytes:
    """The same with a checksum that fits what its header says."""
    if len(data) < HEADER.size:
        return data
    stop = HEADER.size + HEADER.unpack_from(data)[1]
    return crc32(data[4:stop]).to_bytes(4, "little") + data[4:]


def snapshot(data: bytes) -> None:
    """A snapshot file, whole."""
    sound = Snapshot.parse(MemoryFile("s", data), None)
    assert len(sound.live) == len(np.unique(sound.live))


def snapshot_repaired(data: bytes) -> bytes:
    """The same with checksums that fit, as far as its sections can be followed."""
    if len(data) < SNAPSHOT_HEAD.size:
        return data
    made = bytearray(data)
    head = SNAPSHOT_HEAD.unpack_from(made)
    checksum = crc32(SNAPSHOT_HEAD.pack(*head[:2], 0, *head[3:]))
    SNAPSHOT_HEAD.pack_into(made, 0, *head[:2], checksum, *head[3:])
    position, count, checksums = SNAPSHOT_HEAD.size, 0, crc32(checksum.to_bytes(4, "little"))
    while position + SECTION.size <= len(made):
        kind, _, length = SECTION.unpack_from(made, position)
        start = position + SECTION.size
        if length == TRAILER.size and start + length == len(made):
            TRAILER.pack_into(made, start, count, checksums, len(made))
        checksum = crc32(made[start : start + length], crc32(SECTION.pack(kind, 0, length)))
        SECTION.pack_into(made, position, kind, checksum, length)
        checksums = crc32(checksum.to_bytes(4, "little"), checksums)
        count += 1
        position = start + length + -length % 8
    return bytes(made)


def manifest(data: bytes) -> None:
    """A manifest; what is sound says again what it says."""
    found = Manifest.decode("m", data)
    assert Manifest.decode("m", found.encode()) == found


def identity(data: bytes) -> None:
    """Whose directory it is."""
    Identity.decode("i", data).describe()


def envelope_repaired(data: bytes) -> bytes:
    """A small file with a length and a checksum that fit."""
    if len(data) < ENVELOPE.size:
        return data
    magic, version, _, _ = ENVELOPE.unpack_from(data)
    body = data[ENVELOPE.size :]
    return ENVELOPE.pack(magic, version, crc32(body, version), len(body)) + body


# -- a whole directory ------------------------------------------------------------------------------


def directory(data: bytes) -> None:
    """A replica's directory in which one file, which the first byte chooses, has these contents instead of its own."""
    paths = sorted(replica_files())
    place = data[0] % len(paths) if data else 0
    disk = SimDisk(Random(1))
    for number, path in enumerate(paths):
        content = data[1:] if number == place else replica_files()[path]
        disk.files[path] = disk._durable_names[path] = SimFile(disk, path, content)
    present(open_directory(disk, "r", expected=EXPECTED, config=TINY)[2])


def directory_repaired(data: bytes) -> bytes:
    """The same with checksums of that kind of file that fit; those of segments are left as they are."""
    if not data:
        return data
    path = sorted(replica_files())[data[0] % len(replica_files())]
    repair = snapshot_repaired if "/snapshots/" in path else envelope_repaired if "/log/" not in path else bytes
    return data[:1] + repair(data[1:])


# -- the state in a snapshot ------------------------------------------------------------------------


@functools.cache
def states() -> list[tuple[int, list[bytes]]]:
    """Snapshots' indexes and pieces, of histories over all machines."""
    made = []
    for seed in range(4):
        random = Random(seed)
        history = History().run(draw_steps(random, 40))
        made.append((history.last_index, history.snapshot().facts["pieces"]))
    return made


def state_input(state: tuple[int, list[bytes]]) -> bytes:
    """Index and pieces as one input."""
    index, pieces = state
    return b"".join([index.to_bytes(2, "little"), *(len(p).to_bytes(3, "little") + p for p in pieces)])


def state(data: bytes) -> None:
    """The pieces of a snapshot, as a replica that starts takes them; the live entries come after."""
    index, position = int.from_bytes(data[:2], "little"), 2
    pieces = []
    while position < len(data):
        length = int.from_bytes(data[position : position + 3], "little")
        pieces.append(data[position + 3 : position + 3 + length])
        position += 3 + length
    install_state(Executor(MACHINES), index, pieces).finish()


def targets() -> list[Target]:
    """All of them."""
    segment = of_kind("/log/11-")[0]
    first = segment[64 : 64 + HEADER.size + int.from_bytes(segment[68:72], "little")]
    small = [data for part in ("identity", "meta", "manifest") for data in of_kind(part)]
    whole = [bytes([number]) + replica_files()[path] for number, path in enumerate(sorted(replica_files()))]
    return [
        Target(name="entry", run=entry, samples=[first], accepted=(LogError,), repaired=entry_repaired),
        Target(
            name="snapshot",
            run=snapshot,
            samples=of_kind("/snapshots/"),
            accepted=(LogError,),
            repaired=snapshot_repaired,
        ),
        Target(name="manifest", run=manifest, samples=small, accepted=(LogError,), repaired=envelope_repaired),
        Target(name="identity", run=identity, samples=small, accepted=(LogError,), repaired=envelope_repaired),
        Target(name="directory", run=directory, samples=whole, accepted=(LogError,), repaired=directory_repaired),
        Target(
            name="state", run=state, samples=list(map(state_input, states())), accepted=(StateMismatch, MachineMissing)
        ),
    ]
