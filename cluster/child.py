"""One child process: starting it, its ready line, its end, and when it is due again.

Knows nothing of what the child does. Its standard input is a pipe that nobody writes to: when the supervisor is gone,
however it went, the child reads the end of it and stops. (PR_SET_PDEATHSIG would fire when the *thread* that started
the child ends, which is another thing.) Its standard output carries one line, JSON, when it is up; its standard error
goes to its `ErrorFile`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

from . import restart_policy
from .error_file import ErrorFile
from .plan import ChildPlan

READY_BYTES_MAX = 64 * 1024

Command = Callable[[ChildPlan], Sequence[str]]


class Child:
    """The process of one `ChildPlan`, over all its restarts. Not thread-safe.

    `ready` is True from the ready line to the process's end, `due` the monotonic time of the next start (None: none is
    due), `held` True while somebody wants it down, `down_reason` why it is not started again.
    """

    def __init__(self, plan: ChildPlan, error_file: ErrorFile, command: Command) -> None:
        self.plan = plan
        self.error_file = error_file
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.ever_ready = False
        self.endpoint: str | None = None
        self.due: float | None = 0.0
        self.held = False
        self.down_reason = ""
        self._command = command
        self._started = 0.0
        self._failures = 0
        self._received = bytearray()

    @property
    def name(self) -> str:
        """For people."""
        return self.plan.name

    @property
    def pid(self) -> int | None:
        """The process's id, None when there is none; may be read from any thread."""
        process = self.process
        return process.pid if process else None

    @property
    def output(self) -> int | None:
        """The descriptor of its standard output, to be polled; None when there is no process."""
        return self.process.stdout.fileno() if self.process and self.process.stdout else None

    def start(self, now: float) -> None:
        """Start the process. Raises OSError when the system cannot."""
        assert self.process is None, f"{self.name} is running already as pid {self.pid}"
        self.due, self.held, self.down_reason = None, False, ""
        self._received.clear()
        self._started = now
        descriptor = self.error_file.open()
        try:
            self.process = subprocess.Popen(
                self._command(self.plan),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                env=_environment(),
                process_group=0,  # a Ctrl-C in the terminal is for the supervisor alone
            )
        finally:
            os.close(descriptor)

    def read_output(self) -> bool:
        """Take what the process wrote to its standard output; False at its end."""
        assert self.output is not None
        data = os.read(self.output, READY_BYTES_MAX)
        if not self.ready and len(self._received) < READY_BYTES_MAX:
            self._received += data
            self._look_for_ready()
        return bool(data)

    def _look_for_ready(self) -> None:
        for line in self._received.split(b"\n")[:-1]:
            with suppress(ValueError, AttributeError):
                fields = json.loads(line)
                if fields.get("ready") is True:
                    self.ready = self.ever_ready = True
                    self._keep_endpoint(fields.get("endpoint"))

    def _keep_endpoint(self, endpoint: object) -> None:
        if isinstance(endpoint, str):
            self.endpoint = endpoint
            # The next start must take the port that clients know, also where the system chose it.
            if "listen" in self.plan.arguments:
                self.plan.arguments["listen"] = endpoint

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if there is one."""
        if self.process is not None:
            self.process.send_signal(number)

    def terminate(self) -> None:
        """Ask the process to stop, also one that is paused."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)

    def poll(self) -> int | None:
        """The exit code when the process has ended, until `forget`; None while it runs or when there is none."""
        return self.process.poll() if self.process else None

    def forget(self) -> None:
        """Let go of a process that has ended."""
        assert self.process is not None and self.process.returncode is not None, f"{self.name} still runs"
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process = None
        self.ready = False

    def decide(self, code: int, now: float) -> restart_policy.Decision:
        """What is to be done after an end that nobody asked for; sets `due` or `down_reason`."""
        end = restart_policy.Exit(
            code=code, uptime_s=now - self._started, ever_ready=self.ever_ready, failures=self._failures
        )
        decision = restart_policy.after_exit(end)
        self._failures = decision.failures
        self.due = None if decision.delay_s is None else now + decision.delay_s
        self.down_reason = decision.reason
        return decision


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment["PYTHONHASHSEED"] = "0"  # replicas of a shard must not differ in anything that hashes
    environment.pop("PYTHONOPTIMIZE", None)  # invariants are asserted
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = "1"  # a replica is one thread; a pool per process would only take memory
    return environment
