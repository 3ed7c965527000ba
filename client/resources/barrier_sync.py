# Generated from barrier.py by generate.py: change that one and run this again.
"""A replicated barrier: so many parties wait for one another, again and again, or enter and leave together.

    step = client.barrier("step")
    passed = step.wait(3, timeout=30)
    with step.inside(3, timeout=30) as entered:
        ...                                    # three of them are here
    step.status()

Every party says how many there are, and all must say the same. A barrier breaks when one of those who wait gives up or is lost,
and stays broken until `reset`.
"""

from __future__ import annotations

import contextlib

from ..gates import BarrierStatus, Passed, checked, number, passed
from ..protocol.errors import DeadlineExceeded
from .base import Handle, Level, Seconds


class Barrier(Handle):
    """The barrier of that name. `timeout` is in seconds; None means the client's default, math.inf for ever.

    Every method raises DeadlineExceeded or OutcomeUnknown when the timeout passes, ResourceDeleted for who waits at a
    barrier that is deleted, SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    def wait(self, parties: int, *, timeout: Seconds = None) -> Passed:
        """Pass when so many parties have come, all at once.

        Raises BrokenBarrier when one of them gave up, or its session ended, and to whoever comes until the barrier is reset;
        DeadlineExceeded when not all came in time: then it is broken, by this call, unless the timeout was 0; MachineError
        when others said another number of parties. A call that is cancelled breaks the barrier too.
        """
        return self._arrive("wait", parties, timeout)

    def enter(self, parties: int, *, timeout: Seconds = None) -> Passed:
        """The same, and be inside from then on, until `leave` or the end of the session. Nobody else passes meanwhile."""
        return self._arrive("enter", parties, timeout)

    def leave(self, entered: Passed, *, timeout: Seconds = None) -> None:
        """Be inside no more, and wait until all who entered together have left or were lost.

        When that is not so in time (DeadlineExceeded), this party has left all the same, and may call again. Raises BadArgument.
        """
        entered = checked(entered)
        if self._request("leave", entered.generation, entered.number, wait=timeout) is None:
            text = "this party has left, but not all others have"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)

    def inside(self, parties: int, *, timeout: Seconds = None) -> Inside:
        """Enter before a block and leave behind it, each within `timeout`; a block that raises waits for nobody."""
        return Inside(self, parties, timeout)

    def reset(self, generation: int | None = None, *, timeout: Seconds = None) -> bool:
        """Let a broken barrier be used again. With the generation of a BrokenBarrier, only if that has not been done already.

        Whether it was done. Those who wait get BrokenBarrier; those who are inside stay there.
        """
        reset: bool = self._command(("reset", generation), timeout, None)
        return reset

    def status(self, *, timeout: Seconds = None, consistency: Level = None) -> BarrierStatus:
        """Which generation gathers, how many wait, whether it is broken, and how many are inside."""
        return BarrierStatus(*self._query(("status",), timeout, consistency))

    def _arrive(self, operation: str, parties: int, timeout: Seconds) -> Passed:
        answer = self._request(operation, number("parties", parties), wait=timeout)
        if answer is None:
            text = f"the barrier's {parties} parties did not come in time"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        return passed(answer, self.resource.name, self.resource.shard)


class Inside:
    """A barrier that is entered before a block and left behind it; to be used once."""

    __slots__ = ("_barrier", "_entered", "_parties", "_timeout")

    def __init__(self, barrier: Barrier, parties: int, timeout: Seconds) -> None:
        self._barrier = barrier
        self._parties = parties
        self._timeout = timeout

    def __enter__(self) -> Passed:
        self._entered = self._barrier.enter(self._parties, timeout=self._timeout)
        return self._entered

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._barrier.leave(self._entered, timeout=self._timeout)
        else:
            with contextlib.suppress(DeadlineExceeded):
                self._barrier.leave(self._entered, timeout=0)
