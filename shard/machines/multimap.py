"""The multimap: keys with any number of different values each, all of them opaque bytes.

    members = client.multimap("members")
    members.put("reds", "ada")            # whether that is new
    members.put("reds", "bob", ttl=60)    # for a minute
    members.get("reds")                   # ["ada", "bob"]
    members.remove_entry("reds", "ada")   # whether it was there
    members.remove("reds")                # all its values
    members.on_change(print)              # called with each change from here on

RELEASE: put, whose entry one key with one value lives in (`Members`): putting what is there changes nothing. The removing
commands and clear release their victims and themselves. Those that remove many at once take so many that what they answer,
and what listeners are told, fits a message, and are repeated until nothing is left. A key is there as long as it has a
value, whatever ended the others: nothing else is kept of it. Keys are in the order of the oldest value that each still
has, and its values in the order in which they were put, so both follow from the live entries.

SNAPSHOT: who listens, to all keys or to one. A listener gets an event `change` with [kind, key, old, new]: "added" with the new
value; "removed" and "expired" with the old one; "cleared", without key and value, when everything was removed.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, ClassVar

from .base import RELEASE, Commit, command, query
from .grouped import Grouped
from .members import Members
from .paging import Room

REMOVED_BYTES_MAX = 1024 * 1024
"""Bytes of values that one `remove` takes and answers with, unless it is a single one."""

Entry = tuple[bytes, bytes]
"""A key and one of its values."""


class MultimapMachine(Members[Entry]):
    """Keeps `live`: (key, value) to the index of the live entry, in the order of putting, the same by key, and `listeners`."""

    type_name: ClassVar[str] = "multimap"

    def __init__(self) -> None:
        super().__init__()
        self.by_key: Grouped[bytes, bytes, None] = Grouped()

    def tell(self, kind: str, member: Entry) -> None:
        """Publish what happened to an entry."""
        key, value = member
        fields = [kind, key, None, value] if kind == "added" else [kind, key, value, None]
        self.publish(self.listeners.of(key), "change", fields)

    def row(self, key: Entry) -> Entry:
        """The key and the value."""
        return key

    def row_bytes(self, key: Entry) -> int:
        """The bytes of both."""
        return len(key[0]) + len(key[1])

    def erase(self, kind: str, member: Entry) -> None:
        """The entry is there no more."""
        super().erase(kind, member)
        self.by_key.drop(*member)

    def forget_all(self) -> None:
        """Make `live` and `by_key` empty."""
        super().forget_all()
        self.by_key.clear()

    def expire(self, commit: Commit, key: Any) -> None:
        """The time to live of an entry is over; a timer's arguments come as lists."""
        super().expire(commit, tuple(key))

    # -- changing --------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int = 0) -> bool:
        """Give the key one more value, for so many ms of log time or, with 0, for ever; returns whether that is new."""
        is_new = self.add_member(commit, (key, value), ttl_ms)
        if is_new:
            self.by_key.put(key, value, None)
        return is_new

    @put.restore
    def _restore(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int = 0) -> None:
        self.restore_member(commit, (key, value), ttl_ms)
        self.by_key.put(key, value, None)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: bytes) -> list[Any]:
        """Remove the key's values, as many as fit: whether none is left, and those that it had."""
        self.release(commit.index)
        there = self.by_key.get(key, {})
        room = Room(size=REMOVED_BYTES_MAX)
        values = list(takewhile(lambda value: room.take(len(value)), there))
        is_last = len(values) == len(there)
        for value in values:
            self.erase("removed", (key, value))
        return [is_last, values]

    @command(mode=RELEASE)
    def remove_entry(self, commit: Commit, key: bytes, value: bytes) -> bool:
        """Take this value from the key; returns whether it had it."""
        self.release(commit.index)
        if (key, value) not in self.live:
            return False
        self.erase("removed", (key, value))
        return True

    @command(mode=RELEASE)
    def remove_value(self, commit: Commit, value: bytes, after: int = 0) -> list[Any]:
        """Take this value from the keys that got it behind the index `after`, as many as a page holds.

        Returns whether none is left behind the next index to go on with, that index, and how many had it. Looks at all.
        """
        self.release(commit.index)
        room, found, last, is_last = Room(), [], after, True
        for entry, index in self._paging.behind(after):
            if entry[1] == value:
                if not room.take(self.row_bytes(entry)):
                    is_last = False
                    break
                found.append(entry)
                last = index
        for entry in found:
            self.erase("removed", entry)
        if is_last:
            self._paging.forget()
        return [is_last, last, len(found)]

    # -- reading ---------------------------------------------------------------------------------------

    @query
    def get(self, commit: Commit, key: bytes) -> list[bytes]:
        """The values of the key, in the order in which they were put."""
        return list(self.by_key.get(key, ()))

    @query
    def count(self, commit: Commit, key: bytes) -> int:
        """How many values the key has."""
        return len(self.by_key.get(key, ()))

    @query
    def contains_key(self, commit: Commit, key: bytes) -> bool:
        """Whether the key has a value."""
        return key in self.by_key

    @query
    def contains_entry(self, commit: Commit, key: bytes, value: bytes) -> bool:
        """Whether the key has this value."""
        return (key, value) in self.live

    @query
    def contains_value(self, commit: Commit, value: bytes) -> bool:
        """Whether any key has this value. Looks at all of them."""
        return any(value in values for values in self.by_key.values())

    @query
    def keys(self, commit: Commit) -> list[bytes]:
        """All keys, each once, in the order of the oldest value that each has."""
        return list(dict.fromkeys(key for key, _ in self.live))

    @query
    def entries(self, commit: Commit) -> list[Entry]:
        """All keys with their values, in the order in which they were put."""
        return list(self.live)
