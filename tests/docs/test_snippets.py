"""Every snippet of README.md and docs/ runs: python blocks as programs, console blocks command by command.

Each meets a fresh cluster of processes; the documents' default endpoint stands for its. In a console block a line that
begins with `$ ` is a command and what follows it is its output, in which numbers and the order of lines may differ; a python
block whose first line is `# NAME.py` is a file of that name; a
block marked `<!-- not run: reason -->` in the line before it is left out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ocelog.cluster import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
DEFAULT_ENDPOINT = "tcp://127.0.0.1:7400"
BLOCK = re.compile(r"^(?P<mark><!-- not run: .*-->\n)?```(?P<kind>python|console)\n(?P<text>.*?)^```", re.M | re.S)
SECONDS_MAX = 120


def blocks(kind: str) -> list[object]:
    """One parameter per block, named by document and line."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in BLOCK.finditer(text):
            if match["kind"] == kind and not match["mark"]:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match["text"], id=f"{document.relative_to(ROOT)}:{line}"))
    return found


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    replicas = getattr(request, "param", 1)
    with LocalCluster(shards=2, replicas=replicas) as cluster:
        yield cluster.endpoints[0]


def environment(endpoint: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"OCELOG_ENDPOINTS": endpoint, "PATH": path}


@pytest.mark.system
@pytest.mark.parametrize("text", blocks("python"))
def test_python_block_runs(text: str, endpoint: str, tmp_path: Path) -> None:
    named = re.match(r"# (\w+\.py)\n", text)
    program = tmp_path / (named[1] if named else "snippet.py")
    program.write_text(text.replace(DEFAULT_ENDPOINT, endpoint))
    run = subprocess.run(
        [sys.executable, "-P", str(program)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=environment(endpoint),
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.system
@pytest.mark.parametrize("endpoint", [3], indirect=True)
@pytest.mark.parametrize("text", blocks("console"))
def test_console_block_prints_what_it_says(text: str, endpoint: str, tmp_path: Path) -> None:
    for command, expected in commands(text):
        run = subprocess.run(
            shlex.split(command.replace(".venv/bin/ocelog", "ocelog"), comments=True),
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            env=environment(endpoint),
            cwd=tmp_path,
        )
        printed = run.stdout.replace(endpoint, DEFAULT_ENDPOINT)
        assert shape(printed) == shape(expected), f"{command}\n{printed}{run.stderr}"


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with its output."""
    parts = re.split(r"^\$ ", text, flags=re.M)
    assert not parts[0].strip(), "a console block begins with a command"
    for part in parts[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def shape(output: str) -> list[str]:
    """Lines in sorted order, with every number alike and the widths of columns ignored."""
    numbers = re.compile(r"\d+(?:[.,]\d+)*(?: ?[KMG]iB| B)?")
    return sorted(" ".join(numbers.sub("0", line).split()) for line in output.splitlines() if line.strip())


def test_there_are_snippets() -> None:
    assert len(blocks("python")) >= 3
    assert blocks("console")
