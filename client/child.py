"""The commands that the command line runs for a task, a message, an event or a share: none of them outlives it.

Whoever ends `ocelog` (Ctrl-C, TERM, HUP) means its command too, which would otherwise work on what is soon somebody else's: the
command is stopped with TERM, and killed when it does not heed that. `commandline.guarded` has rules of its own for what runs
while something is held.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import IO, Any

STOP_SECONDS = 10.0
"""A command that has not ended so long after TERM is killed: others wait for what it holds."""

ENDING = (signal.SIGTERM, signal.SIGHUP)


def end_in_order() -> None:
    """Let TERM and HUP end the program as Ctrl-C does, with its session: nothing is granted to whoever has gone."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals are not its business
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def run(
    command: list[str],
    variables: dict[str, str],
    *,
    input: str | None = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | None = None,
) -> tuple[int, str]:
    """Run a command with these in its environment until it ends: its exit code (negative: the signal) and what it printed.

    `input` goes to its standard input; with `stdout` as PIPE its output is returned. Raises OSError when it cannot be run.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdin=stdin if input is None else subprocess.PIPE,
        stdout=stdout,
        text=True,
    )
    try:
        printed, _ = process.communicate(input)
    finally:
        stop(process)
    return process.returncode, printed or ""


def stop(process: subprocess.Popen[Any]) -> None:
    """End a command that still runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when somebody is impatient, and interrupts again
            process.kill()  # does nothing to one that has ended
            process.wait()
