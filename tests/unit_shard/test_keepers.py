"""Which resource and which session keeps live entries: read from payloads, whole segments at a time."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ocelog.client.protocol.operations import encode
from ocelog.log.config import LogConfig
from ocelog.log.directory import open_directory
from ocelog.log.entry import COMMAND, RELEASE
from ocelog.log.files import OsDisk, ReadingDisk
from ocelog.log.identity import Identity
from ocelog.log.inspect import LogView
from ocelog.log.log import Log
from ocelog.log.snapshot import Snapshot, SnapshotHead, write_snapshot
from ocelog.log.verbs import inspect
from ocelog.shard.keepers import UNKNOWN, keepers, resources_of
from ocelog.shard.pieces import RESOURCES, SESSIONS, PieceWriter, pack

WIDE = [0, 1, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 62) + 5]


def log_in(directory: str) -> Log:
    OsDisk().make_directory(directory)
    identity = Identity(cluster_id="ab" * 16, shard=0, member=0, incarnation=1)
    config = LogConfig(segment_bytes_max=1 << 16, segment_entries_max=7)
    return open_directory(OsDisk(), directory, expected=identity, config=config)[2]


def sync(log: Log) -> None:
    job = log.sync_job()
    assert job is not None
    job.run()
    log.sync_done(job)


def snapshot(log: Log, pieces: list[bytes]) -> None:
    index, generation = log.last_index, log.new_generation()
    path = log.snapshot_path(index, generation)
    head = SnapshotHead(shard=0, index=index, term=1, time=5, digest=b"", configuration=b"")
    write_snapshot(OsDisk(), path, head, log.freeze(index).live(), pieces)
    log.publish_snapshot(Snapshot.open(OsDisk(), path, 0), generation)
    sync(log)


def pieces() -> list[bytes]:
    """Two sessions, the first with results, and two resources."""
    writer = PieceWriter()
    writer.add(SESSIONS, pack((11, "app-1", b"k" * 16, 30_000, 2, 0)))
    writer.add(SESSIONS, pack([[3, b"result"], [4, b"result"]]))
    writer.add(SESSIONS, pack((12, "app-2", b"k" * 16, 30_000, 0, 0)))
    writer.add(RESOURCES, pack((300, "stock", "map", 1, 9, 0, None)))
    writer.add(RESOURCES, pack((7, "prices", "map", 1, 9, 0, None)))
    writer.close()
    return writer.pieces


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """Commands of two sessions to three resources, over several segments; some of them released."""
    path = str(tmp_path / "shard-0" / "replica-0")
    log = log_in(path)
    for number in range(30):
        resource = (300, 300, 7, 9)[number % 4]
        payload = encode([resource, "put", number, b"x" * 10])
        log.append(1, 5, [(COMMAND, RELEASE, 0, 11 + number % 3, 1, payload)])
    log.release([1, 2, 4])
    sync(log)
    snapshot(log, pieces())
    return path


def test_entries_are_counted_by_resource_and_by_session(directory: str) -> None:
    found = keepers(LogView.open(ReadingDisk(), directory))
    size = {row["live bytes"] // row["live entries"] for row in found["resource"]}
    assert [(row["resource"], row["name"], row["type"], row["live entries"]) for row in found["resource"]] == [
        (300, "stock", "map", 14),
        (7, "prices", "map", 7),
        (9, "(not in the snapshot)", "", 6),
    ]
    assert [(row["session"], row["client"], row["live entries"]) for row in found["session"]] == [
        (13, "(ended)", 10),
        (12, "app-2", 9),
        (11, "app-1", 8),
    ]
    assert size <= {64, 72}


def test_every_width_of_an_index_is_read_as_msgpack_does(tmp_path: Path) -> None:
    log = log_in(str(tmp_path / "r"))
    for resource in WIDE:
        for arguments in (0, 1, 13, 14, 200):
            log.append(1, 5, [(COMMAND, RELEASE, 0, 1, 1, encode([resource, *["a"] * arguments]))])
    for position, segment in enumerate(log._segments):
        found = resources_of(segment, segment.offset[: segment.count].astype(np.int64)).tolist()
        assert found == [WIDE[(7 * position + row) // 5] for row in range(segment.count)]


@pytest.mark.parametrize("payload", [b"", b"\x93", b"\xc0", b"\x92\xc3", b"\x92\xff", b"\xdc\x00", b"\x81\x01\x02"])
def test_what_is_no_operation_is_unknown(tmp_path: Path, payload: bytes) -> None:
    """Also when it ends before it should: what lies behind it is looked at, and nothing else happens."""
    log = log_in(str(tmp_path / "r"))
    log.append(1, 5, [(COMMAND, RELEASE, 0, 1, 1, payload)])
    (segment,) = log._segments
    (found,) = resources_of(segment, np.array([64]))
    assert found == UNKNOWN or payload[:1] in (b"\x93", b"\xdc")


def test_a_snapshot_that_cannot_be_understood_takes_only_the_names(directory: str) -> None:
    log = log_in(directory)
    log.append(1, 5, [(COMMAND, RELEASE, 0, 11, 1, encode([300, "put", 1, 2]))])
    sync(log)
    snapshot(log, [b"\x63 of another version", *pieces()])
    found = keepers(LogView.open(ReadingDisk(), directory))
    most = found["resource"][0]
    assert (most["resource"], most["name"]) == (300, "(not in the snapshot)")


def test_without_a_snapshot_nobody_is_named(tmp_path: Path) -> None:
    log = log_in(str(tmp_path / "r"))
    log.append(1, 5, [(COMMAND, RELEASE, 0, 11, 1, encode([300, "put", 1, 2]))])
    sync(log)
    assert keepers(LogView.open(ReadingDisk(), str(tmp_path / "r"))) == {"resource": [], "session": []}


def test_it_is_shown(directory: str) -> None:
    out = io.StringIO()
    assert inspect(directory, out, why=keepers) == 0
    assert "live entries by resource:" in out.getvalue() and "stock" in out.getvalue()
    out = io.StringIO()
    assert inspect(directory, out, why=keepers, as_json=True) == 0
    assert [row["name"] for row in json.loads(out.getvalue())["resource"]][:2] == ["stock", "prices"]


@pytest.mark.system
def test_from_the_command_line(directory: str) -> None:
    run = [sys.executable, "-P", "-m", "ocelog", "log", "inspect", str(Path(directory).parent.parent)]
    with_why = subprocess.run([*run, "--why"], capture_output=True, text=True, check=True).stdout
    without = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert with_why.startswith(without.rstrip("\n")) and "app-1" in with_why and "app-1" not in without
