"""What sorted maps and sorted sets share: the keys in their order (`places`), ranges of them, and both ends.

The order follows from the keys, so it is no state of its own: restoring the live entries restores it. A key that has no place
in it is refused before anything changes.

RELEASE: poll_first, poll_last and remove_range, which release their victims and themselves. remove_range takes as much as a page
holds, so that one command neither takes long nor fills the events of listeners: who asks repeats it until nothing is left.

A range is [low, high, whether low belongs to it, whether high does], nil for no bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .base import RELEASE, Commit, command, query
from .keyed import Keyed
from .ordered import Ordered
from .paging import H, Room
from .places import key_at, place_of

Span = tuple[bytes, bytes]
"""Places from the first one on and before the second one."""

_FIRST, _BEHIND_ALL = b"", b"\xff"
_NEXT = b"\x00"
"""A place with this behind it is the next one there can be."""

ALL: Span = (_FIRST, _BEHIND_ALL)


class SortedLive(dict[bytes, H]):
    """A dictionary that keeps its keys in order besides. It is only changed in the ways that are defined here."""

    __slots__ = ("order",)

    def __init__(self) -> None:
        super().__init__()
        self.order = Ordered()

    def __setitem__(self, key: bytes, held: H) -> None:
        if key not in self:
            self.order.add(place_of(key))
        super().__setitem__(key, held)

    def pop(self, key: bytes, *default: Any) -> Any:
        """Take a key out."""
        if key in self:
            self.order.remove(place_of(key))
        return super().pop(key, *default)

    def write_last(self, key: bytes, held: H) -> H | None:
        """Have this under the key, behind all others; returns what was there."""
        previous = super().pop(key, None)
        if previous is None:
            self.order.add(place_of(key))
        super().__setitem__(key, held)
        return previous

    def clear(self) -> None:
        """Take all keys out."""
        super().clear()
        self.order.clear()


class Sorted(Keyed[bytes, H]):
    """Keeps `live` in order of keys as well."""

    live: SortedLive[H]

    def empty(self) -> SortedLive[H]:
        """What `live` is to begin with."""
        return SortedLive()

    def in_order(self) -> Iterator[bytes]:
        """All keys."""
        return map(key_at, self.live.order)

    # -- changing --------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def poll_first(self, commit: Commit) -> Any:
        """Take out the first; returns its row, or None when there is nothing."""
        return self._poll(commit, self.live.order.ascending(_FIRST))

    @command(mode=RELEASE)
    def poll_last(self, commit: Commit) -> Any:
        """Take out the last; returns its row, or None when there is nothing."""
        return self._poll(commit, self.live.order.descending(_BEHIND_ALL))

    def _poll(self, commit: Commit, places: Iterator[bytes]) -> Any:
        self.release(commit.index)
        place = next(places, None)
        if place is None:
            return None
        key = key_at(place)
        row = self.row(key)
        self.erase("removed", key)
        return row

    @command(mode=RELEASE)
    def remove_range(
        self, commit: Commit, low: bytes | None, high: bytes | None, low_is_in: bool, high_is_in: bool
    ) -> list[Any]:
        """Remove the first of a range, as many as a page holds: whether nothing is left of it, and how many went."""
        start, stop = _span(low, high, low_is_in, high_is_in)
        self.release(commit.index)
        room, keys, is_last = Room(), [], True
        for place in self.live.order.ascending(start):
            if place >= stop:
                break
            key = key_at(place)
            if not room.take(self.row_bytes(key)):
                is_last = False
                break
            keys.append(key)
        for key in keys:
            self.erase("removed", key)
        return [is_last, len(keys)]

    # -- reading ---------------------------------------------------------------------------------------

    @query
    def range(
        self,
        commit: Commit,
        low: bytes | None,
        high: bytes | None,
        low_is_in: bool,
        high_is_in: bool,
        reverse: bool,
        limit: int,
    ) -> list[Any]:
        """The rows of a range in order, or from its end, at most `limit` or a page: whether these are all, and the rows."""
        if limit < 0:
            raise ValueError(f"a limit is a number of rows, or 0 for none, not {limit}")
        start, stop = _span(low, high, low_is_in, high_is_in)
        order = self.live.order
        rows: list[Any] = []
        room = Room(limit)
        for place in order.descending(stop) if reverse else order.ascending(start):
            if place < start or place >= stop:
                break
            key = key_at(place)
            if not room.take(self.row_bytes(key)):
                return [False, rows]
            rows.append(self.row(key))
        return [True, rows]

    @query
    def count(self, commit: Commit, low: bytes | None, high: bytes | None, low_is_in: bool, high_is_in: bool) -> int:
        """How many keys are in a range."""
        start, stop = _span(low, high, low_is_in, high_is_in)
        return max(self.live.order.rank(stop) - self.live.order.rank(start), 0)


def _span(low: bytes | None, high: bytes | None, low_is_in: bool, high_is_in: bool) -> Span:
    """The places of a range. Raises TypeError or ValueError for bounds that are no keys."""
    for bound in (low, high):
        if bound is not None and type(bound) is not bytes:
            raise TypeError(f"a bound is a key, or None for no bound, not {bound!r:.60}")
    start = _FIRST if low is None else place_of(low) + (b"" if low_is_in else _NEXT)
    stop = _BEHIND_ALL if high is None else place_of(high) + (_NEXT if high_is_in else b"")
    return start, stop
