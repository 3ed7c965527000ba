"""The semaphore: so many permits, of which each holder has some, in the order in which they came.

    slots = client.semaphore("uploads", 3)   # at most 3 permits are held at once
    grant = slots.acquire(timeout=5)         # or acquire(2)
    slots.release(grant)
    slots.try_acquire()                      # None when there is none

SNAPSHOT, and nothing is restored: see `holding`. The capacity is what the first request names; a request that names another
one is refused, since two programs that disagree about it would each break the other's promise. `set_capacity` changes it. Then
nothing is taken away from holders: those that wait come in again once enough was given back. One entry may let in several,
whose tokens are then equal.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...client.protocol.errors import MACHINE_ERROR
from .base import SNAPSHOT, Commit, command, query
from .holding import HoldingMachine
from .waiting import checked_wait, refuse

CAPACITY_MAX = 1 << 31
"""Permits that a semaphore can have."""


class SemaphoreMachine(HoldingMachine):
    """What is wanted is a number of permits. Keeps the `capacity`, None before the first request, and how many are `held`."""

    type_name: ClassVar[str] = "semaphore"

    def __init__(self) -> None:
        super().__init__()
        self.capacity: int | None = None
        self.held = 0

    @command(mode=SNAPSHOT)
    def acquire(
        self, commit: Commit, number: int, wait_ms: int | None, permits: int, capacity: int | None
    ) -> list[Any] | None:
        """Take permits, or wait for them: [grant], [None] when they are not to be waited for, None while the request waits."""
        agreed = self._agreed(capacity)
        if not 1 <= permits <= agreed:
            raise ValueError(f"from 1 to {agreed} permits can be had, not {permits}")
        checked_wait(wait_ms)  # while there is no capacity nobody holds or waits, so nothing else can be refused
        self.capacity = agreed
        return self.take(commit, number, wait_ms, permits)

    @command(mode=SNAPSHOT)
    def give_back(self, commit: Commit, number: int) -> bool:
        """Release what that request of the session was granted; whether it held anything."""
        return self.leave(commit, number)

    @command(mode=SNAPSHOT)
    def set_capacity(self, commit: Commit, capacity: int) -> int | None:
        """From now on there are so many permits; the answer is the capacity before. Who waits for more is refused."""
        before, self.capacity = self.capacity, _checked(capacity)
        for waiter in [waiter for waiter in self.waiters if waiter.wants[1] > capacity]:
            self.waiters.remove(waiter.session, waiter.number)
            text = f"ValueError: {waiter.wants[1]} permits cannot be had any more: the capacity is now {capacity}"
            refuse(self, waiter, MACHINE_ERROR, text)
        self.serve(commit)
        return before

    @query
    def permits(self, commit: Commit) -> list[int | None]:
        """The capacity, nil before the first request, and how many permits are held: more, once it was reduced."""
        return [self.capacity, self.held]

    def _agreed(self, capacity: int | None) -> int:
        if capacity is None:
            if self.capacity is None:
                raise ValueError("the semaphore has no capacity yet: the first request names it")
            return self.capacity
        if self.capacity is not None and capacity != self.capacity:
            raise ValueError(f"the semaphore has a capacity of {self.capacity}, not {capacity!r:.60}")
        return _checked(capacity)

    def fits(self, wants: Any) -> bool:
        """Whether so many are free."""
        return self.held + int(wants) <= (self.capacity or 0)

    def count(self, wants: Any, by: int) -> None:
        """That many more are held, or less."""
        self.held += by * wants

    def check_wants(self, wants: Any) -> None:
        """Raises TypeError or ValueError for what is no number of permits."""
        _checked(wants)

    def snapshot(self) -> Any:
        """The whole state."""
        return [self.capacity, *super().snapshot()]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        capacity, *rest = state
        self.capacity = None if capacity is None else _checked(capacity)
        super().install(rest)


def _checked(permits: Any) -> int:
    if type(permits) is not int:
        raise TypeError(f"permits are a whole number, not {permits!r:.60}")
    if not 1 <= permits <= CAPACITY_MAX:
        raise ValueError(f"permits are from 1 to {CAPACITY_MAX}, not {permits}")
    return permits
