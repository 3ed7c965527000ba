"""The measurement of pauses goes through every step of cleaning a log, and tells each."""

from __future__ import annotations

import pytest
from ocelog.bench import pause_micro


def test_every_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert pause_micro.main(["--entries", "2000"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "2000 entries, half of them released"
    names = [line[:36].strip() for line in lines]
    assert [name for name in names if name.endswith("on the loop")] == ["freeze, on the loop", "swap, on the loop"]
    assert len(names) == 8
    assert all(float(line.split()[-2]) > 0 for line in lines)
