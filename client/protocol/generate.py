"""Makes docs/errors.md from the error table and the exceptions: `python -m ocelog.client.protocol.generate`.

Everything in it is said once, in `errors.py`; a test makes the page again and compares.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import errors
from .errors import TABLE, ErrorRow, OcelogError, error_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

_HEAD = """\
# Errors

<!-- Generated from client/protocol/errors.py: change that and run python -m ocelog.client.protocol.generate. -->

What can go wrong, as a caller sees it and as it travels. Every error is an `OcelogError`; `error.definite` says whether the
operation was *surely not* applied, and `error.context` holds what is known of endpoint, shard, session, sequence, attempts
and elapsed seconds, which is part of the text too.
"""

_EXCEPTIONS = """\
## What a call raises

*Definite*: surely not applied. Where it says no, the operation may have been applied; what became of a command can be asked
([Sessions](sessions.md)).
"""

_CODES = """\
## What a cluster answers

A code comes in a REFUSED, about a whole message, or as the first byte of a result ([Protocol](protocol.md)). *Definite*: the
operation was surely not applied. *Repeat*: the same bytes may succeed later, and no sequence was spent; the client does that
by itself until the call's deadline, so a caller sees the exception only for the others.
"""

_YES_NO = {True: "yes", False: "no"}


def page() -> str:
    """The whole text of docs/errors.md."""
    return "\n".join([_HEAD, _EXCEPTIONS, *_exceptions(), "", _CODES, *_codes(TABLE), ""])


def _exceptions() -> Iterable[str]:
    yield from _row(("exception", "also a", "definite", "meaning"))
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, OcelogError) and kind is not OcelogError:
            also = [base.__name__ for base in kind.__bases__ if base is not OcelogError]
            meaning = " ".join((kind.__doc__ or "").split())
            yield from _line(
                (f"`{kind.__name__}`", " ".join(f"`{name}`" for name in also), _YES_NO[kind.definite], meaning)
            )


def _codes(table: Iterable[ErrorRow]) -> Iterable[str]:
    yield from _row(("code", "error", "definite", "repeat", "exception", "meaning"))
    for row in table:
        raised = "" if row.retry else f"`{type(error_for(row.code, '')).__name__}`"
        yield from _line((str(row.code), row.name, _YES_NO[row.definite], _YES_NO[row.retry], raised, row.sentence))


def _row(cells: Sequence[str]) -> Iterable[str]:
    yield from _line(cells)
    yield from _line(["---"] * len(cells))


def _line(cells: Sequence[str]) -> Iterable[str]:
    yield f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
