"""The supervisor's loop: starts children, notices their ends, starts them again, and stops them in phases.

One thread runs it and owns the children; other threads hand it work with `post`. It decides nothing about an end
itself (`restart_policy.py`), and knows neither the data directory nor what the children do.

Invariants: a child that somebody holds down, or that stays down for a reason, is not started by the loop; once a stop
was requested nothing is started at all, and when `run` returns no child is running.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from .child import Child
from .errors import ClusterError, StartFailed
from .plan import Key
from .restart_policy import describe

logger = logging.getLogger(__name__)

TURN_S_MAX = 0.25
TURN_S_ENDING = 0.01
STOP_S_MAX = 15.0
"""A child that was asked to stop and has not after so long is killed."""


class Watch:
    """Runs `children` until a stop was requested and the last one has ended.

    `changed` is called after a turn in which a process was started, has come up or has ended. A stop goes through the children's
    `stop_phase` numbers, lowest first. Until `ever_ready` is set, the loop gives up when children stay down that
    `can_be_ready` says are needed; `failure` is why.
    """

    def __init__(
        self, children: Sequence[Child], *, can_be_ready: Callable[[list[Key]], bool], changed: Callable[[], None]
    ) -> None:
        self.failure: ClusterError | None = None
        self.ever_ready = False
        self._children = children
        self._can_be_ready = can_be_ready
        self._changed = changed
        self._has_changed = False
        self._work: SimpleQueue[Callable[[], object]] = SimpleQueue()
        # Sockets, not a pipe: a closed one refuses, where a pipe's number may be another file's by then.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._stop_requested = False
        self._kill_requested = False
        self._phases: list[list[Child]] | None = None
        self._phase_deadline: float | None = None

    # -- from any thread -------------------------------------------------------------------------------

    def post(self, work: Callable[[], object]) -> None:
        """Have the loop's thread call `work`."""
        self._work.put(work)
        self._wake()

    def request_stop(self) -> None:
        """Begin to stop. Safe in a signal handler."""
        self._stop_requested = True
        self._wake()

    def request_kill(self) -> None:
        """Kill everything. Safe in a signal handler."""
        self._stop_requested = self._kill_requested = True
        self._wake()

    @property
    def stopping(self) -> bool:
        """True once a stop was requested, by whomever."""
        return self._stop_requested

    def _wake(self) -> None:
        with suppress(OSError):  # a full one wakes as well; behind a closed one nobody sleeps
            self._wake_writer.send(b"!")

    # -- the loop's thread -----------------------------------------------------------------------------

    def run(self) -> None:
        """Run until everything has stopped."""
        try:
            while not self._finished():
                self._turn()
        finally:
            for child in self._children:
                child.send(signal.SIGKILL)  # only after an error of our own is there anything left
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._turn_s()):
            if key.data is None:
                self._run_work()
            else:
                self._read_output(key.data)
        now = time.monotonic()
        self._reap(now)
        if self._stop_requested:
            self._advance_stop(now)
        else:
            self._start_due(now)
        if self._has_changed:
            self._has_changed = False
            self._changed()

    def _read_output(self, child: Child) -> None:
        was_ready, descriptor = child.ready, child.output
        if not child.read_output():
            assert descriptor is not None, f"{child.name} has no output to read"
            self._selector.unregister(descriptor)
        self._has_changed |= child.ready != was_ready

    def _turn_s(self) -> float:
        """Seconds until something may have to be done that no descriptor tells of."""
        if any(child.output is not None and not self._is_polled(child.output) for child in self._children):
            return TURN_S_ENDING  # the end of its output precedes the end of the process by an instant
        due = [child.due for child in self._children if child.due is not None]
        if self._stop_requested or not due:
            return TURN_S_MAX
        return min(max(min(due) - time.monotonic(), 0.0), TURN_S_MAX)

    def _is_polled(self, descriptor: int) -> bool:
        return descriptor in self._selector.get_map()

    def _run_work(self) -> None:
        with suppress(BlockingIOError):
            self._wake_reader.recv(4096)
        with suppress(Empty):
            while True:
                self._work.get_nowait()()

    def start(self, child: Child) -> None:
        """Start one child now, unless it runs. A start that the system refuses counts as an end."""
        if self._stop_requested or child.process is not None:
            return
        now = time.monotonic()
        try:
            child.start(now)
        except OSError as error:
            self._after_end(child, os.EX_OSERR, now, str(error))
            return
        assert child.output is not None
        self._selector.register(child.output, selectors.EVENT_READ, child)
        self._has_changed = True

    def hold(self, child: Child) -> None:
        """Kill a child and keep it down."""
        child.held = True
        child.due = None
        child.send(signal.SIGKILL)

    def _start_due(self, now: float) -> None:
        for child in self._children:
            if child.due is not None and child.due <= now:
                self.start(child)

    def _reap(self, now: float) -> None:
        for child in self._children:
            code = child.poll()
            if code is None:
                continue
            if child.output is not None and self._is_polled(child.output):
                self._selector.unregister(child.output)
            was_ready = child.ready
            child.forget()
            self._has_changed = True
            if not (child.held or self._stop_requested):
                self._after_end(child, code, now, child.error_file.last_line())
            elif self._stop_requested and not _is_orderly(code, was_ready):
                said = child.error_file.last_line()
                logger.warning("%s %s while stopping%s", child.name, describe(code), f": {said}" if said else "")

    def _after_end(self, child: Child, code: int, now: float, last_line: str) -> None:
        decision = child.decide(code, now)
        said = f": {last_line}" if last_line and code >= 0 else ""
        if decision.delay_s is not None:
            logger.warning("%s %s%s; starting it again in %.1f s", child.name, describe(code), said, decision.delay_s)
            return
        logger.error("%s %s%s; it stays down: %s", child.name, describe(code), said, decision.reason)
        down = [child.plan.key for child in self._children if child.down_reason]
        if not self.ever_ready and not self._can_be_ready(down):
            exit_code = code if os.EX_USAGE <= code <= os.EX_CONFIG else os.EX_UNAVAILABLE
            self.failure = StartFailed(f"{child.name} cannot start{said or ': ' + decision.reason}", exit_code)
            self.request_stop()

    # -- stopping --------------------------------------------------------------------------------------

    def _advance_stop(self, now: float) -> None:
        if self._phases is None:
            numbers = sorted({child.plan.stop_phase for child in self._children})
            self._phases = [
                [child for child in self._children if child.plan.stop_phase == number] for number in numbers
            ]
        if self._kill_requested:
            for child in self._children:
                child.send(signal.SIGKILL)
        while self._phases and all(child.process is None for child in self._phases[0]):
            self._phases.pop(0)
            self._phase_deadline = None
        if self._phases:
            self._advance_phase(self._phases[0], now)

    def _advance_phase(self, phase: list[Child], now: float) -> None:
        if self._phase_deadline is None:
            self._phase_deadline = now + STOP_S_MAX
            for child in phase:
                child.terminate()
        elif now >= self._phase_deadline:
            self._phase_deadline = now + STOP_S_MAX
            for child in phase:
                if child.process is not None:
                    logger.warning("%s did not stop within %g s and is killed", child.name, STOP_S_MAX)
                    child.send(signal.SIGKILL)

    def _finished(self) -> bool:
        return self._phases == []


def _is_orderly(code: int, was_ready: bool) -> bool:
    """Whether an end during a stop needs no word: killed by us, or caught by SIGTERM before it could handle it."""
    return code in (0, -signal.SIGKILL) or (code == -signal.SIGTERM and not was_ready)
