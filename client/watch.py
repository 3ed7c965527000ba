"""`ocelog map watch NAME` and `ocelog counter watch NAME`: every change as one line of JSON, or as one run of a command.

    ocelog map watch users --key ada
    ocelog map watch users -- sh -c 'echo "$OCELOG_EVENT_KIND $OCELOG_EVENT_KEY"'

A command finds the event in its environment: OCELOG_EVENT_KIND, _KEY, _OLD, _NEW (bare texts, else JSON; absent ones are
not set), _INDEX, and the whole of it as JSON in OCELOG_EVENT. The next event waits until it has ended. Watching ends with
Ctrl-C, and when nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from . import child
from .changes import Event, Resync
from .plain import bare, plain, to_json
from .protocol.errors import DeadlineExceeded

LOOK_SECONDS = 0.5
"""How often it is looked whether anybody still reads the output, while nothing happens."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Let a parser take a command behind `--`, which argparse cannot tell from arguments of its own."""
    original = parser.parse_known_args

    def parse_known_args(args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        own = list(args or ())
        command: list[str] = []
        if "--" in own:
            position = own.index("--")
            own, command = own[:position], own[position + 1 :]
        namespace, rest = original(own, namespace)
        namespace.command = command
        return namespace, rest

    parser.parse_known_args = parse_known_args  # type: ignore[assignment,method-assign]
    parser.usage = f"{parser.prog} NAME [OPTIONS] [-- COMMAND ...]"


def watch(events: Any, command: list[str]) -> int:
    """Print the events of a stream, or run the command for each, until it ends."""
    while True:
        try:
            event = events.next(timeout=LOOK_SECONDS)
        except DeadlineExceeded:
            if not command and _nobody_reads():
                return 0
            continue
        if command:
            _run(command, event)
        else:
            sys.stdout.write(f"{to_json(event.as_dict())}\n")
            sys.stdout.flush()


def _nobody_reads() -> bool:
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors are told unasked
    except (OSError, ValueError):  # captured, or closed: writing will tell
        return False
    return any(state & (select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))


def environment(event: Event | Resync) -> dict[str, str]:
    """What a command finds of an event in its environment."""
    fields = plain(event.as_dict())
    found = {"OCELOG_EVENT": to_json(fields)}
    for name, value in fields.items():
        if value is not None:
            found[f"OCELOG_EVENT_{name.upper()}"] = bare(value)
    return found


def _run(command: list[str], event: Event | Resync) -> None:
    code, _ = child.run(command, environment(event), stdin=subprocess.DEVNULL)
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        sys.stderr.write(f"ocelog: {command[0]} ended with {how} on the event of index {event.index}\n")
