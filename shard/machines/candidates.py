"""Who stands for something that one at a time leads, in order: part of what a machine keeps in its snapshot.

The first in line leads; those behind it follow in their order when it is gone. A machine changes the line as its commands
say, and calls `elect` behind all changes of one entry: if nobody leads and somebody is in line, the first begins a new term,
which is the log index of that entry. So an entry begins one term at most, terms grow strictly, and a term is one candidate's
for ever: whoever leads, goes and comes back in one entry begins another. Timers run before an entry, under its index: they may
take away who waits in line, but not who leads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

Id = bytes


class Leader(NamedTuple):
    """Who leads, and since which entry."""

    id: Id
    term: int


class Candidates:
    """The `line` of candidates, and the `leader`: between two entries the first of them, None while there is nobody.

    `term` is that of the last leader there was, 0 before the first.
    """

    def __init__(self) -> None:
        self.line: OrderedDict[Id, None] = OrderedDict()
        self.leader: Id | None = None
        self.term = 0

    def __len__(self) -> int:
        return len(self.line)

    def __contains__(self, id: Id) -> bool:
        return id in self.line

    def __iter__(self) -> Iterator[Id]:
        """The ids in order, the leader first."""
        return iter(self.line)

    def add(self, id: Id) -> None:
        """A new candidate, at the end."""
        assert id not in self.line, id
        self.line[id] = None

    def remove(self, id: Id) -> None:
        """It stands no more, and leads no more if it did. Raises KeyError when it is no candidate."""
        del self.line[id]
        if self.leader == id:
            self.leader = None

    def anoint(self, id: Id) -> bool:
        """A candidate is to lead at once, and who led comes next; False when it leads already, or is no candidate."""
        if id == self.leader or id not in self.line:
            return False
        self.line.move_to_end(id, last=False)
        self.leader = None
        return True

    def promote(self, id: Id) -> bool:
        """A candidate is to be the next leader; False when it leads or is next already, or is no candidate."""
        if id == self.leader or id not in self.line or id == self.next():
            return False
        self.line.move_to_end(id, last=False)
        if self.leader is not None:
            self.line.move_to_end(self.leader, last=False)
        return True

    def demote(self, id: Id) -> bool:
        """A candidate is to be the last; False when it leads or is last already, or is no candidate."""
        if id == self.leader or id not in self.line or id == next(reversed(self.line)):
            return False
        self.line.move_to_end(id)
        return True

    def next(self) -> Id | None:
        """Who leads when the leader is gone."""
        return next((id for id in self.line if id != self.leader), None)

    def elect(self, index: int) -> bool:
        """Behind all changes of the entry of that index: whether a new term begins with it."""
        if self.leader is not None or not self.line:
            return False
        assert index > self.term, f"term {self.term} cannot be followed by term {index}"
        self.leader, self.term = next(iter(self.line)), index
        return True

    def leadership(self) -> Leader | None:
        """Who leads, or None."""
        return None if self.leader is None else Leader(self.leader, self.term)

    def state(self) -> list[Any]:
        """What `install` takes back, between two entries."""
        return [list(self.line), self.term]

    def install(self, state: Any) -> None:
        """Take what `state` returned. Raises TypeError or ValueError for anything else."""
        ids, term = state
        if type(ids) is not list or type(term) is not int or any(type(id) is not bytes for id in ids):
            raise TypeError(f"candidates are a list of ids and a term, not {state!r:.60}")
        if len(set(ids)) != len(ids) or term < bool(ids):
            raise ValueError(f"candidates are in line once each, and their leader has a term: {state!r:.60}")
        self.line = OrderedDict.fromkeys(ids)
        self.leader, self.term = next(iter(self.line), None), term

    def __repr__(self) -> str:
        return f"Candidates({self.state()!r})"
