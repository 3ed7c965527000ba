"""The map: keys to values, both opaque bytes.

    users = client.map("users")
    users.put("ada", {"born": 1815})      # the previous value, or None
    users.get("ada")
    users.put_if_absent("ada", 1)         # the value that is there, or None when it was put
    users.remove("ada")
    users.on_change(print)                # called with each change from here on

RELEASE: put, put_if_absent and replace live in their own entry, one key each, which is released when the key is
overwritten or removed; one that changed nothing is released at once. remove and clear release their victims and
themselves. Restoring the live entries in index order is right because each live entry is the last write of its key, and
each key has exactly one; conditional writes take their condition as met, since only an entry whose effect is in the state
is live (what a `replace` replaced is gone from the log, what kept a `put_if_absent` out never was in it). Iteration is in
order of live indexes: an overwrite re-inserts its key, so restoring inserts the keys in the same order.

SNAPSHOT: who listens, to all keys or to one. A listener gets an event `change` with [kind, key, old, new] when a key has
changed; kind is "added", "updated", or "removed", and old or new None where the key was or is absent. `clear` publishes one
event to everybody, ["cleared", None, None, None], unless there was nothing to clear.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, ClassVar

from .base import RELEASE, SNAPSHOT, Commit, StateMachine, command, query
from .listeners import Listeners


class MapMachine(StateMachine):
    """Keeps `live`: key bytes to (index of the live entry, value bytes), and `listeners`."""

    type_name: ClassVar[str] = "map"

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[bytes, tuple[int, bytes]] = {}
        self.listeners = Listeners()

    def _changed(self, kind: str, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Tell whoever listens; called only where somebody does, so that others pay nothing for it."""
        self.publish(self.listeners.of(key), "change", [kind, key, old, new])

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key; returns the previous value or None."""
        previous = self.live.pop(key, None)
        self.live[key] = (commit.index, value)
        if previous is None:
            if self.listeners:
                self._changed("added", key, None, value)
            return None
        self.release(previous[0])
        if self.listeners:
            self._changed("updated", key, previous[1], value)
        return previous[1]

    @command(mode=RELEASE)
    def put_if_absent(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key if it is absent; returns the value that was there, or None when it was set."""
        present = self.live.get(key)
        if present is not None:
            self.release(commit.index)
            return present[1]
        self.live[key] = (commit.index, value)
        if self.listeners:
            self._changed("added", key, None, value)
        return None

    @command(mode=RELEASE)
    def replace(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key if it is present; returns the previous value, or None when nothing was done."""
        if key not in self.live:
            self.release(commit.index)
            return None
        previous = self.live.pop(key)
        self.live[key] = (commit.index, value)
        self.release(previous[0])
        if self.listeners:
            self._changed("updated", key, previous[1], value)
        return previous[1]

    @put.restore
    @put_if_absent.restore
    @replace.restore
    def _restore(self, commit: Commit, key: bytes, value: bytes) -> None:
        if key in self.live:
            raise ValueError(f"key {key!r:.60} has a second live entry, beside that of index {self.live[key][0]}")
        self.live[key] = (commit.index, value)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: bytes) -> bytes | None:
        """Make the key absent; returns the value that was there or None."""
        self.release(commit.index)
        previous = self.live.pop(key, None)
        if previous is None:
            return None
        self.release(previous[0])
        if self.listeners:
            self._changed("removed", key, previous[1], None)
        return previous[1]

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> None:
        """Make every key absent."""
        for index, _ in self.live.values():
            self.release(index)
        self.release(commit.index)
        if self.listeners and self.live:
            self.publish(self.listeners.sessions, "change", ["cleared", None, None, None])
        self.live = {}

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets an event for every change of the key, or of any key, from here on."""
        self.listeners.listen(commit.session, key)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets no more of those that `listen` with the same key asked for."""
        self.listeners.unlisten(commit.session, key)

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended listens no more."""
        self.listeners.end(commit.session)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only who listens leaves anything behind."""
        return session in self.listeners.sessions

    def snapshot(self) -> Any:
        """Who listens; the values are in their live entries."""
        return self.listeners.state()

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        self.listeners.install(state)

    def live_entries(self) -> Iterable[int]:
        """One entry for each key."""
        return (index for index, _ in self.live.values())

    @query
    def get(self, commit: Commit, key: bytes) -> bytes | None:
        """The value of the key, or None."""
        present = self.live.get(key)
        return None if present is None else present[1]

    @query
    def contains(self, commit: Commit, key: bytes) -> bool:
        """Whether the key is present."""
        return key in self.live

    @query
    def size(self, commit: Commit) -> int:
        """How many keys are present."""
        return len(self.live)

    @query
    def keys(self, commit: Commit) -> builtins.list[bytes]:
        """All keys, in the order of their last write."""
        return list(self.live)

    @query
    def entries(self, commit: Commit) -> builtins.list[builtins.list[bytes]]:
        """All keys with their values, in the order of their last write."""
        return [[key, value] for key, (_, value) in self.live.items()]
