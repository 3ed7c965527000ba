"""The bare chain answers, syncs into three files, and leaves no process behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from ocelog.bench.chain import FILE_BYTES, VALUE, Chain, MappedFile, rows
from ocelog.bench.histogram import Histogram


@pytest.mark.system
def test_the_chain_answers_each_operation_and_ends_its_processes(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with Chain(tmp_path) as chain:
        for _ in range(20):
            chain.operate()
        assert len({child.pid for child in psutil.Process().children()} - before) == 4
    assert {child.pid for child in psutil.Process().children()} <= before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["follower-1", "follower-2", "leader"]


def test_a_full_file_is_written_from_its_beginning(tmp_path: Path) -> None:
    file = MappedFile(tmp_path / "file")
    for _ in range(FILE_BYTES // len(VALUE)):
        file.append(VALUE)
    file.append(b"x" * len(VALUE))
    file.sync()
    data = (tmp_path / "file").read_bytes()
    assert len(data) == FILE_BYTES
    assert data.startswith(b"x" * len(VALUE) + VALUE)


def test_the_ratio_is_of_the_medians() -> None:
    table = dict(rows(Histogram.of([1_000_000] * 9), Histogram.of([1_500_000] * 9)))
    assert table["ratio"] == "1.50 of the medians, 9 operations each"
