"""Linearizability of what was written and of the strong reads: the history as the checker of histories takes it, and its verdict.

Weaker reads promise less and are looked at in `reads`; what failed for sure took no effect and is left out. The search is
`bench.checker`'s, which looks at every key of a map and every counter by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..checker import MODELS, Bounds, Judgement, judge
from ..checker import Operation as Checked
from ..checker.page import page
from .records import BOUNDED_LINEARIZABLE, FAILED, LINEARIZABLE, UNKNOWN, History

BOUNDS = Bounds()


def not_linearizable(history: History) -> list[str]:
    """What is wrong with the writes and the LINEARIZABLE and BOUNDED_LINEARIZABLE reads, a sentence per register."""
    judgement = judged(history)
    return [str(finding) for finding in (*judgement.wrong, *judgement.undecided)]


def judged(history: History) -> Judgement:
    """The verdict on them, with what a page needs to show it."""
    models = {name: made() for name, made in MODELS.items()}
    return judge(list(strong(history)), models, BOUNDS)


def strong(history: History) -> Iterator[Checked]:
    """The operations that have to be linearizable."""
    for operation in history.operations:
        promised = not operation.is_query or operation.level in (LINEARIZABLE, BOUNDED_LINEARIZABLE)
        unanswered = operation.is_query and operation.outcome == UNKNOWN
        if operation.outcome != FAILED and promised and not unanswered:
            yield operation.checked()
    yield from history.objects


def keep(history: History, path: Path) -> Path | None:
    """Write a history down, and a page beside it when it is not linearizable: the page's path."""
    path.write_text("".join(f"{line}\n" for line in history.lines()), encoding="utf-8")
    judgement = judged(history)
    if judgement.verdict == "linearizable":
        return None
    shown = path.with_name(path.name + ".html")
    shown.write_text(page(judgement, path.name), encoding="utf-8")
    return shown
