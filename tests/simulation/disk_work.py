"""Work on a disk that takes its time and may be cut off in the middle: persist jobs, snapshots being written, rewriting.

Its effect falls on its beginning or on its end, by chance, so that whatever happens meanwhile comes before or after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ocelog.log.errors import NoSpace

from .disk import SimDisk
from .scheduler import Scheduler

OPERATIONS_MAX = 12
"""Work that is cut off gets so many of its operations done, or fewer."""


class Killed(Exception):
    """Raised by the disk in the middle of what a process does when it is killed; names the operation not done."""


@contextmanager
def cut_after(disk: SimDisk, operations: int) -> Iterator[None]:
    """Let so many operations of the disk happen, and raise Killed at the next one; with -1, at none."""
    left = operations

    def hook(what: str) -> None:
        nonlocal left
        if left == 0:
            raise Killed(what)
        left -= 1

    disk.operation_hook = hook
    try:
        yield
    finally:
        disk.operation_hook = None


class DiskWork:
    """`run` is the work, `ran` is called as soon as it has taken effect, `done` at the end of `duration`.

    `no_space` is called instead of the two when the disk is full. `over` once none of them will be called any more.
    `early` is the probability that it takes effect at its beginning.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        disk: SimDisk,
        duration: int,
        *,
        run: Callable[[], object],
        ran: Callable[[], None],
        done: Callable[[], None],
        no_space: Callable[[], None],
        early: float = 0.5,
    ) -> None:
        self.over = False
        self._scheduler = scheduler
        self._disk = disk
        self._run = run
        self._ran = ran
        self._done = done
        self._no_space = no_space
        self._has_run = False
        if scheduler.chance(early):
            self._take_effect()
        scheduler.after(duration, self._finish)

    def _take_effect(self) -> None:
        self._has_run = True
        try:
            self._run()
        except NoSpace:
            self.over = True
            self._no_space()
            return
        self._ran()

    def _finish(self) -> None:
        if not self.over and not self._has_run:
            self._take_effect()
        if not self.over:
            self.over = True
            self._done()

    def cut_off(self, operations: int | None = None) -> None:
        """Kill the process that does it: so many of the disk's operations happen; by default some, maybe none, maybe all."""
        if self.over:
            return
        self.over = True
        if not self._has_run:
            try:
                if operations is None:
                    operations = self._scheduler.between(0, OPERATIONS_MAX)
                with cut_after(self._disk, operations):
                    self._run()
            except (Killed, NoSpace):
                return
            self._ran()
