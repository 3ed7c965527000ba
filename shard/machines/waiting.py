"""Who waits for a machine to do something, first come, first served: part of what a machine keeps in its snapshot.

A client that may have to wait numbers its request and sends the number along; numbers are unique in its session. The
command answers at once with a list of one item, the result, or with None: then the request waits, and the result comes
as an event `answer` with [number, result] to that session, or with [number, nil, code, text] when it is refused after all:
its caller gets the error of that code. `cancel` takes a request back. Requests end with their session.

A machine says in `wait` for how long; its timer method then calls `give_up`, and answers. Which request is next and whether
it can be served is the machine's to say.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ...client.protocol.errors import DELETED, ROWS
from .base import StateMachine

ANSWER = "answer"
"""The name of the event that brings a result to a request that waited."""

WAIT_MS_MAX = 366 * 24 * 3600 * 1000
"""The longest time a request may wait, unless it waits for ever."""


class Waiter(NamedTuple):
    """A request that waits: of which session, its number there, the entry it came with, and what it asked for."""

    session: int
    number: int
    index: int  # type: ignore[assignment]  # shadows tuple.index
    wants: Any = None


class Waiters:
    """The requests that wait, in the order in which they came. `wants` is what msgpack can hold.

    An OrderedDict: whoever is served first is found at once, where a dict looks for it behind all that were served before, so
    that letting in n of them would take n * n steps.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[int, int], Waiter] = OrderedDict()
        self._by_session: dict[int, dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._waiting.values())

    def __contains__(self, session: int) -> bool:
        """Whether a request of this session waits."""
        return session in self._by_session

    def add(self, waiter: Waiter) -> None:
        """The request waits behind all others. Raises ValueError when one of that number waits already."""
        key = (waiter.session, waiter.number)
        if key in self._waiting:
            raise ValueError(f"request {waiter.number} of session {waiter.session} waits already")
        self._waiting[key] = waiter
        self._by_session.setdefault(waiter.session, {})[waiter.number] = None

    def first(self) -> Waiter | None:
        """Who waits longest."""
        return next(iter(self._waiting.values()), None)

    def get(self, session: int, number: int) -> Waiter | None:
        """The request of that number, if it waits."""
        return self._waiting.get((session, number))

    def remove(self, session: int, number: int) -> Waiter | None:
        """The request waits no more; it is returned if it did."""
        waiter = self._waiting.pop((session, number), None)
        if waiter is not None:
            numbers = self._by_session[session]
            del numbers[number]
            if not numbers:
                del self._by_session[session]
        return waiter

    def end(self, session: int) -> list[Waiter]:
        """The session has ended: its requests wait no more, and are returned in their order."""
        numbers = self._by_session.get(session)
        if numbers is None:
            return []
        return [waiter for number in list(numbers) if (waiter := self.remove(session, number)) is not None]

    def state(self) -> list[Any]:
        """What `install` takes back."""
        return [list(waiter) for waiter in self._waiting.values()]

    def install(self, state: Any) -> None:
        """Take what `state` returned. Raises TypeError or ValueError for anything else."""
        if type(state) is not list:
            raise TypeError(f"waiters are a list, not {state!r:.60}")
        for row in state:
            session, number, index, wants = row
            if not type(session) is type(number) is type(index) is int:
                raise TypeError(f"a waiter is a session, a number, an entry and what it wants, not {row!r:.60}")
            self.add(Waiter(session, number, index, wants))

    def __repr__(self) -> str:
        return f"Waiters({self.state()!r})"


def refuse(machine: StateMachine, waiter: Waiter, code: int, text: str) -> None:
    """Answer a request that was waited for with an error of the protocol's table."""
    machine.publish(waiter.session, ANSWER, [waiter.number, None, code, text])


def tell_deleted(machine: StateMachine, requests: Iterable[Waiter]) -> None:
    """The resource is deleted: whoever waits at it gets ResourceDeleted. For `deleted`."""
    for waiter in requests:
        refuse(machine, waiter, DELETED, ROWS[DELETED].sentence)


def checked_wait(wait_ms: int | None) -> int | None:
    """For how long a request may wait: None for ever, 0 not at all. Raises TypeError or ValueError."""
    if wait_ms is None:
        return None
    if type(wait_ms) is not int:
        raise TypeError(f"a time to wait is a whole number of ms or nil, not {wait_ms!r:.60}")
    if not 0 <= wait_ms <= WAIT_MS_MAX:
        raise ValueError(f"a time to wait is from 0 to {WAIT_MS_MAX} ms, not {wait_ms}")
    return wait_ms
