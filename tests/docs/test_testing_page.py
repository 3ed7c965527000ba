"""Every test and file of tests that docs/testing.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`(?:tests/)?((?:\w+/)*)(test_\w+)(\.py)?`")


def test_what_the_page_names_is_there() -> None:
    page = (TESTS.parent / "docs" / "testing.md").read_text(encoding="utf-8")
    files = sorted(TESTS.rglob("test_*.py"))
    tests = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
    paths = [str(file.relative_to(TESTS)) for file in files]
    named = NAMED.findall(page)
    assert len(named) > 40
    for folder, name, suffix in named:
        if suffix:
            assert any(f"/{path}".endswith(f"/{folder}{name}.py") for path in paths), f"no {folder}{name}.py"
        else:
            assert name in tests, f"no {name}"
