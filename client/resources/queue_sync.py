# Generated from queue.py by generate.py: change that one and run this again.
"""A replicated queue: first in, first out.

    jobs = client.queue("jobs")
    jobs.offer({"page": 7})
    head = jobs.poll()
    job = jobs.take(timeout=5)
    jobs.on_change(print)

Items are whatever msgpack holds, but None. All items of one queue live on one shard. An item is given to one consumer, once
(at most once); work that must be repeated when its worker is lost belongs in a task queue. Reads are linearizable unless
`consistency` or `with_consistency` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..changes import Resync
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import EventsPending
from ..protocol.values import decode, encode_value
from ..queue_changes import QueueEvent
from ..streams import Events
from .base import Handle, Level, Seconds


class Queue(Handle):
    """The queue of that name. `timeout` is in seconds; None means the client's default.

    `consistency` is `ocelog.LINEARIZABLE`, `BOUNDED_LINEARIZABLE`, `SEQUENTIAL` or `CAUSAL` for a query, LINEARIZABLE (wait
    until every listener has handled the change) or SEQUENTIAL for a command; None means the handle's.

    Every method raises BadArgument for an item that cannot be encoded, DeadlineExceeded or OutcomeUnknown when the
    timeout passes (EventsPending when only listeners are waited for), SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    def offer(self, item: Any, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Add an item at the end."""
        self._command(("offer", encode_value(item)), timeout, consistency)

    def poll(self, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """Take the head without waiting for one; None when the queue is empty.

        A call that gives up (OutcomeUnknown, or cancelled) may have taken an item that nobody gets; `take` would put it back.
        """
        try:
            item = self._command(("poll",), timeout, consistency)
        except EventsPending as pending:
            pending.result = decode(pending.result) if isinstance(pending.result, bytes) else None
            raise
        return None if item is None else decode(item)

    def take(self, *, timeout: Seconds = None) -> Any:
        """Take the head, and wait for one if the queue is empty: `timeout` seconds, math.inf for ever, 0 not at all.

        None when none came in time. Who waits longest is served first, and is woken by the item, not by asking again. A call
        that is cancelled puts back what it may have got, to the head. Only what was on its way to a session that ends is lost.
        """
        requests, resource = self._client.listening.requests, self.resource
        arrived = requests.take_arrived(resource.shard, resource.name)
        try:
            taken = self._request("take", arrived, wait=timeout)
        except BaseException:
            requests.arrived(resource.shard, resource.name, *arrived)  # it may not have been told
            raise
        if taken is None:
            return None
        index, item = taken
        requests.arrived(resource.shard, resource.name, index)
        return decode(item)

    def peek(self, *, timeout: Seconds = None, consistency: Level = None) -> Any:
        """The head, which stays; None when the queue is empty."""
        item = self._query(("peek",), timeout, consistency)
        return None if item is None else decode(item)

    def remove(self, item: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Remove the first item that is equal; whether there was one. Costs the shard a look at each item before it."""
        removed: bool = self._command(("remove", encode_value(item)), timeout, consistency)
        return removed

    def contains(self, item: Any, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether an equal item is there."""
        found: bool = self._query(("contains", encode_value(item)), timeout, consistency)
        return found

    def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of items."""
        size: int = self._query(("size",), timeout, consistency)
        return size

    def is_empty(self, *, timeout: Seconds = None, consistency: Level = None) -> bool:
        """Whether there is no item."""
        return self.size(timeout=timeout, consistency=consistency) == 0

    def clear(self, *, timeout: Seconds = None, consistency: Level = None) -> None:
        """Remove all items."""
        self._command(("clear",), timeout, consistency)

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> Events[QueueEvent]:
        """Iterate over the changes from now on: `QueueEvent`, and `Resync` (a list of items) where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        return Events(self._client, self.resource, QueueEvent, None, timeout, buffer)

    def on_change(
        self,
        callback: Callable[[QueueEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` for each change from now on, until the subscription is closed (see `Map.on_change`)."""
        return self._client.on_change(self.resource, QueueEvent, None, callback, timeout)
