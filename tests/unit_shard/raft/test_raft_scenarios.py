"""The stories in tests/scenarios/raft, played on the core.

`REWRITE_SCENARIOS=1 pytest -k scenarios` writes what happens now as what is expected; read the difference before you
commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .raft_script import Script

SCENARIOS = Path(__file__).parents[2] / "scenarios" / "raft"
FILES = sorted(SCENARIOS.glob("*.txt"))


def played(text: str) -> str:
    """The file with the output that its commands have now; comments stay as they are."""
    script = Script()
    blocks = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("#")]
        commands = [line for line in lines[: lines.index("----") if "----" in lines else None] if line not in comments]
        output = []
        for command in commands:
            output = ["----", *script.run(command)]
        blocks.append("\n".join([*comments, *commands, *output]))
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(file):
    expected = file.read_text()
    actual = played(expected)
    if os.environ.get("REWRITE_SCENARIOS"):
        file.write_text(actual)
    else:
        assert actual == expected


def test_every_scenario_tells_its_story_first():
    assert len(FILES) >= 10
    for file in FILES:
        assert file.read_text().startswith("# "), f"{file.name} does not say what it is about"
