"""Machines at which requests wait for a limited time: one timer for all of them.

With a timer for each, those of requests that were served would pile up until they are due. `wants` of a waiter is when its
patience ends, in ms of log time, or None for ever, unless the machine keeps more there (`waiter_wants` and `due`). Only for
SNAPSHOT commands: a timer that a RELEASE command arms is its entry's own, and would be gone with it though others need it.
"""

from __future__ import annotations

from typing import Any

from .base import Commit, StateMachine
from .waiting import ANSWER, Waiter, Waiters


class Patience(StateMachine):
    """Keeps `waiters`, and `alarm`: when the timer is due, or None. Whoever gives up is answered with None."""

    def __init__(self) -> None:
        super().__init__()
        self.waiters = Waiters()
        self.alarm: int | None = None

    def wait(self, commit: Commit, number: int, wait_ms: int | None, wants: Any = None) -> None:
        """The request waits behind all others. Raises ValueError when one of that number waits already."""
        due = None if wait_ms is None else commit.time + wait_ms
        self.waiters.add(Waiter(commit.session, number, commit.index, self.waiter_wants(due, wants)))
        self._wake_at(due)

    def waiter_wants(self, due: int | None, wants: Any) -> Any:
        """What a waiter keeps: here, when its patience ends."""
        return due

    def due(self, waiter: Waiter) -> int | None:
        """When the waiter's patience ends, out of what it keeps."""
        due: int | None = waiter.wants
        return due

    def gave_up(self, waiter: Waiter) -> None:
        """The request waits no more, and was answered."""

    def give_up(self, commit: Commit) -> None:
        """Log time has reached the end of somebody's patience, unless a timer was armed since for an earlier moment."""
        if self.alarm is None or self.alarm > commit.time:
            return
        self.alarm = None
        for waiter in [waiter for waiter in self.waiters if _is_over(self.due(waiter), commit.time)]:
            self.waiters.remove(waiter.session, waiter.number)
            self.publish(waiter.session, ANSWER, [waiter.number, None])
            self.gave_up(waiter)
        dues = map(self.due, self.waiters)
        self._wake_at(min((due for due in dues if due is not None), default=None))

    def _wake_at(self, due: int | None) -> None:
        if due is not None and (self.alarm is None or due < self.alarm):
            self.alarm = due
            self.schedule(due, "give_up")

    def install_alarm(self, alarm: int | None) -> None:
        """Take the alarm out of a snapshot. Raises TypeError."""
        if alarm is not None and type(alarm) is not int:
            raise TypeError(f"an alarm is a time in ms or nil, not {alarm!r:.60}")
        self.alarm = alarm


def _is_over(due: int | None, time: int) -> bool:
    return due is not None and due <= time
