"""One session's events on their way from the leader to its client: which are unsent, under way, received, handled.

Pure bookkeeping of one term: it is told what was published, sent and acknowledged, and says what to send. It must never
know where the client is or what an event means.

Invariants: `batches` are those that were not handled, in the order of their indexes, none missing; the first `received`
of them the client has, the first `sent` were sent to it, and received <= sent <= len(batches).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from .sessions import Batch, Session

MESSAGE_BATCHES_MAX = 1024
MESSAGE_BYTES_MAX = 256 * 1024
"""What one message of events holds, unless a single batch is larger."""


class Reader:
    """See the module. `under_way` are the bytes sent and not received, `events` and `size` count everything unhandled.

    `handled` is the highest batch index that the client said it has handled. `marks` says when the unhandled batches were
    sent first: (batch index, tick), where each stands for the batches behind the mark before; `sent_at` is the tick of the
    latest message. `repeat_at` is the tick at which to send again, `delay` the ticks that were waited for it; `timer` the
    tick at which the reader is looked at, or 0.
    """

    __slots__ = (
        "batches",
        "delay",
        "events",
        "handled",
        "marks",
        "queued",
        "received",
        "received_index",
        "repeat_at",
        "sent",
        "sent_at",
        "session",
        "size",
        "suspected",
        "timer",
        "under_way",
    )

    def __init__(self, session: Session) -> None:
        self.session = session
        self.batches: deque[Batch] = deque()
        self.received = self.sent = 0
        self.received_index = self.handled = self.queued = session.handled
        self.under_way = self.events = self.size = 0
        self.marks: list[tuple[int, int]] = []
        self.sent_at = self.repeat_at = self.delay = self.timer = 0
        self.suspected = False

    @property
    def unsent(self) -> bool:
        """Whether something has not been sent, or is to be sent again."""
        return self.sent < len(self.batches)

    def queue_new(self) -> Iterator[Batch]:
        """Queue what was published to the session since the last call; yields it."""
        new = []
        for batch in reversed(self.session.events):
            if batch.index <= self.queued:
                break
            new.append(batch)
        for batch in reversed(new):
            self.batches.append(batch)
            self.queued = batch.index
            self.events += batch.count
            self.size += len(batch.payload)
            yield batch

    def next_message(self, credit: int) -> list[Batch]:
        """The batches of the next message, which count as sent from now on; none when the credit of bytes is used up."""
        batches, position = self.batches, self.sent
        message: list[Batch] = []
        size = 0
        while position < len(batches) and len(message) < MESSAGE_BATCHES_MAX:
            batch = batches[position]
            if message and size + len(batch.payload) > MESSAGE_BYTES_MAX:
                break
            # A batch larger than the whole credit goes alone.
            if self.under_way and self.under_way + len(batch.payload) > credit:
                break
            message.append(batch)
            size += len(batch.payload)
            self.under_way += len(batch.payload)
            position += 1
        self.sent = position
        return message

    def mark(self, last: Batch, now: int) -> None:
        """The client has the batches up to this one, or a message with them is on its way, since this tick at the latest."""
        marks = self.marks
        if marks and marks[-1][0] >= last.index:
            return  # it is a repetition, or was sent before
        if marks and marks[-1][1] == now:
            marks[-1] = (last.index, now)
        else:
            marks.append((last.index, now))

    def sent_for(self, now: int) -> int:
        """For how many ticks the oldest unhandled batch has been with the client, or on its way; 0 if none was sent."""
        return now - self.marks[0][1] if self.marks else 0

    def receive(self, index: int) -> bool:
        """The client has every batch up to `index`; returns whether that is news."""
        if index <= self.received_index:
            return False
        self.received_index = index
        batches, position = self.batches, self.received
        while position < len(batches) and batches[position].index <= index:
            if position < self.sent:
                self.under_way -= len(batches[position].payload)
            position += 1
        self.received = position
        self.sent = max(self.sent, position)
        return True

    def handle(self, index: int) -> list[int]:
        """The client has handled every batch up to `index`, so it has them; returns the indexes of those it had not."""
        self.receive(index)
        if index <= self.handled:
            return []
        self.handled = index
        batches = self.batches
        done = []
        while batches and batches[0].index <= index:
            batch = batches.popleft()
            self.events -= batch.count
            self.size -= len(batch.payload)
            done.append(batch.index)
        self.received -= len(done)
        self.sent -= len(done)
        passed = sum(1 for last, _ in self.marks if last <= index)
        del self.marks[:passed]
        return done

    def begin_again(self) -> None:
        """What is under way may be lost: send again from the first batch that was not received."""
        self.sent = self.received
        self.under_way = 0

    def indexes(self) -> Iterable[int]:
        """The indexes of all unhandled batches."""
        return (batch.index for batch in self.batches)
