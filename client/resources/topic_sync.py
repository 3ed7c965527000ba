# Generated from topic.py by generate.py: change that one and run this again.
"""A replicated topic: messages to whoever subscribes at the moment.

    news = client.topic("news")
    news.subscribe(print)
    news.publish({"title": "a"})
    news.publish_and_wait({"title": "b"})

Messages are whatever msgpack holds, but None. Nothing is kept for who is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..changes import Resync
from ..consistency import Consistency
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.values import encode_value
from ..queue_changes import MessageEvent
from ..streams import Events
from .base import Handle, Level, Seconds


class Topic(Handle):
    """The topic of that name. `timeout` is in seconds; None means the client's default.

    Every method raises BadArgument for a message that cannot be encoded, DeadlineExceeded or OutcomeUnknown when the
    timeout passes, SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    def publish(self, message: Any, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Send a message; to how many sessions. It returns when the message is on its way for sure, not when it has come."""
        sessions: int = self._command(("send", encode_value(message)), timeout, consistency)
        return sessions

    def publish_and_wait(self, message: Any, *, timeout: Seconds = None) -> int:
        """Send a message, and wait until every subscriber has handled it; how many sessions that were.

        A callback has handled it when it has returned, a stream when the message is in its buffer, a session that ended in any
        case. Raises EventsPending when the timeout passes before that: the message is on its way all the same.
        """
        return self.publish(message, timeout=timeout, consistency=Consistency.LINEARIZABLE)

    def subscribe(
        self,
        callback: Callable[[MessageEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` with each message from now on (`event.message`), until the subscription is closed.

        A `Resync`, whose state is None, stands for messages that were missed (see `Map.on_change`).
        """
        return self._client.on_change(self.resource, MessageEvent, None, callback, timeout)

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> Events[MessageEvent]:
        """Iterate over the messages from now on: `MessageEvent`, and `Resync`, without a state, where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many messages may wait for their consumer before they are dropped and replaced by a Resync.
        """
        return Events(self._client, self.resource, MessageEvent, None, timeout, buffer)

    def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of sessions that subscribe."""
        size: int = self._query(("size",), timeout, consistency)
        return size
