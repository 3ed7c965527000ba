"""All checkers on one history."""

from __future__ import annotations

from .reads import goes_back
from .records import History
from .registers import not_linearizable
from .streams import answered_early, broken_streams
from .timeline import Timeline


def check(history: History) -> list[str]:
    """Every promise that was broken, a sentence each; [] when all were kept."""
    timeline = Timeline(history)
    return [
        *not_linearizable(history),
        *goes_back(history, timeline),
        *broken_streams(history, timeline),
        *answered_early(history),
    ]
