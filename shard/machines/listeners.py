"""Which sessions listen to a resource, to all of it or to single keys: part of what a machine keeps in its snapshot.

A machine that has listeners is told of them by its commands `listen` and `unlisten`, drops those of a session that ended,
and publishes to `of(key)`. A session that listens twice to the same is one listener.

Nothing depends on the order in which they came: events are published to sessions in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Key = bytes | None
"""None stands for the whole resource."""

Sessions = dict[int, None]


class Listeners(dict[Key, Sessions]):
    """The sessions by the key they listen to; empty, and so false, when nobody listens. `sessions` are their keys, by session."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[int, dict[Key, None]] = {}

    def listen(self, session: int, key: Key) -> None:
        """The session listens to the key, or to everything. Raises TypeError for what is no key."""
        _check(key)
        self.setdefault(key, {})[session] = None
        self.sessions.setdefault(session, {})[key] = None

    def unlisten(self, session: int, key: Key) -> None:
        """The session listens to the key no more, if it did. Raises TypeError for what is no key."""
        _check(key)
        if session in self.get(key, ()):
            self._drop(session, key)
            del self.sessions[session][key]
            if not self.sessions[session]:
                del self.sessions[session]

    def end(self, session: int) -> None:
        """The session has ended."""
        for key in self.sessions.pop(session, ()):
            self._drop(session, key)

    def _drop(self, session: int, key: Key) -> None:
        sessions = self[key]
        del sessions[session]
        if not sessions:
            del self[key]

    def of(self, key: Key) -> Collection[int]:
        """Who is to be told of a change of the key: those who listen to it or to everything, each once."""
        everything = self.get(None)
        if key is None or key not in self:
            return everything or ()
        return {**everything, **self[key]} if everything else self[key]

    def state(self) -> list[Any]:
        """What `install` takes back; equal for equal listeners."""
        return [[session, sorted(self.sessions[session], key=_place)] for session in sorted(self.sessions)]

    def install(self, state: Any) -> None:
        """Take what `state` returned. Raises TypeError or ValueError for anything else."""
        if type(state) is not list:
            raise TypeError(f"listeners are a list, not {state!r:.60}")
        for session, keys in state:
            if type(session) is not int or type(keys) is not list or not keys:
                raise TypeError(f"a listener is a session with its keys, not {[session, keys]!r:.60}")
            for key in keys:
                self.listen(session, key)
        if self.state() != state:
            raise ValueError(f"listeners come in order and each once: {state!r:.60}")

    def __repr__(self) -> str:
        return f"Listeners({self.state()!r})"


def _check(key: Any) -> None:
    if key is not None and type(key) is not bytes:
        raise TypeError(f"a key is bytes, or None for everything, not {key!r:.60}")


def _place(key: Key) -> tuple[bool, bytes]:
    return key is not None, key or b""
