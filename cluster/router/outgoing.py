"""What a router has for each replica: in the order it came, and a keep-alive not by itself.

Nobody waits for the answer to a keep-alive. It leaves with whatever else goes to its replica, or after KEEP_ALIVE_S, so that
thousands of idle sessions wake a leader some times a second and not for each of them. No clock: times are given.

Invariant: what goes to one replica keeps its order, keep-alives included.
"""

from __future__ import annotations

from math import inf

from ...client.protocol.frames import Item

KEEP_ALIVE_S = 0.05


class Outgoing:
    """Messages to `members` replicas. `due` is when `take` must be called at the latest, inf while nothing waits."""

    def __init__(self, members: int) -> None:
        self.due = inf
        self._items: list[list[Item]] = [[] for _ in range(members)]
        self._leaving: set[int] = set()

    @property
    def leaves(self) -> bool:
        """Whether `take` has something to give whatever the time."""
        return bool(self._leaving)

    def add(self, member: int, item: Item) -> None:
        """To leave with the next `take`."""
        self._items[member].append(item)
        self._leaving.add(member)

    def add_patient(self, member: int, item: Item, now: float) -> None:
        """To leave with the next message to that member, or KEEP_ALIVE_S later."""
        self._items[member].append(item)
        self.due = min(self.due, now + KEEP_ALIVE_S)

    def take(self, now: float) -> list[tuple[int, list[Item]]]:
        """Member and messages, for every member that gets any now."""
        if now >= self.due:
            self.due = inf
            self._leaving.update(member for member, items in enumerate(self._items) if items)
        taken = []
        for member in sorted(self._leaving):
            taken.append((member, self._items[member]))
            self._items[member] = []
        self._leaving.clear()
        return taken
