"""What is there or not, and is never written over: what sets and multimaps share.

RELEASE: adding. A member lives in the entry that added it, until it is removed or its time to live is over. Adding what is there
changes nothing, not even its time to live, and is released at once; so each member has exactly one live entry, and the members
are in the order in which they came. Restoring those entries in index order is right without looking whether the member
was there: had it been, the entry would not be live.
"""

from __future__ import annotations

from operator import index
from typing import Any

from .base import Commit
from .keyed import Keyed
from .paging import K
from .ttl import due_ms


class Members(Keyed[K, int]):
    """Keeps `live`: each member to the index of its live entry."""

    def __init__(self) -> None:
        super().__init__(index)

    def tell(self, kind: str, member: K) -> None:
        """Publish what happened to a member; called only where somebody listens, so that others pay nothing for it."""
        raise NotImplementedError

    def add_member(self, commit: Commit, member: K, ttl_ms: int) -> bool:
        """Add it, for so many ms of log time or, with 0, for ever, unless it is there; returns whether it was added."""
        due = due_ms(commit, ttl_ms)
        if member in self.live:
            self.release(commit.index)
            return False
        if due:
            self.schedule(due, "expire", member)
        self.live[member] = commit.index
        if self.listeners:
            self.tell("added", member)
        return True

    def restore_member(self, commit: Commit, member: K, ttl_ms: int) -> None:
        """Put a live entry's member back. Raises ValueError when it is there already."""
        if member in self.live:
            raise ValueError(f"{member!r:.60} has a second live entry, beside that of index {self.live[member]}")
        self.live[member] = commit.index
        due = due_ms(commit, ttl_ms)
        if due:
            self.schedule(due, "expire", member)

    def erase(self, kind: str, member: Any) -> None:
        """The member is there no more: release its entry, tell whoever listens."""
        self.release(self.live.pop(member))
        if self.listeners:
            self.tell(kind, member)
