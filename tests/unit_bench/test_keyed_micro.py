"""The measurement of machines that hold things by key goes through every machine and every figure."""

from __future__ import annotations

import pytest
from ocelog.bench import keyed_micro


def test_every_figure_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert keyed_micro.main(["--keys", "3000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    machines = [line.split(",")[0] for line in lines if not line.startswith(" ")]
    assert machines == ["map", "sorted_map", "set", "sorted_set", "multimap"]
    figures = [line[2:19].strip() for line in lines if line.startswith(" ")]
    assert figures.count("a new key") == figures.count("removal") == 5
    assert figures.count("range of 10") == figures.count("poll_first") == 2
