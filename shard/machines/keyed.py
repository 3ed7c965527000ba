"""What the machines share that keep one live entry for each thing they hold: maps, sets, multimaps.

`live` has the things in the order of the indexes of their entries: what is written again is inserted again. So restoring the live
entries in index order gives the same order, and a page can begin behind an index.

RELEASE: `clear` releases all entries and itself. What a time to live ends is released by `expire`; its timer belongs to the
entry that armed it, goes with it, and is armed again when that is restored.

SNAPSHOT: who listens (`Listened`). `clear` publishes one event, ["cleared", None, None, None], to everybody, unless there was
nothing to clear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic

from .base import RELEASE, Commit, command, query
from .listened import Listened
from .paging import H, K, Paging, Room


class Keyed(Listened, Generic[K, H]):
    """Keeps `live`: what is held by its key, each with the index of its live entry, and `listeners`.

    `index_of` finds that index in what is held. It is called for each of very many, so it had better be no function of Python.
    """

    has_keys = True

    def __init__(self, index_of: Callable[[H], int]) -> None:
        super().__init__()
        self.live: dict[K, H] = self.empty()
        self._index_of = index_of
        self._paging = Paging(self.live, index_of)

    def empty(self) -> dict[K, H]:
        """What `live` is to begin with."""
        return {}

    def row(self, key: Any) -> Any:
        """What a page tells of the thing of that key."""
        raise NotImplementedError

    def row_bytes(self, key: Any) -> int:
        """How many bytes that is."""
        raise NotImplementedError

    def erase(self, kind: str, key: Any) -> Any:
        """The thing of that key is there no more: release its entry, tell whoever listens; returns its value, if it has one."""
        raise NotImplementedError

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> None:
        """Hold nothing any more."""
        for held in self.live.values():
            self.release(self._index_of(held))
        self.release(commit.index)
        if self.listeners and self.live:
            self.publish(self.listeners.sessions, "change", ["cleared", None, None, None])
        self.forget_all()

    def forget_all(self) -> None:
        """Make `live`, and what follows from it, empty."""
        self.live.clear()
        self._paging.forget()

    def expire(self, commit: Commit, key: Any) -> None:
        """The time to live of the key's live entry is over: an entry that was released has no timer any more."""
        self.erase("expired", key)

    def live_entries(self) -> Iterable[int]:
        """One entry for each thing."""
        return map(self._index_of, self.live.values())

    # -- reading ---------------------------------------------------------------------------------------

    @query
    def size(self, commit: Commit) -> int:
        """How many things there are."""
        return len(self.live)

    @query
    def page(self, commit: Commit, after: int) -> list[Any]:
        """What was written behind the index `after`: whether these are the last, the index to go on behind, and the rows.

        There is at least one, and with it as many as fit PAGE_ENTRIES_MAX and PAGE_BYTES_MAX, unless there is none.
        """
        rows: list[Any] = []
        room, last = Room(), after
        for key, index in self._paging.behind(after):
            if not room.take(self.row_bytes(key)):
                return [False, last, rows]
            rows.append(self.row(key))
            last = index
        self._paging.forget()
        return [True, last, rows]
