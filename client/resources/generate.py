"""Makes the blocking twins of the resource proxies: `python -m ocelog.client.resources.generate`.

The asyncio proxies are the written ones; a twin is the same text without `async` and `await`. A test makes them
again and compares.
"""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = ("counter", "map")

_HEADER = "# Generated from {name}.py by generate.py: change that one and run this again.\n"
_RULES = ((r"\basync def\b", "def"), (r"\bawait ", ""), (r"\bAsync(?=[A-Z])", ""))


def blocking(name: str, source: str) -> str:
    """The text of the blocking twin of the asyncio module `name`."""
    for pattern, replacement in _RULES:
        source = re.sub(pattern, replacement, source)
    return _HEADER.format(name=name) + source


def main() -> None:
    """Write all twins beside their sources."""
    folder = Path(__file__).parent
    for name in SOURCES:
        twin = blocking(name, (folder / f"{name}.py").read_text(encoding="utf-8"))
        (folder / f"{name}_sync.py").write_text(twin, encoding="utf-8")


if __name__ == "__main__":
    main()
