"""What the machines share that somebody may listen to, and that keep nothing else of sessions.

SNAPSHOT: who listens, to all of it or, where there are keys, to one; a session that ends listens no more. A listener gets an
event `change` with [kind, key, old, new]; what that says is the machine's.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .base import SNAPSHOT, Commit, StateMachine, command
from .listeners import Listeners


class Listened(StateMachine):
    """Keeps `listeners`, and nothing else in the snapshot unless the machine says so."""

    has_keys: ClassVar[bool] = False
    """Whether there are keys to listen to."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners = Listeners()

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets an event for every change of the key, or of everything, from here on."""
        self._check(key)
        self.listeners.listen(commit.session, key)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets no more of those that `listen` with the same key asked for."""
        self._check(key)
        self.listeners.unlisten(commit.session, key)

    def _check(self, key: Any) -> None:
        if key is not None and not self.has_keys:
            raise TypeError(f"a {self.type_name} has no keys, such as {key!r:.60}")

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended listens no more."""
        self.listeners.end(commit.session)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only who listens leaves anything behind."""
        return session in self.listeners.sessions

    def snapshot(self) -> Any:
        """Who listens; all else is in the live entries."""
        return self.listeners.state()

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        self.listeners.install(state)
