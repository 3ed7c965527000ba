"""Machines at which many things are due, and one timer looks after all of them, or nearly.

A timer cannot be taken back, and fires for nothing when what was due is gone. So one is only armed for a moment before all that
are armed already, and none is armed twice for the same moment: what is due in an hour has one timer, however often something
else was due before it. Only for SNAPSHOT commands, see `patience`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from .base import StateMachine


class Alarmed(StateMachine):
    """Keeps `alarms`: when the timers that are armed are due, the next one last. They call the method named `on_alarm`."""

    on_alarm: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.alarms: tuple[int, ...] = ()

    def wake_at(self, due: int | None) -> None:
        """Something is due then, in ms of log time; None for nothing."""
        if due is not None and (not self.alarms or due < self.alarms[-1]):
            self.alarms = (*self.alarms, due)
            self.schedule(due, self.on_alarm)

    def drop_alarms(self, time: int) -> None:
        """Log time has reached these alarms: their timers have fired."""
        left = len(self.alarms)
        while left and self.alarms[left - 1] <= time:
            left -= 1
        self.alarms = self.alarms[:left]  # once: there may be very many, and log time may have jumped past all of them

    def install_alarms(self, alarms: Any) -> None:
        """Take the alarms out of a snapshot. Raises TypeError or ValueError."""
        if type(alarms) is not list or any(type(due) is not int for due in alarms):
            raise TypeError(f"alarms are times in ms, not {alarms!r:.60}")
        if any(later <= sooner for later, sooner in pairwise(alarms)):
            raise ValueError(f"the next alarm is the last one, not {alarms!r:.60}")
        self.alarms = tuple(alarms)
