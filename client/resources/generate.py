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
    "resources/barrier",
    "resources/cached_map",
    "resources/counter",
    "resources/group",
    "resources/id_generator",
    "resources/latch",
    "resources/lock",
    "resources/map",
    "resources/partitioned_map",
    "resources/queue",
    "resources/task_queue",
    "resources/topic",
    "resources/value",
)
"""Modules of the client, without their suffix."""

_HEADER = "# Generated from {name}.py by generate.py: change that one and run this again.\n"
_RULES = (
    (r"import AsyncIterator, Callable, Iterable,", "import Callable, Iterable, Iterator,"),
    (r"from \.map import AsyncMap, Entries, Key, ", "from .map_sync import Entries, Key, Map, "),
    (r"from \.map import AsyncMap, Key", "from .map_sync import Key, Map"),
    (r"from \.counter import AsyncCounter", "from .counter_sync import Counter"),
    (r"from \.cached_map import", "from .cached_map_sync import"),
    (r"\basync def\b", "def"),
    (r"\bawait ", ""),
    (r"\basync with\b", "with"),
    (r"\basync for\b", "for"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"__aiter__", "__iter__"),
    (r"__anext__", "__next__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"from \.aio import", "from .sync import"),
    (r"from \.\.aio import", "from ..sync import"),
    (r"from \.resources\.(?!base\b)(\w+) import", r"from .resources.\1_sync import"),
)


def blocking(name: str, source: str) -> str:
    """The text of the blocking twin of the asyncio module `name`."""
    for pattern, replacement in _RULES:
        source = re.sub(pattern, replacement, source)
    return _HEADER.format(name=Path(name).name) + source


def main() -> None:
    """Write all twins beside their sources."""
    for name in SOURCES:
        twin = blocking(name, (CLIENT / f"{name}.py").read_text(encoding="utf-8"))
        (CLIENT / f"{name}_sync.py").write_text(twin, encoding="utf-8")


if __name__ == "__main__":
    main()
