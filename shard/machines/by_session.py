"""What belongs to sessions, so that it is found when one ends."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BySession(dict[int, dict[K, V]]):
    """Things by session and by what they are called there; a session without any is not in it.

    The order of a session's things is that in which they came; the order of sessions means nothing.
    """

    def put(self, session: int, name: K, thing: V) -> None:
        """The session has this."""
        self.setdefault(session, {})[name] = thing

    def drop(self, session: int, name: K) -> None:
        """The session has it no more. Raises KeyError when it had not."""
        things = self[session]
        del things[name]
        if not things:
            del self[session]

    def __repr__(self) -> str:
        return f"BySession({sorted((session, list(things.items())) for session, things in self.items())})"
