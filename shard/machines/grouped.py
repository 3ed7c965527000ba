"""What is found by two names, the first of which several things share: by session, or by key."""

from __future__ import annotations

from typing import Generic, TypeVar

G = TypeVar("G")
K = TypeVar("K")
V = TypeVar("V")


class Grouped(dict[G, dict[K, V]], Generic[G, K, V]):
    """Things by group and by what they are called there; a group without any is not in it.

    The order of a group's things is that in which they came; the order of groups means nothing.
    """

    def put(self, group: G, name: K, thing: V) -> None:
        """The group has this."""
        self.setdefault(group, {})[name] = thing

    def drop(self, group: G, name: K) -> None:
        """The group has it no more. Raises KeyError when it had not."""
        things = self[group]
        del things[name]
        if not things:
            del self[group]

    def __repr__(self) -> str:
        groups = sorted((group, list(things.items())) for group, things in self.items())
        return f"{type(self).__name__}({groups})"
