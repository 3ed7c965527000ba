"""The one thread of a client that looks after its socket, its sessions, its keep-alives and its retries.

Calls are handed over through a deque and at most one wake-up per batch; finished ones go back to their owners, once
per batch each. The thread holds no reference to the client, so a forgotten client is collected and its thread ends.

An owner that can wait for a descriptor (an event loop) may *share* the work: it then reads and sends in its own thread, which
spares two changes of thread per call, and what takes long or is a matter of time stays with this one. Both take turns under
a lock, and the thread does all of it when the owner does not come.

Invariant: every call handed over is delivered exactly once or was given up, also when the thread ends for
whatever reason: nobody waits for ever.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from math import inf
from random import Random
from time import monotonic
from typing import Any

from .backoff import Once
from .calls import Call, ClientState, Delivery, EventBatch, Owner, Resource, StateChange
from .connection import Connection
from .options import Options
from .protocol.errors import Closed, ConnectFailed
from .protocol.frames import NO_SHARD, BadFrame
from .sessions import Sessions
from .transport import ZmqTransport

logger = logging.getLogger("ocelog.client")

CLOSE_SECONDS = 2.0
"""Closing waits at most so long for the shards to confirm."""

_NO_SHARD = NO_SHARD.to_bytes(2, "little")

EARLY_SECONDS = 0.3
"""So much before it has to, the thread looks again while others take turns (see `IoThread._to_sleep_until`)."""

READS_MAX = 256
"""Messages read in one turn, so that a flood of answers does not hold up what waits to be sent."""


class IoThread:
    """Drives one client's connection and sessions. Public methods may be called from any thread of this process."""

    def __init__(self, options: Options) -> None:
        self.ready: Future[Connection] = Future()
        self.ended: Future[None] = Future()
        self.pid = os.getpid()
        random = Random(os.urandom(16))
        self._transport = ZmqTransport()
        self.connection = Connection(options.endpoints, self._transport, random, options.retry)
        self._sessions = Sessions(
            random,
            client_id=options.client_id,
            timeout=options.session_timeout,
            recovery=options.recovery,
            retry=options.retry,
        )
        self._once = isinstance(options.retry, Once)
        self._rounds = 0
        self._started = monotonic()
        self._connect_by = self._started + options.timeout
        self._close_by = inf
        self._close_after: float | None = None
        self.owner: Owner | None = None
        self.states: dict[int, ClientState] = {}
        self._calls: deque[Call] = deque()
        self._questions: deque[Call] = deque()
        self._given_up: deque[Call] = deque()
        self._handled: deque[EventBatch] = deque()
        self._nudge: Callable[[], None] = self.signal
        self._sessions.outbox.batch_done = self._batch_done
        self._signalled = False
        self._stopped = False
        self._turns = threading.Lock()
        self._shared = False
        self._sleeps_until = self._asked_for = -inf
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="ocelog-client", daemon=True).start()

    # -- any thread ------------------------------------------------------------------------------------

    def submit(self, calls: Sequence[Call]) -> None:
        """Hand calls over; they are delivered to their owners later, never from within this method."""
        self._calls.extend(calls)
        self.signal()

    def share(self, watch: Callable[[int], None], nudge: Callable[[], None]) -> int | None:
        """The owner will call `turn` whenever the descriptor given to `watch` is readable, and when `nudge` was called.

        That is called in any thread, when there is something for such a turn to take. Returns the descriptor, which the owner
        closes when `ended` is done; None, and nothing has changed, where there is none or `watch` raises NotImplementedError.
        """
        with self._turns:
            descriptor = None if self._stopped else self._transport.share(watch)
            if descriptor is not None:
                self._nudge = nudge
                self._shared = True
        self._transport.wake()  # it sleeps with what it watched before
        return descriptor

    def turn(self, calls: Sequence[Call] = ()) -> None:
        """Take these calls, send what can be sent and read what has come, in the thread of the caller, if the thread leaves off.

        Whatever may take long (an endpoint's name to be looked up) is left to the thread, and so is all the rest while it is
        in a turn itself.
        """
        self._calls.extend(calls)
        if self._stopped or self.pid != os.getpid() or not self._turns.acquire(blocking=False):
            self.signal()
            return
        try:
            now = monotonic()
            if self._stopped or now >= self.connection.wake_at:
                self.signal()
                return
            self._take(now)
            unread = not calls and self._read_messages(now)
            self._sessions.tick(now)
            if self._send():
                unread = self._transport.readable  # nothing else will tell
            self._deliver()
            if unread:
                self._nudge()
            wake_at = self._wake_at()
            if wake_at < self._sleeps_until or self._sessions.wants_router or self._is_closed(now):
                self._sleeps_until = self._asked_for = wake_at
                self.signal()
        except BaseException as error:  # also a KeyboardInterrupt: what it has cut short is not to be gone on with
            self._error = error
            self.signal()
            raise
        finally:
            self._turns.release()

    def outcome(
        self, shard: int, session: int, key: bytes, sequence: int, deadline: float, owner: Owner, waiter: Any
    ) -> Call:
        """Ask what became of a sequence of any session; the call's result is a `protocol.outcomes.Outcome`."""
        parts = ("outcome", session, key, sequence)
        call = Call(Resource("", "shard", shard), parts, True, monotonic(), deadline, owner, waiter)
        self._questions.append(call)
        self._nudge()
        return call

    def _batch_done(self, batch: EventBatch) -> None:
        self._handled.append(batch)
        self._nudge()

    def give_up(self, call: Call) -> None:
        """Nobody waits for this call any more."""
        self._given_up.append(call)
        self._nudge()

    def close(self, timeout: float) -> None:
        """Begin to close; `ended` is done when it is over, at most `timeout` seconds (and CLOSE_SECONDS) later."""
        if self._close_after is None:
            self._close_after = min(timeout, CLOSE_SECONDS)
        self.signal()

    def forget(self) -> None:
        """The client was garbage-collected, or the interpreter exits: end without making anybody wait."""
        if self.pid == os.getpid():
            self.close(CLOSE_SECONDS)

    @property
    def usable(self) -> bool:
        """Whether calls are still taken, in this process."""
        return self._close_after is None and not self._stopped and self.pid == os.getpid()

    def why_unusable(self) -> Closed:
        """What to tell a caller whose call is not taken."""
        if self.pid != os.getpid():
            return Closed("this client was made by another process; connect again after a fork", made_by=self.pid)
        return Closed("the client is closed")

    def signal(self) -> None:
        """Let the thread take a turn."""
        if self._stopped:
            self._fail_leftovers()
        elif not self._signalled:
            self._signalled = True
            self._transport.wake()

    # -- the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            over = False
            while not over:
                spoke = self._transport.wait(self._sleeps_until - monotonic())
                with self._turns:
                    over = self._turn(spoke)
                    self._sleeps_until = self._to_sleep_until()
        except Exception:  # a bug must not leave callers waiting for ever
            logger.exception("the client's I/O thread stops")
        finally:
            with self._turns:
                self._stopped = True
                self._sessions.abandon(monotonic())
                self._deliver()
                self._fail_leftovers()
                if not self.ready.done():
                    self.ready.set_exception(Closed("the client was closed before a router answered"))
                self._transport.destroy()
            self.ended.set_result(None)

    def _turn(self, spoke: bool) -> bool:
        """Read, decide, send, deliver; True when the thread is to end."""
        if self._error is not None:
            raise RuntimeError("a turn of the client's owner was cut short") from self._error
        now = monotonic()
        # Cleared before the deque is drained: a call that comes later signals again, so none is overlooked.
        self._signalled = False
        self._take(now)
        if spoke:
            self._read(now)
        self.connection.tick(now)
        if self.connection.rounds != self._rounds:
            self._round_over()
        self._sessions.tick(now)
        if self._sessions.wants_router:
            self._change_router(now)
        if self._send() and self._transport.readable:
            self.signal()  # nothing else will tell
        self._deliver()
        return self._is_over(now)

    def _round_over(self) -> None:
        self._rounds = self.connection.rounds
        if self._rounds:
            self._sessions.unreachable()

    def _change_router(self, now: float) -> None:
        self._sessions.wants_router = False
        self.connection.move_on(now)
        if not self.connection.ready:
            self._sessions.disconnected()

    def _wake_at(self) -> float:
        connect_by = inf if self.ready.done() else self._connect_by
        return min(self.connection.wake_at, self._sessions.wake_at(), connect_by, self._close_by)

    def _to_sleep_until(self) -> float:
        """Until when the thread sleeps.

        What others send in their turns is to be repeated unless it is answered, a second later or so, and it mostly is answered.
        So that they need not wake the thread for each, it comes when it was last asked for, though there may be nothing to do any
        more, and a little earlier than that.
        """
        wake_at, now = self._wake_at(), monotonic()
        if self._asked_for > now:
            wake_at = min(wake_at, self._asked_for)
        return wake_at - EARLY_SECONDS if self._shared and wake_at > now + 2 * EARLY_SECONDS else wake_at

    def _take(self, now: float) -> None:
        calls, submit = self._calls, self._sessions.submit
        while calls:
            submit(calls.popleft(), now)
        while self._handled:
            self._sessions.handled(self._handled.popleft(), now)
        while self._questions:
            self._sessions.ask(self._questions.popleft(), now)
        while self._given_up:
            self._sessions.give_up(self._given_up.popleft(), now)
        if self._close_after is not None and self._close_by == inf:
            self._close_by = now + self._close_after
            self._sessions.close(now)

    def _read(self, now: float) -> None:
        self._read_messages(now)
        was_ready = self.connection.ready
        while (event := self._transport.event()) is not None:
            self.connection.event(event, now)
        if was_ready and not self.connection.ready:
            self._sessions.disconnected()

    def _read_messages(self, now: float) -> bool:
        """Read messages; whether there may be more."""
        for _ in range(READS_MAX):
            message = self._transport.receive()
            if message is None:
                return False
            if message[0][2:4] == _NO_SHARD:
                self._read_unsharded(message, now)
            else:
                self._sessions.receive(message, now)
        return True

    def _read_unsharded(self, message: list[bytes], now: float) -> None:
        try:
            connected = self.connection.receive(message, now)
        except BadFrame as error:
            logger.warning("a message from the router cannot be read: %s", error)
            return
        if connected:
            self._sessions.connected(self.connection.endpoint, self.connection.number, now)
            if not self.ready.done():
                self.ready.set_result(self.connection)

    def _send(self) -> bool:
        """Send what there is to be sent; whether there was anything."""
        messages = self._sessions.outbox.messages
        if not messages:
            return False
        for message in messages:
            self._transport.send(message)
        messages.clear()
        return True

    def _deliver(self) -> None:
        finished = self._sessions.outbox.finished
        if not finished:
            return
        self._sessions.outbox.finished = []
        by_owner: dict[Owner, list[Delivery]] = {}
        for item in finished:
            owner = item.owner
            if owner is None:
                self._note(item)
                owner = self.owner
                if owner is None:
                    continue
            by_owner.setdefault(owner, []).append(item)
        for owner, items in by_owner.items():
            owner.deliver(items)

    def _note(self, item: Delivery) -> None:
        """Something for the owner of the client; where there is none, nobody can have missed an event."""
        if isinstance(item, StateChange):
            self.states = {**self.states, item.shard: item.state}
        elif isinstance(item, EventBatch):
            if self.owner is None:
                item.done()
        else:
            raise AssertionError(f"{item} has nobody to be delivered to")

    def _is_over(self, now: float) -> bool:
        if not self.ready.done() and (now >= self._connect_by or (self._once and self._rounds)):
            self.ready.set_exception(connect_failed(self.connection, now - self._started))
            return True
        return self._is_closed(now)

    def _is_closed(self, now: float) -> bool:
        return self._close_by < inf and (now >= self._close_by or self._sessions.closed)

    def _fail_leftovers(self) -> None:
        # Both sides may get here at once; popleft hands each call to one of them.
        for calls in (self._calls, self._questions):
            while calls:
                try:
                    call = calls.popleft()
                except IndexError:
                    break
                if call.owner is not None:
                    call.error = Closed("the client is closed")
                    call.owner.deliver([call])


def connect_failed(connection: Connection, elapsed: float) -> ConnectFailed:
    """No endpoint answered: say what each of them did."""
    reasons = "; ".join(
        f"{endpoint}: {connection.reasons.get(endpoint, 'no answer yet')}" for endpoint in connection.endpoints
    )
    return ConnectFailed(f"no router answered within {elapsed:.1f} s: {reasons}")
