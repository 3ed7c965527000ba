"""What a cached map knows: values that were read, kept current by the map's events. No calls of its own.

A value enters when a read of it was answered, and no event of its key came meanwhile; from then on events change it. Answers are
delivered behind all events up to their log index, so nothing in here is older than the last event of the session, and no
two values contradict the order of the log. While events may be missing it holds nothing.

Invariants: no key is in here while this handle writes it, so that whoever wrote reads what was written; there are never
more keys than `keys_max`, of which the first to come is the first to go. Everything but `look` runs under the lock of the
client's `Listening`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .changes import CLEARED, Event, Resync
from .listeners import Listener, Pending, Phase
from .protocol.errors import BadArgument

KEYS_MAX = 10_000
"""Keys that a cached map keeps, unless its maker says otherwise."""

MISSING = object()
"""What `look` answers for a key that is not in here; None means that the key is absent from the map."""


class Reading:
    """Reads of one key that are under way; `valid` until an event of the key comes."""

    __slots__ = ("count", "valid")

    def __init__(self) -> None:
        self.count = 0
        self.valid = True


class Cache(Listener):
    """A listener that keeps encoded values by encoded keys. `lock` is that of its `Listening`."""

    __slots__ = ("_entries", "_lock", "_reading", "_writing", "keys_max")
    needs_state = False

    def __init__(self, lock: Any, keys_max: int) -> None:
        if type(keys_max) is not int or keys_max < 1:
            raise BadArgument(f"keys_max is a number of keys from 1 on, not {keys_max!r:.60}")
        super().__init__(None)
        self.keys_max = keys_max
        self._lock = lock
        self._entries: dict[bytes, bytes | None] = {}
        self._reading: dict[bytes, Reading] = {}
        self._writing: dict[bytes | None, int] = {}

    def look(self, key: bytes) -> Any:
        """The value, None when the map has no such key, or MISSING."""
        return self._entries.get(key, MISSING)

    def read(self, key: bytes) -> Reading | None:
        """A read of this key begins; None when its answer is not to be kept. What is returned goes to `keep`."""
        with self._lock:
            if self.phase is not Phase.FLOWING or key in self._writing or None in self._writing:
                return None
            reading = self._reading.setdefault(key, Reading())
            reading.count += 1
            return reading

    def keep(self, key: bytes, reading: Reading, value: Any = MISSING) -> None:
        """The read is over, with this answer or without one."""
        with self._lock:
            reading.count -= 1
            if not reading.count and self._reading.get(key) is reading:
                del self._reading[key]
            if reading.valid and value is not MISSING:
                if len(self._entries) >= self.keys_max and key not in self._entries:
                    del self._entries[next(iter(self._entries))]
                self._entries[key] = value

    @contextmanager
    def writing(self, keys: Sequence[bytes]) -> Iterator[None]:
        """While the handle writes these keys, or all when there is none, they are neither kept nor found."""
        blocked: Sequence[bytes | None] = keys or (None,)
        with self._lock:
            for key in blocked:
                self._writing[key] = self._writing.get(key, 0) + 1
                self._drop(key)
        try:
            yield
        finally:
            with self._lock:
                for key in blocked:
                    self._writing[key] -= 1
                    if not self._writing[key]:
                        del self._writing[key]

    def lose(self) -> None:
        """Events may be missing from here on."""
        super().lose()
        self._drop(None)

    def end(self, error: Exception | None = None) -> None:
        """It is kept current no more."""
        super().end(error)
        self._drop(None)

    @property
    def wants(self) -> bool:
        """It goes on as soon as it can."""
        return True

    def _drop(self, key: bytes | None) -> None:
        if key is not None:
            self._entries.pop(key, None)
            reading = self._reading.pop(key, None)
            if reading is not None:
                reading.valid = False
            return
        self._entries.clear()
        for reading in self._reading.values():
            reading.valid = False
        self._reading.clear()

    def _claim(self, pending: Pending) -> None:
        return None

    def _take(self, event: Event | Resync, pending: Pending | None) -> None:
        if isinstance(event, Resync):
            return
        kind, key, _, new = event.fields
        if kind == CLEARED:
            self._drop(None)
            return
        is_kept = key in self._entries
        self._drop(key)
        if is_kept:
            self._entries[key] = new
