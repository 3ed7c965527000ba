"""`ocelog log inspect`: the numbers of a log from its files alone, and nothing changed; `heat` draws the same."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ocelog.log.compaction_request import CompactionGroup, CompactionRequest
from ocelog.log.compactor import rewrite
from ocelog.log.config import LogConfig
from ocelog.log.directory import open_directory
from ocelog.log.errors import Corruption
from ocelog.log.files import OsDisk, ReadingDisk
from ocelog.log.heat import DEAD, LIVE, MISSING, NEWER, colours_of, runs_of
from ocelog.log.identity import Identity
from ocelog.log.inspect import LogView
from ocelog.log.log import Log
from ocelog.log.manifest import SegmentRecord
from ocelog.log.rewriting import Rewritten
from ocelog.log.snapshot import Snapshot, SnapshotHead, write_snapshot
from ocelog.log.verbs import heat, inspect

from .compaction_driver import released
from .log_driver import TIME_MS, sync

CONFIG = LogConfig(segment_bytes_max=1 << 16, segment_entries_max=10)
PAYLOAD = b"x" * 16
ENTRY = 64
"""Bytes of an entry with that payload."""


class Replica:
    """A replica directory with 35 entries in segments of 10; of those up to S = 32 the multiples of 8 live."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.disk = OsDisk()
        self.disk.make_directory(self.directory)
        identity = Identity(cluster_id="ab" * 16, shard=0, member=0, incarnation=1)
        self.log: Log = open_directory(self.disk, self.directory, expected=identity, config=CONFIG)[2]
        self.log.append(1, TIME_MS, [released(PAYLOAD)] * 32)
        sync(self.log)

    def snapshot(self) -> None:
        """Publish a snapshot at S = 32, and append three more."""
        dead = [index for index in range(1, 33) if index % 8]
        self.log.release(dead)
        path = self.log.snapshot_path(32, self.log.new_generation())
        head = SnapshotHead(shard=0, index=32, term=1, time=TIME_MS, digest=b"", configuration=b"")
        write_snapshot(self.disk, path, head, self.log.freeze(32).live(), [])
        generation = int(Path(path).stem.split("-")[1])
        self.log.publish_snapshot(Snapshot.open(self.disk, path, 0), generation)
        self.log.append(1, TIME_MS, [released(PAYLOAD)] * 3)
        sync(self.log)

    def compact(self, *groups: slice) -> None:
        """Rewrite these ranges of segments, each into one."""
        assert self.log.snapshot is not None
        stats = self.log.freeze(32).stats()
        columns = (stats.first_index, stats.generation, stats.version, stats.last_index)
        records = [SegmentRecord(*map(int, row)) for row in zip(*columns, strict=True)]
        wanted = tuple(CompactionGroup(tuple(records[group]), self.log.new_generation()) for group in groups)
        request = CompactionRequest(
            directory=self.directory, shard=0, snapshot_path=self.log.snapshot.path, groups=wanted
        )
        done = rewrite(self.disk, request).groups
        job = self.log.swap_job(
            [
                Rewritten(tuple(source.generation for source in group.sources), group.target if one.entries else None)
                for group, one in zip(wanted, done, strict=True)
            ]
        )
        job.run()
        assert self.log.swap(job)
        sync(self.log)

    def files(self) -> dict[str, str]:
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in self.paths()}

    def paths(self) -> list[Path]:
        return sorted(path for path in Path(self.directory).rglob("*") if path.is_file())


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(tmp_path / "shard-0" / "replica-0")


def inspected(directory: str, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    return inspect(directory, out, **options), out.getvalue()


def segments(replica: Replica, *fields: str) -> list[list[int]]:
    code, printed = inspected(replica.directory, as_json=True)
    assert code == 0
    return [[segment[field] for field in fields] for segment in json.loads(printed)["segments"]]


def test_without_a_snapshot_nothing_is_judged(replica: Replica) -> None:
    assert segments(replica, "first_index", "last_index", "entries", "live", "dead", "newer", "missing") == [
        [1, 10, 10, 0, 0, 10, 0],
        [11, 20, 10, 0, 0, 10, 0],
        [21, 30, 10, 0, 0, 10, 0],
        [31, 32, 2, 0, 0, 2, 0],
    ]
    assert "no snapshot, so nothing is known to be dead" in inspected(replica.directory)[1]


def test_with_a_snapshot_and_after_compaction(replica: Replica) -> None:
    replica.snapshot()
    fields = ("first_index", "last_index", "version", "entries", "live", "dead", "newer", "missing")
    assert segments(replica, *fields) == [
        [1, 10, 1, 10, 1, 9, 0, 0],
        [11, 20, 1, 10, 1, 9, 0, 0],
        [21, 30, 1, 10, 1, 9, 0, 0],
        [31, 35, 1, 5, 1, 1, 3, 0],
    ]
    assert segments(replica, "bytes", "live_bytes", "dead_bytes")[3] == [5 * ENTRY, ENTRY, ENTRY]
    replica.compact(slice(0, 2))
    assert segments(replica, *fields) == [
        [1, 20, 2, 2, 2, 0, 0, 18],
        [21, 30, 1, 10, 1, 9, 0, 0],
        [31, 35, 1, 5, 1, 1, 3, 0],
    ]
    report = json.loads(inspected(replica.directory, as_json=True)[1])
    assert (report["snapshot_index"], report["dense_index"], report["last_index"]) == (32, 20, 35)
    assert report["snapshot_bytes"] == Path(replica.log.snapshot.path).stat().st_size  # type: ignore[union-attr]


def test_what_people_are_shown(replica: Replica) -> None:
    replica.snapshot()
    replica.compact(slice(0, 2))
    code, printed = inspected(str(Path(replica.directory).parent.parent))
    first, headings, *rows, total = printed.splitlines()
    assert code == 0
    assert first.startswith(f"{replica.directory}: entries up to 35, snapshot at S = 32 (") and "D = 20" in first
    assert headings.split()[:7] == ["segment", "version", "first", "last", "entries", "live", "dead"]
    assert [row.split()[2:4] for row in rows[:2]] == [["1", "20"], ["21", "30"]]
    assert rows[2].split()[1] == "(open)"
    assert total.split()[:5] == ["total", "17", "4", "10", "3"]


def test_who_keeps_what_alive_is_shown_when_somebody_can_tell(replica: Replica) -> None:
    replica.snapshot()

    def why(view: LogView) -> dict[str, list[dict[str, Any]]]:
        assert [int(np.count_nonzero(view.live_rows(segment))) for segment in view.segments] == [1, 1, 1, 1]
        return {"resource": [{"name": "jobs", "entries": 4}], "session": []}

    printed = inspected(replica.directory, why=why)[1]
    assert "live entries by resource:\n  name  entries\n  jobs        4\n" in printed
    assert printed.endswith("live entries by session: none\n")
    assert json.loads(inspected(replica.directory, why=why, as_json=True)[1])["resource"][0]["name"] == "jobs"


def test_it_looks_on_beside_a_running_replica_and_changes_nothing(replica: Replica) -> None:
    """The open segment is seen as far as it got, and is not cut; mappings are read-only."""
    replica.snapshot()
    replica.log.append(1, TIME_MS, [released(b"not synced")])
    before = replica.files()
    assert segments(replica, "last_index")[-1] == [36]
    view = LogView.open(ReadingDisk(), replica.directory)
    assert view.snapshot is not None
    assert all(segment.buffer.readonly for segment in view.segments) and view.snapshot.file.buffer.readonly
    assert replica.files() == before
    replica.log.append(1, TIME_MS, [released(PAYLOAD)] * 20)


def test_files_that_a_compaction_takes_away_meanwhile_are_looked_up_again(replica: Replica) -> None:
    replica.snapshot()

    class Meanwhile(ReadingDisk):
        """A compaction happens between the reading of the manifest and the opening of its segments."""

        def open(self, path: str) -> Any:
            if path.endswith(".seg") and not replica.log.dense_index:
                replica.compact(slice(0, 3))
            return super().open(path)

    report = LogView.open(Meanwhile(), replica.directory).report()
    assert [(segment.first_index, segment.version) for segment in report.segments] == [(1, 2), (31, 1)]


def test_a_segment_that_is_missing_is_told(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = Path(replica.directory, "log").glob("11-*.seg")
    path.unlink()
    assert inspected(replica.directory) == (65, "")
    assert str(path) in capsys.readouterr().err


def test_one_damaged_replica_does_not_hide_the_others(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    data = Path(replica.directory).parent.parent
    other = Replica(data / "shard-0" / "replica-1")
    Path(replica.directory, "manifest").write_bytes(b"nonsense")
    code, printed = inspected(str(data))
    assert code == 65 and other.directory in printed
    assert f"{replica.directory}/manifest" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["identity", "manifest"])
def test_a_file_that_is_missing_is_told(replica: Replica, name: str) -> None:
    Path(replica.directory, name).unlink()
    with pytest.raises(Corruption, match=f"{name} is damaged: it is missing"):
        LogView.open(ReadingDisk(), replica.directory)


def test_a_live_entry_that_is_missing_is_told(replica: Replica) -> None:
    replica.snapshot()
    replica.compact(slice(0, 2))
    view = LogView.open(ReadingDisk(), replica.directory)
    assert view.snapshot is not None
    view.snapshot.live = np.array([3, 8, 16], np.uint64)
    with pytest.raises(Corruption, match="entry 3"):
        view.report()


@pytest.mark.parametrize("verb", [inspect, lambda directory, _: heat(directory, "x.png")])
def test_no_data_directory(tmp_path: Path, verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        assert verb(str(directory), io.StringIO()) == 64
        assert "no data directory" in capsys.readouterr().err


# -- the picture -----------------------------------------------------------------------------------------


def test_runs_tell_what_each_index_is(replica: Replica) -> None:
    replica.snapshot()
    replica.compact(slice(0, 2))
    view = LogView.open(ReadingDisk(), replica.directory)
    shares, sizes = runs_of(view, view.segments[0])
    assert np.flatnonzero(shares[:, LIVE] == 1).tolist() == [7, 15]
    assert np.flatnonzero(shares[:, MISSING] == 1).tolist() == [at for at in range(20) if at not in (7, 15)]
    assert np.flatnonzero(sizes == ENTRY).tolist() == [7, 15] and set(sizes) == {0, ENTRY}
    shares, _ = runs_of(view, view.segments[2])
    assert [int(np.argmax(run)) for run in shares] == [DEAD, LIVE, NEWER, NEWER, NEWER]
    for segment in view.segments:
        for columns in (1, 3, 7, 1000):
            shares, _ = runs_of(view, segment, columns)
            assert len(shares) == min(columns, segment.last_index - segment.first_index + 1)
            assert np.allclose(shares.sum(axis=1), 1)


def test_the_colours_of_a_run_are_stacked_and_deeper_for_larger_entries() -> None:
    shares = np.array([[0.5, 0.25, 0, 0.25], [1, 0, 0, 0], [1, 0, 0, 0], [0.0001, 0, 0, 0.9999]])
    pixels = colours_of(shares, np.array([100.0, 50.0, 100.0, 100.0]), 50.0, 100.0)
    first = pixels[:, 0].round(6).tolist()
    assert len({tuple(pixel) for pixel in first}) == 3
    assert first[0] == pixels[0, 3].round(6).tolist(), "what is missing is on top"
    assert (pixels[:, 1] > pixels[:, 2]).all(), "smaller entries are paler"
    assert tuple(pixels[-1, 3]) == tuple(pixels[-1, 2]), "one of ten thousand is seen"
    uniform = colours_of(shares, np.full(4, 100.0), 100.0, 105.0)
    assert np.array_equal(uniform[:, 1], uniform[:, 2])


def test_a_picture_is_drawn(replica: Replica, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert heat(replica.directory, str(tmp_path / "bare.png")) == 0
    replica.snapshot()
    replica.compact(slice(0, 2))
    for name, magic in (("heat.png", b"\x89PNG"), ("heat.svg", b"<?xml")):
        assert heat(replica.directory, str(tmp_path / name)) == 0
        assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_picture_of_an_empty_log(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    directory = str(tmp_path / "replica-0")
    OsDisk().make_directory(directory)
    identity = Identity(cluster_id="ab" * 16, shard=0, member=0, incarnation=1)
    open_directory(OsDisk(), directory, expected=identity, config=CONFIG)
    assert heat(directory, str(tmp_path / "heat.png")) == 0


def test_a_picture_needs_one_replica_and_a_format(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    data = Path(replica.directory).parent.parent
    assert heat(replica.directory, str(data / "heat.xyz")) == 64
    assert "heat.xyz" in capsys.readouterr().err
    Replica(data / "shard-0" / "replica-1")
    assert heat(str(data), str(data / "heat.png")) == 64
    assert replica.directory in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert heat(replica.directory, "heat.png") == 69
    assert "pip install 'ocelog[bench]'" in capsys.readouterr().err
