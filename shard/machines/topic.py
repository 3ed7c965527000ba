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
from typing import ClassVar

from .base import RELEASE, Commit, command, query
from .listened import Listened


class TopicMachine(Listened):
    """Keeps `listeners`."""

    type_name: ClassVar[str] = "topic"

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

    def live_entries(self) -> Iterable[int]:
        """None."""
        return ()

    @query
    def size(self, commit: Commit) -> int:
        """How many sessions listen."""
        return len(self.listeners.sessions)
