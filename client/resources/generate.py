"""Makes the blocking twins of the resource proxies and factories: `python -m ocelog.client.resources.generate`.

The asyncio ones are the written ones; a twin is the same text without `async` and `await`. A test makes them again and
compares.
"""

from __future__ import annotations

import re
from pathlib import Path

CLIENT = Path(__file__).parents[1]

SOURCES = (
    "factories",
    "resources/any_map",
    "resources/barrier",
    "resources/cached_map",
    "resources/counter",
    "resources/election",
    "resources/group",
    "resources/id_generator",
    "resources/keyed",
    "resources/holding",
    "resources/latch",
    "resources/lock",
    "resources/map",
    "resources/multimap",
    "resources/partitioned_map",
    "resources/queue",
    "resources/ranges",
    "resources/read_write_lock",
    "resources/resource",
    "resources/semaphore",
    "resources/set",
    "resources/sorted_map",
    "resources/sorted_set",
    "resources/set_partitioner",
    "resources/task_queue",
    "resources/topic",
    "resources/value",
    "submitting",
)
"""Modules of the client, without their suffix."""

_HEADER = "# Generated from {name}.py by generate.py: change that one and run this again.\n"
_RULES = (
    (r"\basync def\b", "def"),
    (r"\bawait ", ""),
    (r"\basync with\b", "with"),
    (r"\basync for\b", "for"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"__aiter__", "__iter__"),
    (r"__anext__", "__next__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"from \.aio import", "from .sync import"),
    (r"from \.\.aio import", "from ..sync import"),
)
_IMPORT = re.compile(r"^( *from )(\.(?:resources\.)?)(\w+)( import )", re.M)
_IMPORTS = re.compile(r"(?:^from \.resources\.\w+ import .*\n)+", re.M)
_NAMES = re.compile(r"^( *from \S+ import )(\w+(?:, \w+)+)$", re.M)


def blocking(name: str, source: str) -> str:
    """The text of the blocking twin of the asyncio module `name`."""
    for pattern, replacement in _RULES:
        source = re.sub(pattern, replacement, source)
    source = _NAMES.sub(_in_order, _IMPORT.sub(_of_twin, source))
    source = _IMPORTS.sub(lambda lines: "".join(sorted(lines[0].splitlines(keepends=True))), source)
    return _HEADER.format(name=Path(name).name) + source


def _of_twin(line: re.Match[str]) -> str:
    """An import of what has a twin is one of the twin."""
    before, package, module, after = line.groups()
    suffix = "_sync" if f"resources/{module}" in SOURCES else ""
    return f"{before}{package}{module}{suffix}{after}"


def _in_order(line: re.Match[str]) -> str:
    """Imported names in the order in which the formatter wants them: constants, classes, the rest."""
    names = line[2].split(", ")
    return line[1] + ", ".join(sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name.lower())))


def main() -> None:
    """Write all twins beside their sources."""
    for name in SOURCES:
        twin = blocking(name, (CLIENT / f"{name}.py").read_text(encoding="utf-8"))
        (CLIENT / f"{name}_sync.py").write_text(twin, encoding="utf-8")


if __name__ == "__main__":
    main()
