"""The map: keys to values, both opaque bytes.

    users = client.map("users")
    users.put("ada", {"born": 1815})      # the previous value, or None
    users.get("ada")
    users.put("guest", 1, ttl=60)         # for a minute
    users.replace_if("ada", 1, 2)         # whether it was 1
    users.on_change(print)                # called with each change from here on

RELEASE: every command that writes one key. The value lives in the entry that wrote it, whose index is the value's version;
the entry is released when the key is overwritten, removed or at the end of its time to live. One that changed nothing is
released at once. The removing commands and clear release their victims and themselves. Restoring the live entries in index
order is right because each live entry is the last write of its key, and each key has exactly one; conditional writes take
their condition as met, since only an entry whose effect is in the state is live (what a `replace` replaced is gone from
the log, what kept a `put_if_absent` out never was in it). The timer of a time to live belongs to the entry, goes with it,
and is armed again with it. Iteration is in order of live indexes: an overwrite re-inserts its key, so restoring inserts
the keys in the same order, and a page can begin behind an index.

SNAPSHOT: who listens, to all keys or to one (`Keyed`). Events tell [kind, key, old, new]; kind is "added", "updated", "removed",
"expired" or "cleared", and old or new None where the key was or is absent.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, ClassVar

from .base import RELEASE, Commit, command, query
from .keyed import Keyed
from .ttl import due_ms


class MapMachine(Keyed[bytes, tuple[int, bytes]]):
    """Keeps `live`: key bytes to (index of the live entry, value bytes), and `listeners`."""

    type_name: ClassVar[str] = "map"

    def __init__(self) -> None:
        super().__init__(itemgetter(0))

    def _changed(self, kind: str, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Tell whoever listens; called only where somebody does, so that others pay nothing for it."""
        self.publish(self.listeners.of(key), "change", [kind, key, old, new])

    def _write(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int) -> bytes | None:
        if ttl_ms:
            self.schedule(due_ms(commit, ttl_ms), "expire", key)
        previous = self.write_last(key, (commit.index, value))
        if previous is None:
            if self.listeners:
                self._changed("added", key, None, value)
            return None
        self.release(previous[0])
        if self.listeners:
            self._changed("updated", key, previous[1], value)
        return previous[1]

    def write_last(self, key: bytes, held: tuple[int, bytes]) -> tuple[int, bytes] | None:
        """Have this under the key, behind all others; returns what was there."""
        previous = self.live.pop(key, None)
        self.live[key] = held
        return previous

    def erase(self, kind: str, key: bytes) -> bytes:
        """The key is absent again: release its entry, tell whoever listens; returns its value."""
        index, value = self.live.pop(key)
        self.release(index)
        if self.listeners:
            self._changed(kind, key, value, None)
        return value

    def row(self, key: bytes) -> list[bytes]:
        """The key and its value."""
        return [key, self.live[key][1]]

    def row_bytes(self, key: bytes) -> int:
        """The bytes of both."""
        return len(key) + len(self.live[key][1])

    def _holds(self, key: bytes, value: bytes) -> bool:
        held = self.live.get(key)
        return held is not None and held[1] == value

    def _has_version(self, key: bytes, version: int) -> bool:
        held = self.live.get(key)
        return held is not None and held[0] == version

    # -- writing ---------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int = 0) -> bytes | None:
        """Set the key, for so many ms of log time or, with 0, for ever; returns the previous value or None."""
        return self._write(commit, key, value, ttl_ms)

    @command(mode=RELEASE)
    def put_if_absent(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int = 0) -> bytes | None:
        """Set the key if it is absent; returns the value that was there, or None when it was set."""
        present = self.live.get(key)
        if present is None:
            return self._write(commit, key, value, ttl_ms)
        self.release(commit.index)
        return present[1]

    @command(mode=RELEASE)
    def replace(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int = 0) -> bytes | None:
        """Set the key if it is present; returns the previous value, or None when nothing was done."""
        if key in self.live:
            return self._write(commit, key, value, ttl_ms)
        self.release(commit.index)
        return None

    @put.restore
    @put_if_absent.restore
    @replace.restore
    def _restore(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int = 0) -> None:
        if key in self.live:
            raise ValueError(f"key {key!r:.60} has a second live entry, beside that of index {self.live[key][0]}")
        self.live[key] = (commit.index, value)
        if ttl_ms:
            self.schedule(due_ms(commit, ttl_ms), "expire", key)

    @command(mode=RELEASE)
    def replace_if(self, commit: Commit, key: bytes, expected: bytes, value: bytes, ttl_ms: int = 0) -> bool:
        """Set the key if its value is `expected`; returns whether it was."""
        if not self._holds(key, expected):
            self.release(commit.index)
            return False
        self._write(commit, key, value, ttl_ms)
        return True

    @replace_if.restore
    def _restore_replaced(self, commit: Commit, key: bytes, expected: bytes, value: bytes, ttl_ms: int = 0) -> None:
        self._restore(commit, key, value, ttl_ms)

    @command(mode=RELEASE)
    def replace_if_version(self, commit: Commit, key: bytes, version: int, value: bytes, ttl_ms: int = 0) -> bool:
        """Set the key if its value is of that version; returns whether it was."""
        if not self._has_version(key, version):
            self.release(commit.index)
            return False
        self._write(commit, key, value, ttl_ms)
        return True

    @replace_if_version.restore
    def _restore_version(self, commit: Commit, key: bytes, version: int, value: bytes, ttl_ms: int = 0) -> None:
        self._restore(commit, key, value, ttl_ms)

    # -- removing --------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: bytes) -> bytes | None:
        """Make the key absent; returns the value that was there or None."""
        self.release(commit.index)
        return self.erase("removed", key) if key in self.live else None

    @command(mode=RELEASE)
    def remove_if(self, commit: Commit, key: bytes, expected: bytes) -> bool:
        """Make the key absent if its value is `expected`; returns whether it was."""
        self.release(commit.index)
        if not self._holds(key, expected):
            return False
        self.erase("removed", key)
        return True

    @command(mode=RELEASE)
    def remove_if_version(self, commit: Commit, key: bytes, version: int) -> bool:
        """Make the key absent if its value is of that version; returns whether it was."""
        self.release(commit.index)
        if not self._has_version(key, version):
            return False
        self.erase("removed", key)
        return True

    # -- reading ---------------------------------------------------------------------------------------

    @query
    def get(self, commit: Commit, key: bytes) -> bytes | None:
        """The value of the key, or None."""
        present = self.live.get(key)
        return None if present is None else present[1]

    @query
    def get_versioned(self, commit: Commit, key: bytes) -> list[Any] | None:
        """The value of the key and its version, or None."""
        present = self.live.get(key)
        return None if present is None else [present[1], present[0]]

    @query
    def get_many(self, commit: Commit, *keys: bytes) -> list[bytes | None]:
        """The values of the keys, in their order; None where there is none."""
        return [found and found[1] for found in map(self.live.get, keys)]

    @query
    def contains(self, commit: Commit, key: bytes) -> bool:
        """Whether the key is present."""
        return key in self.live

    @query
    def contains_value(self, commit: Commit, value: bytes) -> bool:
        """Whether any key has this value. Looks at all of them."""
        return any(held == value for _, held in self.live.values())

    @query
    def keys(self, commit: Commit) -> list[bytes]:
        """All keys, in the order of their last write."""
        return list(self.live)

    @query
    def values(self, commit: Commit) -> list[bytes]:
        """The values of all keys, in the order of their last write."""
        return [value for _, value in self.live.values()]

    @query
    def entries(self, commit: Commit) -> list[list[bytes]]:
        """All keys with their values, in the order of their last write."""
        return [[key, value] for key, (_, value) in self.live.items()]
