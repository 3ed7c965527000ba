"""Who listens to what: listen commands, the way of events to listeners, and beginning again after a session ended.

One per client. Listeners are grouped by (shard, resource) and then by key. Every new listener sends a `listen` command
of its own, whose log index is where it begins; the last one of a key sends `unlisten`. When a session ended and the
client recovers, what is listened to is listened to again under the next session; only when the shard has confirmed that
is the state asked for, so that nothing falls between the state and the events that follow its index.

It owns no thread and no event loop: calls are made through `submit`, and what comes back is given to `take` in the order
of delivery. Every method may be called from any thread; `lock` guards all of it, listeners included.

Invariants: listen and unlisten leave in the order in which listeners came and went; every batch is reported handled once;
a listener asks for one state at a time.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from math import inf
from threading import RLock
from time import monotonic
from typing import Any

from .calls import Call, ClientState, EventBatch, Owner, Resource, StateChange
from .changes import Event, Resync
from .listeners import Listener, Pending, Phase
from .protocol import errors
from .requests import ANSWER, Requests

logger = logging.getLogger("ocelog.client")

CHANGE = "change"
"""The name under which resources publish what happened to them."""

_TRY_AGAIN = (errors.DeadlineExceeded, errors.OutcomeUnknown, errors.SessionExpired)


class Interest:
    """One key of one resource, or all of its keys (None), and who listens to that."""

    __slots__ = ("confirmed", "generation", "key", "listeners", "topic")

    def __init__(self, topic: Topic, key: bytes | None) -> None:
        self.topic = topic
        self.key = key
        self.listeners: list[Listener] = []
        self.confirmed = False
        self.generation = 0


class Topic:
    """One resource that is listened to."""

    __slots__ = ("event_type", "interests", "places", "resource")

    def __init__(self, resource: Resource, event_type: type[Event]) -> None:
        self.resource = resource
        self.event_type = event_type
        self.interests: dict[bytes | None, Interest] = {}
        self.places: list[tuple[int, int]] = []


class ListeningCall(Call):
    """A call that `Listening` made: instead of a waiter, `finish` is told. `generation` is that of the interest then."""

    __slots__ = ("generation", "interest", "listener", "then")

    interest: Interest
    listener: Listener | None
    generation: int
    then: Callable[[ListeningCall], None]


class Listening:
    """The listeners of one client. `timeout` is the deadline of each call, in seconds."""

    def __init__(self, submit: Callable[[Call], None], owner: Owner, timeout: float, *, recovers: bool = True) -> None:
        self.lock = RLock()
        self.requests = Requests()
        self._submit = submit
        self._owner = owner
        self._timeout = timeout
        self._recovers = recovers
        self._ended = False
        self._pid = os.getpid()
        self._topics: dict[tuple[int, str], Topic] = {}
        self._by_index: dict[tuple[int, int], Topic] = {}
        self._abandoned: deque[tuple[Resource, Listener]] = deque()

    # -- listeners -------------------------------------------------------------------------------------

    def open(
        self,
        resource: Resource,
        event_type: type[Event],
        listener: Listener,
        waiter: Callable[[Call], None] | None,
        timeout: float | None = None,
    ) -> Call:
        """Send the listen command of a new listener; `waiter` is called with the call once it listens, or cannot."""
        with self.lock:
            self._reap()
            topic = self._topics.setdefault((resource.shard, resource.name), Topic(resource, event_type))
            interest = topic.interests.setdefault(listener.key, Interest(topic, listener.key))
            interest.listeners.append(listener)
            deadline = None if timeout is None else monotonic() + timeout
            call = self._call(interest, listener.opening(event_type), False, self._opened, listener, deadline)
            call.waiter = waiter
            self._submit(call)
            return call

    def close(self, resource: Resource, listener: Listener, error: Exception | None = None) -> None:
        """The listener takes nothing more; the last one of a key makes the shard forget it."""
        if os.getpid() != self._pid:
            return  # after a fork the lock may be held for ever by a thread of the other process
        with self.lock:
            listener.end(error)
            topic = self._topics.get((resource.shard, resource.name))
            interest = topic.interests.get(listener.key) if topic else None
            if topic is None or interest is None or listener not in interest.listeners:
                return
            interest.listeners.remove(listener)
            if interest.listeners:
                return
            del topic.interests[interest.key]
            if not topic.interests:
                self._forget(topic)
            # Also when listening was not confirmed: the command may be on its way, or have been applied all the same.
            if not self._ended and not (isinstance(error, errors.OcelogError) and error.definite):
                self._submit(self._call(interest, topic.event_type.end(interest.key), False, _nothing, None))

    def abandon(self, resource: Resource, listener: Listener) -> None:
        """The listener's user is gone without closing it. For finalizers: takes no lock, closes it later."""
        self._abandoned.append((resource, listener))

    def want(self, resource: Resource, listener: Listener) -> None:
        """Somebody waits for what the listener has next: if that must be the state, ask for it."""
        with self.lock:
            if listener.phase is Phase.LOST:
                listener.wanting = True
                topic = self._topics.get((resource.shard, resource.name))
                interest = topic.interests.get(listener.key) if topic else None
                if interest is not None and interest.confirmed:
                    self._ask(interest, listener)

    def end(self, error: Exception | None = None) -> None:
        """The client ends: so do all listeners, with this error unless they were closed."""
        with self.lock:
            self._ended = True
            for topic in list(self._topics.values()):
                self._end(topic, error)
        self.requests.fail(None, error or errors.Closed("the client is closed"))

    def _end(self, topic: Topic, error: Exception | None) -> None:
        for interest in list(topic.interests.values()):
            for listener in list(interest.listeners):
                listener.end(error)
        topic.interests.clear()
        self._forget(topic)

    def _forget(self, topic: Topic) -> None:
        self._topics.pop((topic.resource.shard, topic.resource.name), None)
        for place in topic.places:
            if self._by_index.get(place) is topic:
                del self._by_index[place]

    def _reap(self) -> None:
        while self._abandoned:
            self.close(*self._abandoned.popleft())

    def run(self, resource: Resource, parts: tuple[Any, ...], then: Callable[[Call], None]) -> None:
        """A command of the client's own, that nobody waits for: `then` is called with it when it has ended."""
        now = monotonic()
        call = ListeningCall(resource, parts, False, now, now + self._timeout, self._owner, None)
        call.nested = True
        call.then = then
        self._submit(call)

    # -- what is delivered -----------------------------------------------------------------------------

    def take(self, item: object) -> None:
        """What was delivered and is no plain call: a batch of events, a change of a session's state, a call made here."""
        if isinstance(item, EventBatch):
            self._batch(item)
        elif isinstance(item, ListeningCall):
            with self.lock:
                item.then(item)
        elif isinstance(item, StateChange) and item.state is ClientState.EXPIRED:
            text = "the session ended, and with it what waited in it"
            self.requests.holdings.ended(item.shard, item.session)
            self.requests.fail(item.shard, errors.SessionExpired(text, shard=item.shard, session=item.session))
            self._expired(item)

    def _batch(self, batch: EventBatch) -> None:
        with self.lock:
            if self._abandoned:
                self._reap()
            pending = Pending(batch)
            shard = batch.shard
            if batch.error is not None:
                logger.warning("%r cannot be read: %s", batch, batch.error)
                for missing in [topic for (known, _), topic in self._topics.items() if known == shard]:
                    self._missed(missing)
            for resource, name, value in batch.events:
                topic = self._by_index.get((shard, resource))
                if name == ANSWER:
                    self.requests.answered(shard, value)
                elif topic is not None and name == CHANGE:
                    self._dispatch(topic, value, batch.index, pending)
            pending.release()

    def _dispatch(self, topic: Topic, value: Any, index: int, pending: Pending) -> None:
        try:
            event = topic.event_type(value, index)
            size, key = event.size, value[1]
            assert size
        except Exception as error:  # what a machine published is foreign to us, and may be anything
            logger.warning("an event of %r at index %d cannot be used: %s", topic.resource, index, error)
            self._missed(topic)
            return
        for interest in list(topic.interests.values()):
            if interest.key is None or key is None or key == interest.key:
                for listener in list(interest.listeners):
                    listener.offer(event, pending)

    def _missed(self, topic: Topic) -> None:
        """Something happened to the resource, and nobody can tell what: whoever listens gets its state instead."""
        for interest in topic.interests.values():
            for listener in list(interest.listeners):
                listener.lose()
                if listener.phase is Phase.LOST and listener.wants and interest.confirmed:
                    self._ask(interest, listener)

    def _expired(self, change: StateChange) -> None:
        with self.lock:
            self._reap()
            for topic in [topic for (shard, _), topic in self._topics.items() if shard == change.shard]:
                if not self._recovers:
                    text = "the session ended, and with it the events of its resources"
                    error = errors.SessionExpired(text, shard=change.shard, session=change.session)
                    self._end(topic, error)
                    continue
                for interest in topic.interests.values():
                    interest.generation += 1
                    interest.confirmed = False
                    for listener in list(interest.listeners):
                        listener.lose()
                    self._renew(interest)

    def release(self, pending: Pending) -> None:
        """A callback has handled its part of a batch."""
        with self.lock:
            pending.release()

    # -- calls -----------------------------------------------------------------------------------------

    def _call(
        self,
        interest: Interest,
        parts: tuple[Any, ...],
        is_query: bool,
        then: Callable[[ListeningCall], None],
        listener: Listener | None,
        deadline: float | None = None,
    ) -> ListeningCall:
        now = monotonic()
        deadline = now + self._timeout if deadline is None else deadline
        call = ListeningCall(interest.topic.resource, parts, is_query, now, deadline, self._owner, None)
        call.nested = True
        call.interest = interest
        call.generation = interest.generation
        call.listener = listener
        call.then = then
        return call

    def _opened(self, call: ListeningCall) -> None:
        listener = call.listener
        assert listener is not None
        if call.error is None and listener.phase is Phase.OPENING:
            listener.begin(call.index)
            self._confirmed(call.interest)
        elif call.error is not None:
            self.close(call.resource, listener, call.error)
        if call.waiter is not None:
            call.waiter(call)

    def _confirmed(self, interest: Interest) -> None:
        interest.confirmed = True
        resource = interest.topic.resource
        # One that nobody listens to any more by now must not be found again: nothing would ever forget it.
        if resource.index is not None and self._topics.get((resource.shard, resource.name)) is interest.topic:
            place = resource.shard, resource.index
            if self._by_index.get(place) is not interest.topic:
                self._by_index[place] = interest.topic
                interest.topic.places.append(place)

    def _renew(self, interest: Interest) -> None:
        # Until the next session is there, however long that takes: the listeners end with the client or with an error.
        # One that has ended by itself is here until it is closed, and must not begin again.
        for listener in interest.listeners:
            if listener.phase is not Phase.OPENING and listener.phase is not Phase.ENDED:
                begin = listener.opening(interest.topic.event_type)
                self._submit(self._call(interest, begin, False, self._renewed, None, inf))
                return

    def _renewed(self, call: ListeningCall) -> None:
        interest = call.interest
        if call.generation != interest.generation:
            return
        if call.error is None:
            self._confirmed(interest)
            for listener in list(interest.listeners):
                if listener.phase is Phase.LOST and listener.wants:
                    self._ask(interest, listener)
        elif isinstance(call.error, _TRY_AGAIN):
            self._renew(interest)
        else:
            for listener in list(interest.listeners):
                self.close(call.resource, listener, call.error)

    def _ask(self, interest: Interest, listener: Listener) -> None:
        listener.phase = Phase.ASKING
        question = interest.topic.event_type.question(interest.key) if listener.needs_state else _SIZE
        self._submit(self._call(interest, question, True, self._answered, listener))

    def _answered(self, call: ListeningCall) -> None:
        interest, listener = call.interest, call.listener
        assert listener is not None
        if listener.phase is Phase.ASKING and call.generation == interest.generation:
            if call.error is None:
                self._resume(call, interest, listener)
                return
            if isinstance(call.error, errors.Refused) and call.error.code == errors.TOO_LARGE and call.parts != _SIZE:
                # Too large for one answer: the size, which is asked for instead, still tells from which index on events come.
                self._submit(self._call(interest, _SIZE, True, self._answered, listener))
                return
            listener.lose()
            if not isinstance(call.error, _TRY_AGAIN):
                self.close(call.resource, listener, call.error)
        # An answer that came too late, or an error that passes: once more, for whoever still waits.
        if listener.phase is Phase.LOST and listener.wants and interest.confirmed and listener in interest.listeners:
            self._ask(interest, listener)

    def _resume(self, call: ListeningCall, interest: Interest, listener: Listener) -> None:
        try:
            state = None if call.parts == _SIZE else interest.topic.event_type.state_of(interest.key, call.result)
        except Exception as error:  # as with events: what comes from outside may be anything
            self.close(call.resource, listener, errors.OcelogError(f"the state cannot be read: {error}"))
            return
        listener.resume(Resync(state, call.index))


_SIZE = ("size",)


def _nothing(call: ListeningCall) -> None:
    """Whether it was forgotten on the shard matters to nobody: events without listeners are dropped."""
