# Generated from ranges.py by generate.py: change that one and run this again.
"""What sorted maps and sorted sets share: both ends, neighbours of a key, and ranges.

Keys are in order: integers by value, before texts by code point, before bytes. A range is from `low` to `high`, None for no
bound; `low` belongs to it and `high` does not, unless `include_low` or `include_high` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from ..protocol.errors import BadArgument, EventsPending
from ..protocol.values import encode_key
from .base import Level, Seconds
from .entries import Key

R = TypeVar("R")


class Ranges(Generic[R]):
    """Rows of the type `R` in order of their keys: the keys themselves, or pairs of a key and its value."""

    __slots__ = ()

    def _row(self, row: Any) -> R:
        """A row decoded."""
        raise NotImplementedError

    def _key_of(self, row: Any) -> bytes:
        """The key of a row that is not."""
        raise NotImplementedError

    def _command(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        raise NotImplementedError

    def _query(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> Any:
        raise NotImplementedError

    # -- one row ---------------------------------------------------------------------------------------

    def first(self, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """The first one, or None."""
        return self._one((None, None, True, True, False), timeout, consistency)

    def last(self, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """The last one, or None."""
        return self._one((None, None, True, True, True), timeout, consistency)

    def lower(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """The last one before the key, or None."""
        return self._one((None, encode_key(key), True, False, True), timeout, consistency)

    def floor(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """The one of the key if it is there, else the last one before it, or None."""
        return self._one((None, encode_key(key), True, True, True), timeout, consistency)

    def ceiling(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """The one of the key if it is there, else the first one behind it, or None."""
        return self._one((encode_key(key), None, True, True, False), timeout, consistency)

    def higher(self, key: Key, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """The first one behind the key, or None."""
        return self._one((encode_key(key), None, False, True, False), timeout, consistency)

    def _one(self, span: tuple[Any, ...], timeout: Seconds, consistency: Level) -> R | None:
        _, rows = self._query(("range", *span, 1), timeout, consistency)
        return self._row(rows[0]) if rows else None

    def poll_first(self, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """Take out the first one; None when there is none."""
        return self._poll(("poll_first",), timeout, consistency)

    def poll_last(self, *, timeout: Seconds = None, consistency: Level = None) -> R | None:
        """Take out the last one; None when there is none."""
        return self._poll(("poll_last",), timeout, consistency)

    def _poll(self, parts: tuple[Any, ...], timeout: Seconds, consistency: Level) -> R | None:
        try:
            row = self._command(parts, timeout, consistency)
        except EventsPending as pending:
            pending.result = None if pending.result is None else self._row(pending.result)
            raise
        return None if row is None else self._row(row)

    # -- ranges ----------------------------------------------------------------------------------------

    def range(
        self,
        low: Key | None = None,
        high: Key | None = None,
        *,
        include_low: bool = True,
        include_high: bool = False,
        reverse: bool = False,
        limit: int | None = None,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> Iterator[R]:
        """Iterate over a range page by page in order, or in `reverse`, over at most `limit` rows: for ranges of any size.

        Pages are of different moments, and each begins behind the last key of the one before. So what is there all the time
        comes once, and what comes or goes meanwhile may come or not. `timeout` is that of each page.
        """
        if limit is not None and (type(limit) is not int or limit < 0):
            raise BadArgument(f"a limit is a number of rows from 0 on, or None, not {limit!r:.60}")
        span = _span(low, high, include_low, include_high)
        left, is_last = limit, False
        while not is_last and left != 0:
            is_last, rows = self._query(("range", *span, bool(reverse), left or 0), timeout, consistency)
            for row in rows:
                yield self._row(row)
            left = None if left is None else left - len(rows)
            bound = 1 if reverse else 0
            if rows:
                span[bound], span[bound + 2] = self._key_of(rows[-1]), False

    def count(
        self,
        low: Key | None = None,
        high: Key | None = None,
        *,
        include_low: bool = True,
        include_high: bool = False,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> int:
        """How many keys are in a range, of one moment. Costs no look at each."""
        parts = ("count", *_span(low, high, include_low, include_high))
        count: int = self._query(parts, timeout, consistency)
        return count

    def remove_range(
        self,
        low: Key | None = None,
        high: Key | None = None,
        *,
        include_low: bool = True,
        include_high: bool = False,
        timeout: Seconds = None,
        consistency: Level = None,
    ) -> int:
        """Remove a range; how many were removed. One step for each page that it holds, in order; `timeout` is that of each.

        When it raises, the pages before are removed; the result of EventsPending is how many were until then.
        """
        parts = ("remove_range", *_span(low, high, include_low, include_high))
        removed, is_last = 0, False
        while not is_last:
            try:
                is_last, count = self._command(parts, timeout, consistency)
            except EventsPending as pending:
                answer: Any = pending.result
                pending.result = removed + answer[1]
                raise
            removed += count
        return removed


def _span(low: Key | None, high: Key | None, include_low: bool, include_high: bool) -> list[Any]:
    bounds = [None if bound is None else encode_key(bound) for bound in (low, high)]
    return [*bounds, bool(include_low), bool(include_high)]
