"""All that the core sees of the log, and two searches in it.

The terms of a log never fall with the index, so wherever a term begins can be found by bisection over `term_at`:
the cost is per change of term, never per entry.
"""

from __future__ import annotations

from typing import Protocol

from .messages import TermRuns


class LogView(Protocol):
    """The replica's log, read-only. Every entry above dense_index is present; nothing below it is ever asked for."""

    @property
    def dense_index(self) -> int:
        """Entries at or below it may be missing; it is never above the commit index, and 0 if none is missing."""

    @property
    def last_index(self) -> int:
        """Index of the last entry appended, durable or not; 0 if there is none."""

    def term_at(self, index: int) -> int:
        """Term of the entry at `index`, for dense_index <= index <= last_index; 0 for index 0."""

    def fit(self, first: int, last: int, bytes_max: int) -> int:
        """Largest index, first <= index <= last, so that one Append can carry the entries first..index."""

    def bytes_between(self, first: int, last: int) -> int:
        """Bytes of the entries first..last."""


def term_runs(log: LogView, first: int, last: int) -> TermRuns:
    """The terms of the entries first..last; () if there are none."""
    runs: list[tuple[int, int]] = []
    while first <= last:
        term = log.term_at(first)
        runs.append((first, term))
        first = last_of_term(log, term, first, last) + 1
    return tuple(runs)


def last_of_term(log: LogView, term: int, low: int, high: int) -> int:
    """The largest index in [low, high] whose entry is of `term` or an earlier one; `low` if there is none."""
    if log.term_at(high) <= term:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if log.term_at(middle) <= term:
            low = middle
        else:
            high = middle
    return low


def first_difference(log: LogView, runs: TermRuns, start: int, last: int) -> int:
    """The first index in [start, last] where the log has no entry, or not the term of `runs`; last + 1 if none."""
    for position, (first, term) in enumerate(runs):
        run_last = runs[position + 1][0] - 1 if position + 1 < len(runs) else last
        first = max(first, start)
        if first > run_last:
            continue
        if first > log.last_index or log.term_at(first) != term:
            return first
        same = last_of_term(log, term, first, min(run_last, log.last_index))
        if same < run_last:
            return same + 1
    return last + 1
