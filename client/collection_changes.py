"""The events of sets and multimaps, as `changes` has those of maps. They know nothing of sessions, streams or threads."""

from __future__ import annotations

from typing import Any

from .changes import ADDED, CLEARED, EXPIRED, REMOVED, EncodedEvent
from .protocol.values import decode


class SetEvent(EncodedEvent):
    """A change of a set: `kind` is "added", "removed", "expired" or "cleared" (all values)."""

    __slots__ = ()
    kinds = frozenset((ADDED, REMOVED, EXPIRED, CLEARED))

    @property
    def value(self) -> Any:
        """The value; None for "cleared"."""
        return self.key

    @property
    def old(self) -> Any:
        """The value that is gone, else None."""
        return self.key if self.kind in (REMOVED, EXPIRED) else None

    @property
    def new(self) -> Any:
        """The value that was added, else None."""
        return self.key if self.kind == ADDED else None

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells the state, of that value only or of all."""
        return ("values",) if key is None else ("contains", key)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> list[Any]:
        """A list of what is there. Raises ValueError."""
        if key is not None:
            return [decode(key)] if answer else []
        return [decode(value) for value in answer]


class MultimapEvent(EncodedEvent):
    """A change of a multimap: `kind` is "added", "removed" or "expired", of one value, or "cleared": everything, so no key."""

    __slots__ = ()
    kinds = frozenset((ADDED, REMOVED, EXPIRED, CLEARED))

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells the state, of that key only or of all."""
        return ("entries",) if key is None else ("get", key)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> dict[Any, list[Any]]:
        """A dictionary of keys to the lists of their values. Raises ValueError."""
        entries = answer if key is None else [(key, value) for value in answer]
        state: dict[Any, list[Any]] = {}
        for one, value in entries:
            state.setdefault(decode(one), []).append(decode(value))
        return state
