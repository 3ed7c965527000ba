"""What runs without a client asking for it: timers in log time, and the session listeners of machines.

Nobody waits for a result. What such a handler releases, schedules and publishes happens as if a command had asked for it,
at the index of the entry that moved the time or the session; if it raises, none of it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .machines.base import Commit
from .resource import Handler, Resource

if TYPE_CHECKING:
    from .executor import Executor

UNASKED_TIMERS_FIRST = 1 << 32
"""Timers and listeners number what they arm from here on, so that an entry's own timers are 0, 1, 2... whatever else
happens at its index: they keep their numbers when the entry alone is restored."""


class Unasked:
    """Remembers up to which number timers were armed at the index `at`."""

    __slots__ = ("at", "number")

    def __init__(self) -> None:
        self.at = 0
        self.number = UNASKED_TIMERS_FIRST

    def fire(self, executor: Executor, index: int) -> None:
        """Fire what is due at the new log time, before the entry at `index` that moved it."""
        while (timer := executor.timers.pop_due(executor.time)) is not None:
            resource = executor.resources[timer.resource]
            method = getattr(resource.machine, timer.method)
            self._run(executor, resource, index, method, Commit(index, executor.time, 0), *timer.arguments)

    def opened(self, executor: Executor, index: int, session_id: int) -> None:
        """A session was opened by the entry at `index`: tell every machine that listens to that."""
        commit = Commit(index, executor.time, session_id)
        for resource in executor.resources.values():
            method = getattr(resource.machine, "session_opened", None)
            if method is not None:
                self._run(executor, resource, index, method, commit)

    def ended(self, executor: Executor, index: int, session_id: int, *, expired: bool) -> None:
        """A session has ended by the entry at `index`: tell every machine that watches it."""
        commit = Commit(index, executor.time, session_id)
        listener = "session_expired" if expired else "session_closed"
        for resource in executor.resources.values():
            method = getattr(resource.machine, listener, None)
            if method is not None and _watches(resource, session_id):
                self._run(executor, resource, index, method, commit)

    def deleted(self, executor: Executor, index: int, resource: Resource) -> None:
        """The resource is deleted by the entry at `index`: its machine may tell who listens or waits, and nothing else."""
        method = getattr(resource.machine, "deleted", None)
        if method is not None:
            self._run(executor, resource, index, method, Commit(index, executor.time, 0))

    def _run(self, executor: Executor, resource: Resource, index: int, method: Handler, *arguments: Any) -> None:
        machine = resource.machine
        if executor.capture is not None:
            executor.capture.before_resource(resource)
        try:
            method(*arguments)
            if machine.pending_releases:
                check_releases(machine.pending_releases, index - 1)
        except MemoryError:
            raise
        except Exception:
            machine.forget_pending()
            return
        if self.at != index:
            self.at, self.number = index, UNASKED_TIMERS_FIRST
        first, self.number = self.number, self.number + len(machine.pending_timers)
        executor.take_effect(resource, index, first)


def _watches(resource: Resource, session_id: int) -> bool:
    try:
        return resource.machine.watches(session_id)
    except MemoryError:
        raise
    except Exception:
        return True  # its listener may be right where this is wrong


def check_releases(releases: list[int], last: int) -> None:
    """What is not applied cannot be released: as one index past the log's end it would stop every replica."""
    if max(releases) > last:
        raise ValueError(f"entry {max(releases)} cannot be released after entry {last}")
