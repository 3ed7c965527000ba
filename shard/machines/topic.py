"""The topic: messages to whoever listens at the moment.

    news = client.topic("news")
    news.subscribe(print)                 # called with each message from here on
    news.publish({"title": "a"})          # to how many sessions it went
    news.publish_and_wait({"title": "b"}) # returns when every one of them has handled it

RELEASE: publish, which is released at once: a message is in the events of the sessions it went to, and nowhere else. So none
is kept for who is not there, and there is nothing to restore. SNAPSHOT: who listens.

A listener gets an event `change` with ["published", None, None, message].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from .base import RELEASE, SNAPSHOT, Commit, StateMachine, command, query
from .listeners import Listeners


class TopicMachine(StateMachine):
    """Keeps `listeners`."""

    type_name: ClassVar[str] = "topic"

    def __init__(self) -> None:
        super().__init__()
        self.listeners = Listeners()

    @command(mode=RELEASE)
    def send(self, commit: Commit, message: bytes) -> int:
        """Send a message to every session that listens; how many."""
        if type(message) is not bytes:
            raise TypeError(f"a message is bytes, not {message!r:.60}")
        self.release(commit.index)
        sessions = self.listeners.sessions
        if sessions:
            self.publish(sessions, "change", ["published", None, None, message])
        return len(sessions)

    @send.restore
    def _restore(self, commit: Commit, message: bytes) -> None:
        raise ValueError(f"a message of a topic is never live, as entry {commit.index} is")

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets every message from here on."""
        _check_key(key)
        self.listeners.listen(commit.session, None)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: bytes | None = None) -> None:
        """The session gets no more of them."""
        _check_key(key)
        self.listeners.unlisten(commit.session, None)

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended listens no more."""
        self.listeners.end(commit.session)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only who listens leaves anything behind."""
        return session in self.listeners.sessions

    def snapshot(self) -> Any:
        """Who listens."""
        return self.listeners.state()

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        self.listeners.install(state)

    def live_entries(self) -> Iterable[int]:
        """None."""
        return ()

    @query
    def size(self, commit: Commit) -> int:
        """How many sessions listen."""
        return len(self.listeners.sessions)


def _check_key(key: Any) -> None:
    if key is not None:
        raise TypeError(f"a topic has no keys, such as {key!r:.60}")
