"""`python -m tests.vectors`: writes the vectors of the protocol, one JSON line each, beside this file.

They are for whoever writes a client in another language; docs/protocol.md says how a line reads. The bytes come from
`wire.py`, which knows the document and not the package, and `tests/unit_client/protocol/test_vectors.py` compares the
package with them both ways.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .malformed import all_malformed
from .messages import all_messages
from .pieces import all_bundles, all_operations, all_slots, all_values

FOLDER = Path(__file__).parent


def all_vectors() -> dict[str, list[dict[str, Any]]]:
    """Every vector, by the name of its file."""
    return {
        "messages": all_messages(),
        "values": all_values(),
        "operations": all_operations(),
        "slots": all_slots(),
        "bundles": all_bundles(),
        "malformed": all_malformed(),
    }


def text_of(lines: list[dict[str, Any]]) -> str:
    """The text of one file."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def main() -> None:
    """Write all files."""
    for name, lines in all_vectors().items():
        (FOLDER / f"{name}.jsonl").write_text(text_of(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
