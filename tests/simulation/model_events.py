"""What the committed log publishes, written a second time: who listens to what, and every session's batches, for ever.

Shares no code with the machines. Whoever is checked is held against `published`, which forgets nothing.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgpack

Events = list[list[Any]]
"""The events of one batch, each [resource, name, value]."""


class ModelEvents:
    """`published[session]` are all batches that a session ever got, as (index, events); `at[index]` those of one entry."""

    def __init__(self) -> None:
        self.published: dict[int, list[tuple[int, Events]]] = defaultdict(list)
        self.at: dict[int, dict[int, Events]] = defaultdict(dict)
        self.listeners: dict[int, dict[int, set[bytes | None]]] = defaultdict(dict)
        self._gathered: dict[int, Events] = {}

    def listen(self, resource: int, session: int, key: bytes | None) -> None:
        """The session listens to this key of the resource, or to all of it."""
        self.listeners[resource].setdefault(session, set()).add(key)

    def unlisten(self, resource: int, session: int, key: bytes | None) -> None:
        """It does no more."""
        keys = self.listeners[resource].get(session, set())
        keys.discard(key)
        if not keys:
            self.listeners[resource].pop(session, None)

    def changed(self, resource: int, kind: str, key: bytes | None, old: Any, new: Any) -> None:
        """A key of a map, or a counter, has changed: whoever listens to it or to everything is told."""
        sessions = [session for session, keys in self.listeners[resource].items() if None in keys or key in keys]
        self.publish(resource, sessions, "change", [kind, key, old, new])

    def cleared(self, resource: int) -> None:
        """All keys are gone at once."""
        self.publish(resource, list(self.listeners[resource]), "change", ["cleared", None, None, None])

    def publish(self, resource: int, sessions: list[int], name: str, value: Any) -> None:
        """The entry being read publishes this."""
        for session in sessions:
            self._gathered.setdefault(session, []).append([resource, name, value])

    def ended(self, session: int) -> None:
        """The session is over; so is what this very entry had published to it."""
        self._gathered.pop(session, None)
        for listeners in self.listeners.values():
            listeners.pop(session, None)

    def take(self, index: int, sessions: dict[int, Any]) -> None:
        """The entry at `index` has been read: what it has published is a batch for every open session of `sessions`."""
        for session, events in self._gathered.items():
            if session in sessions:
                self.published[session].append((index, events))
                self.at[index][session] = events
                sessions[session].publish(index, msgpack.packb(events))
        self._gathered = {}

    def last_before(self, session: int, index: int) -> int:
        """The index of the session's last batch below `index`, 0 if there is none."""
        return max((at for at, _ in self.published.get(session, ()) if at < index), default=0)
