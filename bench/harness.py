"""Runs load processes and gathers what they tell: start together, stop in bounded time, keep every row.

Knows processes and pipes, not what the rows mean. Everything is judged and measured after the load, so that this
process costs next to nothing while it runs (one reader thread per pipe that only stores bytes).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from .history import History
from .plan import Plan

MESSAGE_BYTES_MAX = 256 * 1024 * 1024
MARGIN_SECONDS = 20.0
"""How long after its own bounds a load process may still need before it is ended."""

POLL_SECONDS = 0.25


class LoadFailed(Exception):
    """A load process could not connect, ended without a word, or did not stop in time; the text says which."""

    exit_code = os.EX_UNAVAILABLE


@dataclass(kw_only=True, slots=True)
class Phase:
    """What the processes of one phase told; `offered` operations were due, `unserved` of them never begun (see `pace`)."""

    history: History
    errors: Counter[str] = field(default_factory=Counter)
    first_error: str = ""
    cpu_ns: int = 0
    harness_ns_per_operation: int = 0
    offered: int = 0
    unserved: int = 0


class LoadProcess:
    """One child, with a thread that reads its pipe to the end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.blocks: list[bytes] = []
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.done: dict[str, Any] | None = None
        self.failed = ""
        command = [sys.executable, "-P", "-m", "ocelog.bench.load", plan.to_json()]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, name="load-reader", daemon=True)
        self._reader.start()

    def begin(self) -> None:
        """Let the load start."""
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(b"go\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            self.failed = self.failed or "it ended before it could begin"

    def close(self) -> None:
        """End the child whatever it does, and take its exit status."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self._reader.join()
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was not written is of no use to a process that is gone

    def _read(self) -> None:
        assert self.child.stdout is not None
        unpacker = msgpack.Unpacker(max_buffer_size=MESSAGE_BYTES_MAX)
        try:
            while data := self.child.stdout.read1(1 << 20):  # type: ignore[attr-defined]
                unpacker.feed(data)
                for message in unpacker:
                    self._take(message)
        except (ValueError, TypeError, AttributeError, msgpack.exceptions.UnpackException) as error:
            self.failed = self.failed or f"what it reported could not be read: {error}"
            self.child.kill()
        self.ended.set()
        self.ready.set()

    def _take(self, message: dict[str, Any]) -> None:
        if "rows" in message:
            self.blocks.append(message["rows"])
        elif "ready" in message:
            self.ready.set()
        elif "done" in message:
            self.done = message
        else:
            self.failed = str(message.get("failed"))


def run_phase(
    plans: Sequence[Plan],
    on_begin: Callable[[], None] = lambda: None,
    on_poll: Callable[[], None] = lambda: None,
) -> Phase:
    """Run one load process per plan, all beginning together, and wait for the last. Raises LoadFailed.

    `on_begin` is called when they begin, `on_poll` several times a second from then on and once when all are done.
    """
    processes = [LoadProcess(plan) for plan in plans]
    try:
        _await_ready(processes)
        for process in processes:
            process.begin()
        on_begin()
        _await_end(processes, on_poll)
    finally:
        for process in processes:
            process.close()
    return _gathered(processes)


def _await_ready(processes: Sequence[LoadProcess]) -> None:
    deadline = time.monotonic() + max(process.plan.timeout for process in processes) + MARGIN_SECONDS
    for process in processes:
        if not process.ready.wait(max(0.0, deadline - time.monotonic())):
            raise LoadFailed("a load process was not ready in time")
        if process.ended.is_set():
            raise LoadFailed(process.failed or "a load process ended before the load began")


def _await_end(processes: Sequence[LoadProcess], on_poll: Callable[[], None]) -> None:
    longest = max(process.plan.seconds + process.plan.timeout for process in processes)
    deadline = time.monotonic() + longest + MARGIN_SECONDS
    for process in processes:
        while not process.ended.wait(POLL_SECONDS):
            on_poll()
            if time.monotonic() > deadline:
                raise LoadFailed("a load process did not stop by itself and was ended")
        if process.done is None:
            raise LoadFailed(process.failed or "a load process ended without a result")
    on_poll()


def _gathered(processes: Sequence[LoadProcess]) -> Phase:
    phase = Phase(history=History.from_blocks(block for process in processes for block in process.blocks))
    for process in processes:
        done = process.done
        assert done is not None, "every process of a phase that ended well has told its result"
        phase.errors.update(done["errors"])
        phase.first_error = phase.first_error or done["first_error"]
        phase.cpu_ns += done["cpu_ns"]
        phase.offered += done["offered"]
        phase.unserved += done["unserved"]
        phase.harness_ns_per_operation = max(phase.harness_ns_per_operation, done["harness_ns_per_operation"])
    return phase
