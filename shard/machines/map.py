"""The map: keys to values, both opaque bytes.

    users = client.map("users")
    users.put("ada", {"born": 1815})      # the previous value, or None
    users.get("ada")
    users.put_if_absent("ada", 1)         # the value that is there, or None when it was put
    users.remove("ada")

RELEASE: put, put_if_absent and replace live in their own entry, one key each, which is released when the key is
overwritten or removed; one that changed nothing is released at once. remove and clear release their victims and
themselves. Restoring the live entries in index order is right because each live entry is the last write of its key, and
each key has exactly one; conditional writes take their condition as met, since only an entry whose effect is in the state
is live (what a `replace` replaced is gone from the log, what kept a `put_if_absent` out never was in it). Iteration is in
order of live indexes: an overwrite re-inserts its key, so restoring inserts the keys in the same order.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import ClassVar

from .base import RELEASE, Commit, StateMachine, command, query


class MapMachine(StateMachine):
    """Keeps `entries`: key bytes to (index of the live entry, value bytes)."""

    type_name: ClassVar[str] = "map"

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[bytes, tuple[int, bytes]] = {}

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key; returns the previous value or None."""
        previous = self.entries.pop(key, None)
        self.entries[key] = (commit.index, value)
        if previous is None:
            return None
        self.release(previous[0])
        return previous[1]

    @command(mode=RELEASE)
    def put_if_absent(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key if it is absent; returns the value that was there, or None when it was set."""
        present = self.entries.get(key)
        if present is not None:
            self.release(commit.index)
            return present[1]
        self.entries[key] = (commit.index, value)
        return None

    @command(mode=RELEASE)
    def replace(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key if it is present; returns the previous value, or None when nothing was done."""
        if key not in self.entries:
            self.release(commit.index)
            return None
        previous = self.entries.pop(key)
        self.entries[key] = (commit.index, value)
        self.release(previous[0])
        return previous[1]

    @put.restore
    @put_if_absent.restore
    @replace.restore
    def _restore(self, commit: Commit, key: bytes, value: bytes) -> None:
        if key in self.entries:
            raise ValueError(f"key {key!r:.60} has a second live entry, beside that of index {self.entries[key][0]}")
        self.entries[key] = (commit.index, value)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: bytes) -> bytes | None:
        """Make the key absent; returns the value that was there or None."""
        self.release(commit.index)
        previous = self.entries.pop(key, None)
        if previous is None:
            return None
        self.release(previous[0])
        return previous[1]

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> None:
        """Make every key absent."""
        for index, _ in self.entries.values():
            self.release(index)
        self.release(commit.index)
        self.entries = {}

    def live_entries(self) -> Iterable[int]:
        """One entry for each key."""
        return (index for index, _ in self.entries.values())

    @query
    def get(self, commit: Commit, key: bytes) -> bytes | None:
        """The value of the key, or None."""
        present = self.entries.get(key)
        return None if present is None else present[1]

    @query
    def contains(self, commit: Commit, key: bytes) -> bool:
        """Whether the key is present."""
        return key in self.entries

    @query
    def size(self, commit: Commit) -> int:
        """How many keys are present."""
        return len(self.entries)

    @query
    def keys(self, commit: Commit) -> builtins.list[bytes]:
        """All keys, in the order of their last write."""
        return list(self.entries)
