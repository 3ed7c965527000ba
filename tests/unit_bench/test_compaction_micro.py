"""The compaction benchmark runs and says a figure of each kind; how large they are is for a quiet machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from ocelog.bench import compaction_micro


def test_every_figure_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction_micro, "SHARES", (0.5,))
    # A segment of 64 MiB holds 440 000 of its entries.
    assert compaction_micro.main(["--entries", "450000", "--rounds", "1", "--directory", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for figure in ("plan, entries of a dense", "plan, major", "50% live, verified", "copy and sync", "release, 256"):
        assert figure in printed
    assert list(tmp_path.iterdir()) == []
