"""What docs/machines.md shows of the testing kit is what the kit prints; `[...]` in the document stands for what is too long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "machines.md"
SECONDS_MAX = 120

PROGRAM = """
import sys
sys.path.append(sys.argv[1])
import {module}
from ocelog.shard.testing import MachineBroken, check
try:
    check({module}.{name}, {commands!r})
except MachineBroken as broken:
    print(broken)
"""


@pytest.mark.parametrize(
    ("module", "name", "commands"),
    [
        ("grouped", "Grouped", {"deposit": (("ada", "bob"), (1,)), "pay_out": ()}),
        ("thrifty", "Thrifty", {"deposit": (("ada", "bob"), (1, 5))}),
        ("limited", "Limited", {"open": (("ada", "bob"),), "rename": (("ada",), ("eve",))}),
    ],
)
def test_the_document_shows_what_the_kit_prints(module: str, name: str, commands: object, tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    source = re.search(rf"```python\n(# {module}\.py\n.*?)```", text, re.S)
    shown = re.search(rf"^    {name} breaks\..*?(?=\n\n)", text, re.M | re.S)
    assert source and shown
    (tmp_path / f"{module}.py").write_text(source[1])
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.format(module=module, name=name, commands=commands), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    assert done.returncode == 0, done.stderr
    expected = r"\[.*?\]".join(re.escape(part) for part in " ".join(shown[0].split()).split("[...]"))
    assert re.fullmatch(expected, " ".join(done.stdout.split()), re.S), done.stdout
