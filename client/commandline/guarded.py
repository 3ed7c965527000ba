"""Runs a command while something is held, and stops it when that is lost: locks, semaphores, the leadership of an election.

The child finds the token of the grant in its environment, as OCELOG_LOCK_TOKEN or OCELOG_TERM. It is stopped with TERM when
the grant is lost: its session has ended, the resource was deleted, or it was taken away. A client that is cut off cannot know
that: it is SUSPENDED at the latest when two thirds of the session's timeout have passed since the shard answered, so a third
later the grant must be taken for lost.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from .. import watch
from ..child import ENDING
from ..grants import Claim, Claims
from ..plain import to_json
from ..protocol.errors import BadArgument
from ..verbs import missing, seconds

if TYPE_CHECKING:
    from ..calls import StateChange
    from ..grants import Grant
    from ..sync import Client

TOKEN = "OCELOG_LOCK_TOKEN"
SESSION_S = 30.0
CONNECT_S = 10.0

FREE = Claims([], [], 0, 0)
"""The status of what nobody has held yet."""


def configure(parser: argparse.ArgumentParser, what: str) -> None:
    """The arguments of a verb that tells who holds something, or runs a command while it does."""
    configure_taking(parser, what)
    parser.usage = f"{parser.prog} NAME [OPTIONS] -- COMMAND ...\n       {parser.prog} NAME --status"
    parser.add_argument("--status", action="store_true", help="tell who holds it and who waits, and run nothing")
    parser.add_argument("--json", action="store_true", help="print the status as JSON")


def configure_taking(parser: argparse.ArgumentParser, what: str) -> None:
    """The arguments of running a command while something is held, and the command behind `--`."""
    parser.add_argument("name", metavar="NAME", help=f"the {what}'s name")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="seconds to wait for it; for ever without")
    parser.add_argument(
        "--session-timeout",
        type=seconds,
        default=SESSION_S,
        metavar="S",
        help=f"seconds after which it is lost to others when nothing is heard of this program ({SESSION_S:g})",
    )
    parser.add_argument("--endpoints", metavar="ENDPOINT[,...]", help="where the cluster listens ($OCELOG_ENDPOINTS)")
    watch.configure(parser)
    parser.usage = f"{parser.prog} NAME [OPTIONS] -- COMMAND ..."


def run(options: argparse.Namespace, handle: Callable[[Client], Any], take: Callable[..., Grant]) -> int:
    """Print the status of what `handle` makes, or do what `guard` does. Raises OcelogError."""
    from ..sync import connect

    if options.status == bool(options.command):
        raise BadArgument("either a command behind --, or --status")
    if not options.status:
        return guard(options, handle, take, TOKEN)
    with connect(options.endpoints, timeout=CONNECT_S, session_timeout=options.session_timeout) as client:
        status = FREE if missing(client, options.name) else handle(client).status()
    _tell(status, as_json=options.json)
    return 0


def guard(
    options: argparse.Namespace, handle: Callable[[Client], Any], take: Callable[..., Grant], variable: str
) -> int:
    """Take what `handle` makes (`take(handle, timeout=, lost=)`), run the command, and give back.

    The command finds the token in the environment `variable`. The exit code is the command's. What is held is given back with
    the session, which ends here. Raises OcelogError when it is not had in time.
    """
    from ..sync import connect

    with connect(options.endpoints, timeout=CONNECT_S, session_timeout=options.session_timeout) as client:
        target = handle(client)
        guarded = Guarded(target.resource.shard, options.session_timeout / 3)
        with client.on_state(guarded.state):
            timeout = inf if options.timeout is None else options.timeout
            grant = take(target, timeout=timeout, lost=lambda grant: guarded.stop("it is lost"))
            try:
                code = guarded.run(options.command, {variable: str(grant.token)})
            finally:
                guarded.over()
        # The client is closed now, which ends its session, and with it gives back what it holds.
        if guarded.why:
            sys.stderr.write(f"ocelog: {options.command[0]} was stopped: {guarded.why}\n")
            return os.EX_TEMPFAIL
        return code


class Guarded:
    """One child, which is stopped once, from whatever thread. `why` says why, or is empty."""

    def __init__(self, shard: int, patience: float) -> None:
        self.why = ""
        self._shard = shard
        self._patience = patience
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None
        self._signal = 0

    def run(self, command: list[str], variables: dict[str, str]) -> int:
        """Run the child, with these in its environment, unless it is to be stopped already; its exit code as in a shell."""
        with self._lock:
            if self.why:
                return os.EX_TEMPFAIL
            # Whoever stops us means the child, which must not go on without what is held. Ctrl-C it gets itself.
            signal.signal(signal.SIGINT, lambda *_: None)
            for number in ENDING:
                signal.signal(number, self._pass_on)
            child = self._child = subprocess.Popen(command, env={**os.environ, **variables})
            if self._signal:
                child.send_signal(self._signal)
        code = child.wait()
        return code if code >= 0 else 128 - code

    def _pass_on(self, number: int, frame: object) -> None:
        self._signal = number
        if self._child is not None:
            self._child.send_signal(number)

    def stop(self, why: str) -> None:
        """The child must not go on."""
        with self._lock:
            if not self.why:
                self.why = why
                if self._child is not None:
                    self._child.terminate()

    def state(self, change: StateChange) -> None:
        """The session on a shard is in another state."""
        from ..calls import ClientState

        if change.shard == self._shard:
            self.over()
            if change.state is ClientState.SUSPENDED:
                text = "the cluster has not answered for so long that it must be taken for lost"
                self._timer = threading.Timer(self._patience, self.stop, (text,))
                self._timer.daemon = True
                self._timer.start()

    def over(self) -> None:
        """Nothing threatens the child any more, as far as is known."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _tell(status: Claims, *, as_json: bool) -> None:
    if as_json:
        lines = [
            to_json({**status._asdict(), **{name: _rows(getattr(status, name)) for name in ("holders", "waiters")}})
        ]
    else:
        lines = [] if status.holding else ["free"]
        for claim in status.holders:
            who = f"held by session {claim.session}, request {claim.number}"
            lines.append(f"{who}, with token {claim.index}{_wants(claim.wants)}")
        lines.append(f"waiting: {status.waiting}")
        for claim in status.waiters:
            who = f"  session {claim.session}, request {claim.number}"
            lines.append(f"{who}, since index {claim.index}{_wants(claim.wants)}")
        for what, told, count in (("hold", status.holders, status.holding), ("wait", status.waiters, status.waiting)):
            if count > len(told):
                lines.append(f"{count - len(told)} more {what}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _rows(claims: list[Claim]) -> list[dict[str, Any]]:
    return [claim._asdict() for claim in claims]


def _wants(wants: object) -> str:
    if wants is None:
        return ""
    if type(wants) is bool:
        return ", to write" if wants else ", to read"
    return f", {wants} permit{'s' * (wants != 1)}"
