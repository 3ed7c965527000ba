"""Thousands of sessions of one shard over a few connections, in one thread: what no number of real clients could be.

Raw frames of the client protocol (docs/protocol.md): the session is in every header, so a connection carries any number of
them. A session of a crowd registers, keeps alive, sends one command at a time, and takes the events that are pushed to it,
which it answers at the end of the turn. It repeats what is not answered, and at once when there is another leader. It
knows nothing of clusters and measures nothing but when the last event came.

Invariants: a session has at most one message waiting for an answer; every call ends by the deadline it is given.
"""

from __future__ import annotations

import heapq
import math
import secrets
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import msgpack
import zmq

from ..client.protocol import errors, frames
from ..client.protocol.events import pack_handled
from ..client.protocol.frames import REPLY, REPLY_BYTES, REQUEST, VERSION, Frame, pack_parts, unpack_results

RESEND_S = 2.0
REFUSED_S = 0.05
ASKED_MAX = 256
"""Registers and commands of a crowd under way at once: more would measure the shard's refusals."""

READS_MAX = 1000
"""Messages of one connection that are read in one turn."""


class CrowdFailed(Exception):
    """The crowd did not get where it should in time, or the shard refused it for good; the text says what and how many."""


class Member:
    """One session. `asked` is its message that is not answered, `events` counts what it received, in order."""

    __slots__ = (
        "asked",
        "due",
        "events",
        "handled",
        "keeps_alive",
        "key",
        "number",
        "received",
        "result",
        "sequence",
        "session",
    )

    def __init__(self, number: int, key: bytes) -> None:
        self.number = number
        self.key = key
        self.session = 0
        self.sequence = 0
        self.received = 0
        self.handled = 0
        self.events = 0
        self.asked: tuple[int, int, bytes] | None = None
        self.due = 0.0
        self.keeps_alive = False
        self.result = b""


class Crowd:
    """`size` sessions on `shard` over `connections` sockets to `endpoint`; a context manager.

    `timeout_s` is the session timeout that is asked for.
    """

    def __init__(
        self, endpoint: str, *, shard: int = 0, size: int, connections: int = 4, timeout_s: float = 30.0
    ) -> None:
        self.endpoint = endpoint
        self.shard = shard
        self.timeout_s = timeout_s
        self.members = [Member(number, secrets.token_bytes(16)) for number in range(size)]
        self.events = 0
        self.batches = 0
        self.repeated = 0
        self.out_of_order = 0
        self.kept_alive = 0
        self.last_event_at = 0.0
        self.on_events: Callable[[Member, Sequence[int], Sequence[bytes]], None] = lambda member, indexes, batches: None
        self._by_session: dict[int, Member] = {}
        self._due: list[tuple[float, int]] = []
        self._waiting: set[int] = set()
        self._moved: dict[int, tuple[Member, int]] = {}
        self._lost: str = ""
        self._term = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets = [self._socket() for _ in range(connections)]
        self._poller = zmq.Poller()
        for socket in self._sockets:
            self._poller.register(socket, zmq.POLLIN)
        self._handlers: dict[int, Callable[[tuple[int, ...], list[bytes]], None]] = {
            frames.REGISTERED: self._registered,
            frames.KEPT_ALIVE: self._kept_alive,
            frames.RESULTS: self._results,
            frames.EVENTS: self._events,
            frames.REFUSED: self._refused,
            frames.LEADER: self._leader,
        }

    def _socket(self) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        for option, value in ((zmq.LINGER, 0), (zmq.SNDHWM, 100_000), (zmq.RCVHWM, 100_000)):
            socket.setsockopt(option, value)
        socket.connect(self.endpoint)
        socket.send(self._header(frames.HELLO, 0, 0, frames.NO_KEY, shard=frames.NO_SHARD))
        return socket

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)

    # -- what a crowd does -----------------------------------------------------------------------------

    def register(self, seconds: float) -> None:
        """Open all sessions. Raises CrowdFailed when it takes longer, or the shard refuses."""
        body = msgpack.packb(["crowd", round(self.timeout_s * 1000)])
        self._each([member for member in self.members if not member.session], frames.REGISTER, lambda _: body, seconds)

    def command(self, operation_of: Callable[[int], bytes], seconds: float, members: Sequence[Member] = ()) -> None:
        """One command of every session, or of those named; its result is the member's `result`. Raises CrowdFailed."""
        self._each(members or self.members, frames.COMMAND, operation_of, seconds)

    def _each(self, members: Sequence[Member], kind: int, body_of: Callable[[int], bytes], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        left = iter(members)
        more = True
        while more or self._waiting:
            while more and len(self._waiting) < ASKED_MAX:
                member = next(left, None)
                if member is None:
                    more = False
                    break
                self._waiting.add(member.number)
                if kind == frames.COMMAND:
                    member.sequence += 1
                self._ask(member, kind, body_of(member.number))
            self._turn(min(0.1, deadline - time.monotonic()))
            if self._lost:
                raise CrowdFailed(self._lost)
            if time.monotonic() >= deadline:
                raise CrowdFailed(f"{len(self._waiting)} of {len(members)} sessions have no answer after {seconds:g} s")

    def start(self, member: Member, operation: bytes) -> None:
        """Send a command of a session and do not wait: `run` takes its result."""
        member.sequence += 1
        member.result = b""
        self._ask(member, frames.COMMAND, operation)

    def keep_alive(self) -> None:
        """From now on every session keeps alive every third of its timeout, spread over that time."""
        interval, now = self.timeout_s / 3, time.monotonic()
        for member in self.members:
            if not member.keeps_alive:
                member.keeps_alive = True
                self._plan(member, now + interval * (member.number + 1) / len(self.members))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Go on for so long, or until that holds: whether it did. Raises CrowdFailed when a session was lost."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._turn(min(0.1, left))
            if self._lost:
                raise CrowdFailed(self._lost)
        return True

    # -- out -------------------------------------------------------------------------------------------

    def _header(
        self,
        kind: int,
        request: int,
        session: int,
        key: bytes,
        *,
        shard: int | None = None,
        count: int = 0,
        first: int = 0,
        acknowledged: int = 0,
        flags: int = 0,
    ) -> bytes:
        at = self.shard if shard is None else shard
        return REQUEST.pack(
            VERSION, kind, at, 0, flags, count, request, session, key, first, acknowledged, 0, 1, 10_000
        )

    def _ask(self, member: Member, kind: int, body: bytes) -> None:
        member.asked = (kind, member.sequence, body)
        self._send(member)

    def _send(self, member: Member) -> None:
        """Send what waits for an answer, first or again."""
        if member.asked is None:
            return
        kind, sequence, body = member.asked
        count = first = 0
        if kind == frames.COMMAND:
            count, first, body = 1, sequence, pack_parts([body])
        header = self._header(
            kind,
            member.number + 1,
            member.session,
            member.key,
            count=count,
            first=first,
            acknowledged=sequence - 1 if sequence else 0,
        )
        self._write(member, header + body)
        self._plan(member, time.monotonic() + RESEND_S)

    def _write(self, member: Member, message: bytes) -> None:
        try:
            self._sockets[member.number % len(self._sockets)].send(message, zmq.NOBLOCK)
        except zmq.Again:
            return  # it is repeated like one that was lost on its way

    def _plan(self, member: Member, at: float) -> None:
        member.due = at
        heapq.heappush(self._due, (at, member.number))

    def _do_what_is_due(self) -> None:
        now, due, members = time.monotonic(), self._due, self.members
        while due and due[0][0] <= now:
            at, number = heapq.heappop(due)
            member = members[number]
            if member.due != at:
                continue  # planned anew since
            if member.asked is not None:
                self._send(member)
            elif member.keeps_alive:
                self._ask(member, frames.KEEP_ALIVE, b"")

    # -- in --------------------------------------------------------------------------------------------

    def _turn(self, seconds: float) -> None:
        """Read what is there within `seconds`, answer events, and do what is due."""
        if self._due:
            seconds = min(seconds, self._due[0][0] - time.monotonic())
        for socket, _ in self._poller.poll(max(0, math.ceil(seconds * 1000))):
            self._read(socket)
        moved, self._moved = self._moved, {}
        for member, flags in moved.values():
            header = self._header(
                frames.HANDLED, 0, member.session, member.key, flags=flags, acknowledged=member.sequence
            )
            self._write(member, header + pack_handled(member.received, member.handled))
        self._do_what_is_due()

    def _read(self, socket: zmq.Socket[Any]) -> None:
        handlers = self._handlers
        for _ in range(READS_MAX):
            try:
                message = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            header = REPLY.unpack_from(message[0])
            handler = handlers.get(header[1])
            if handler is not None:
                handler(header, message)

    def _answered(self, member: Member) -> None:
        member.asked = None
        self._waiting.discard(member.number)
        if member.keeps_alive:
            self._plan(member, time.monotonic() + self.timeout_s / 3)

    def _registered(self, header: tuple[int, ...], message: list[bytes]) -> None:
        member = self.members[header[6] - 1]
        if not member.session:
            member.session = header[7]
            self._by_session[member.session] = member
            self._answered(member)

    def _kept_alive(self, header: tuple[int, ...], message: list[bytes]) -> None:
        member = self._by_session[header[7]]
        if member.asked is not None and member.asked[0] == frames.KEEP_ALIVE:
            self.kept_alive += 1
            self._answered(member)
        self._notice(member, header)

    def _results(self, header: tuple[int, ...], message: list[bytes]) -> None:
        member = self._by_session[header[7]]
        if member.asked is not None and header[8] == member.asked[1]:
            _, (member.result,) = unpack_results(_body(message), 1)
            self._answered(member)
        self._notice(member, header)

    def _notice(self, member: Member, header: tuple[int, ...]) -> None:
        """An answer tells of events that did not come: ask for them."""
        if header[10] > member.received:
            self._moved[member.number] = (member, frames.AGAIN)

    def _events(self, header: tuple[int, ...], message: list[bytes]) -> None:
        member = self._by_session[header[7]]
        if header[6] > member.received:
            self.out_of_order += 1
            self._moved[member.number] = (member, frames.AGAIN)
            return
        indexes, batches = unpack_results(_body(message), header[5])
        new = sum(index > member.received for index in indexes)
        self.repeated += len(indexes) - new
        if new:
            indexes, batches = indexes[-new:], batches[-new:]
            count = sum(map(_events_in, batches))
            member.received = member.handled = indexes[-1]
            member.events += count
            self.events += count
            self.batches += new
            self.last_event_at = time.monotonic()
            self.on_events(member, indexes, batches)
        self._moved[member.number] = (member, 0)

    def _refused(self, header: tuple[int, ...], message: list[bytes]) -> None:
        code, request, session = header[3], header[6], header[7]
        text = f"{errors.name_of(code)}: {bytes(_body(message)).decode('utf-8', 'replace')}"
        if code == errors.UNKNOWN_SESSION or code not in errors.ROWS or not errors.ROWS[code].retry:
            self._lost = self._lost or f"session {session} was refused: {text}"
        elif request:
            member = self.members[request - 1]
            if member.asked is not None:
                self._plan(member, time.monotonic() + max(header[13] / 1000, REFUSED_S))

    def _leader(self, header: tuple[int, ...], message: list[bytes]) -> None:
        """Another leader: everything unanswered leaves again, at once."""
        shard, term, leader = header[2], header[11], header[12]
        if shard != self.shard or leader == frames.NO_LEADER_KNOWN or term <= self._term:
            return
        if self._term:
            for member in self.members:
                if member.asked is not None:
                    self._send(member)
        self._term = term


def _body(message: list[bytes]) -> Frame:
    return message[1] if len(message) > 1 else memoryview(message[0])[REPLY_BYTES:]


def _events_in(batch: bytes) -> int:
    """How many events a batch has: the length of its array, without decoding it."""
    marker = batch[0]
    if marker & 0xF0 == 0x90:
        return marker & 0x0F
    return int.from_bytes(batch[1:3] if marker == 0xDC else batch[1:5], "big")
