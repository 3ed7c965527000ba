"""docs/clients.md: every program in it runs, and its table of errors is the library's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import ocelog
import ocelog.client
import pytest

PAGE = (Path(ocelog.__file__).parent / "docs" / "clients.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| `(\w+)`(?: \(an? `(\w+)`(?: and an? `(\w+)`)?\))? \| (yes|no) \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_every_program_runs(router, program):
    program = program.replace("tcp://127.0.0.1:7400", router.endpoint)
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program],
        env={**os.environ, "OCELOG_ENDPOINTS": router.endpoint},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_has_programs():
    assert len(PROGRAMS) >= 6


def test_the_table_of_errors_names_all_of_them_truly():
    errors = {name for name in ocelog.client.__all__ if isinstance(getattr(ocelog.client, name), type)}
    errors = {name for name in errors if issubclass(getattr(ocelog.client, name), ocelog.OcelogError)}
    assert {name for name, *_ in ROWS} == errors - {"OcelogError"}
    for name, *bases, definite in ROWS:
        error = getattr(ocelog.client, name)
        assert error.definite == (definite == "yes")
        assert {base for base in bases if base} <= {parent.__name__ for parent in error.__mro__}
