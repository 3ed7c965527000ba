"""The set: values that are there or not, opaque bytes.

    tags = client.set("tags")
    tags.add("red")                # whether it is new
    tags.add("guest", ttl=60)      # for a minute
    tags.contains("red")
    tags.remove("red")             # whether it was there
    tags.on_change(print)          # called with each change from here on

RELEASE: add, whose entry the value lives in (`Members`). remove, remove_many and clear release their victims and themselves.
remove_many takes at most PAGE_ENTRIES_MAX values, so that what listeners are told stays within what is kept for them.

SNAPSHOT: who listens, to all values or to one. A listener gets an event `change` with [kind, value, None, None]; kind is "added",
"removed" or "expired". `clear` publishes one event, ["cleared", None, None, None].
"""

from __future__ import annotations

from typing import ClassVar

from . import paging
from .base import RELEASE, Commit, command, query
from .members import Members


class SetMachine(Members[bytes]):
    """Keeps `live`: value bytes to the index of the live entry, in the order in which they were added, and `listeners`."""

    type_name: ClassVar[str] = "set"

    def tell(self, kind: str, member: bytes) -> None:
        """Publish what happened to a value."""
        self.publish(self.listeners.of(member), "change", [kind, member, None, None])

    def row(self, key: bytes) -> bytes:
        """The value itself."""
        return key

    def row_bytes(self, key: bytes) -> int:
        """Its bytes."""
        return len(key)

    @command(mode=RELEASE)
    def add(self, commit: Commit, value: bytes, ttl_ms: int = 0) -> bool:
        """Add a value, for so many ms of log time or, with 0, for ever; returns whether it is new."""
        return self.add_member(commit, value, ttl_ms)

    @add.restore
    def _restore(self, commit: Commit, value: bytes, ttl_ms: int = 0) -> None:
        self.restore_member(commit, value, ttl_ms)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, value: bytes) -> bool:
        """Remove a value; returns whether it was there."""
        self.release(commit.index)
        if value not in self.live:
            return False
        self.erase("removed", value)
        return True

    @command(mode=RELEASE)
    def remove_many(self, commit: Commit, *values: bytes) -> int:
        """Remove these values in one step; returns how many of them were there."""
        if len(values) > paging.PAGE_ENTRIES_MAX:
            raise ValueError(f"{len(values)} values are too many for one command; at most {paging.PAGE_ENTRIES_MAX}")
        found = [value for value in dict.fromkeys(values) if value in self.live]
        for value in found:
            self.erase("removed", value)
        self.release(commit.index)
        return len(found)

    @query
    def contains(self, commit: Commit, value: bytes) -> bool:
        """Whether the value is there."""
        return value in self.live

    @query
    def contains_many(self, commit: Commit, *values: bytes) -> list[bool]:
        """Of each of the values, whether it is there."""
        return [value in self.live for value in values]

    @query
    def values(self, commit: Commit) -> list[bytes]:
        """All values, in the order in which they were added."""
        return list(self.live)
