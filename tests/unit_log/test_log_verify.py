"""`ocelog log verify`: every damaged file is named with its place, and nothing on the disk changes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from ocelog.log.directory import open_directory
from ocelog.log.dump import check
from ocelog.log.files import OsDisk
from ocelog.log.identity import Identity
from ocelog.log.log import Log
from ocelog.log.segment import FOOTER
from ocelog.log.verbs import verify

from .log_driver import TINY, append, sync


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of one shard with two replicas of twelve entries, the last one not synced."""
    for member in (0, 1):
        log = _open(tmp_path, member)
        append(log, 1, *[b"entry %d" % number for number in range(11)])
        sync(log)
        assert append(log, 2, b"last") == 12
    return tmp_path


def _open(data: Path, member: int) -> Log:
    identity = Identity(cluster_id="ab" * 16, shard=0, member=member, incarnation=1)
    directory = str(data / "shard-0" / f"replica-{member}")
    return open_directory(OsDisk(), directory, expected=identity, config=TINY)[2]


def _verify(directory: Path) -> tuple[int, list[str]]:
    out = io.StringIO()
    code = verify(str(directory), out)
    return code, out.getvalue().splitlines()


def _damage(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def _segment(data: Path, first_index: int) -> Path:
    (path,) = (data / "shard-0" / "replica-1" / "log").glob(f"{first_index}-*.seg")
    return path


def test_a_sound_directory(data: Path) -> None:
    code, lines = _verify(data)
    assert code == 0
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1].endswith("files of 2 replicas, none damaged")
    assert any("5 entries, entries 6..10, 280 bytes" in line for line in lines)
    assert any("2 entries, entries 11..12, 112 bytes, open" in line for line in lines)


def test_one_replica_or_one_shard_may_be_named(data: Path) -> None:
    assert _verify(data / "shard-0" / "replica-1")[1][-1].endswith("files of 1 replicas, none damaged")
    assert _verify(data / "shard-0")[1][-1].endswith("files of 2 replicas, none damaged")


def test_nothing_is_changed(data: Path) -> None:
    def state() -> dict[str, tuple[str, int]]:
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in data.rglob("*")
            if path.is_file()
        }

    _damage(_segment(data, 11), 64 + 56 + 50)
    before = state()
    _verify(data)
    assert state() == before


@pytest.mark.parametrize(("first_index", "row"), [(1, 0), (1, 4), (6, 2), (11, 0)])
def test_a_damaged_entry_is_named(data: Path, first_index: int, row: int) -> None:
    """Also in a sealed segment, which opening does not read; entry 11 lies below the sync mark."""
    path, offset = _segment(data, first_index), 64 + 56 * row
    _damage(path, offset + 50)
    code, lines = _verify(data)
    (line,) = [line for line in lines if line.startswith("DAMAGED")]
    assert code == 65
    assert f"{path}  " in line and f"at offset {offset}, entry {first_index + row}" in line


def test_a_torn_tail_is_told_and_is_no_damage(data: Path) -> None:
    _damage(_segment(data, 11), 64 + 56 + 50)
    code, lines = _verify(data)
    assert code == 0
    assert any("entries 11..11" in line and "were never synced" in line for line in lines)


@pytest.mark.parametrize("name", ["identity", "meta.0", "meta.1", "manifest"])
@pytest.mark.parametrize("harm", ["flip", "shorten", "remove"])
def test_a_damaged_small_file_is_named(data: Path, name: str, harm: str) -> None:
    path = data / "shard-0" / "replica-1" / name
    if harm == "flip":
        _damage(path, -1)
    elif harm == "shorten":
        path.write_bytes(path.read_bytes()[:5])
    else:
        path.unlink()
    code, lines = _verify(data)
    assert code == 65
    assert [line.split()[1] for line in lines if line.startswith("DAMAGED")] == [str(path)]


def test_a_missing_segment_is_named(data: Path) -> None:
    path = _segment(data, 6)
    path.unlink()
    code, lines = _verify(data)
    assert code == 65
    assert f"DAMAGED  {path}  it is missing" in lines


def test_arrays_that_disagree_with_the_entries_are_found(data: Path) -> None:
    """A footer whose checksum is right and whose offsets are wrong: opening would believe it."""
    log = _open(data, 1)
    segment = log._segments[0]
    wrong = segment.offset.copy()
    wrong[1] += 8
    segment.offset = wrong
    path = Path(segment.file.path)
    content = bytearray(path.read_bytes())
    sealed = segment.seal_bytes()
    content[len(content) - len(sealed) :] = sealed
    path.write_bytes(content)
    code, lines = _verify(data)
    assert code == 65 and any(f"{path}  its arrays do not agree" in line for line in lines)
    assert len(sealed) > FOOTER.size


def test_leftovers_are_told_and_are_no_damage(data: Path) -> None:
    log_directory = data / "shard-0" / "replica-0" / "log"
    (log_directory / "9-99.seg").write_bytes(b"")
    (log_directory / "notes").write_bytes(b"")
    code, lines = _verify(data)
    assert code == 0
    assert f"ok       {log_directory}/9-99.seg  no part of the log; removed at the next start" in lines
    assert f"ok       {log_directory}/notes  a foreign file; left alone" in lines


@pytest.mark.parametrize("name", ["none", "file", "empty"])
def test_no_data_directory_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert _verify(tmp_path / name) == (64, [])
    assert f"{tmp_path / name} is no data directory" in capsys.readouterr().err


def test_every_byte_of_garbage_is_a_finding_and_no_error(data: Path) -> None:
    replica = data / "shard-0" / "replica-0"
    for path in [*replica.glob("meta.*"), replica / "identity", *(replica / "log").glob("*.seg")]:
        path.write_bytes(b"garbage" * 9)
    findings = list(check(OsDisk(), str(replica)))
    assert [finding.sound for finding in findings] == [False, False, False, True, False, False, False, True, True]


def test_the_command_line(data: Path) -> None:
    """The whole way, as a user calls it; the modules that check are not needed to ask for help."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ocelog", "log", "verify", str(data)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == _verify(data)[1]
    code = "import sys, ocelog.log.verbs; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
