"""The command line `ocelog`: a table from verb to the room that has it, imported when it is used.

The only file that knows all rooms, and it knows only their verbs, so that `ocelog --help` imports neither ZeroMQ nor
numpy. An error that a person can do something about ends in one line and one of sysexits' codes, not in a traceback.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from . import __version__


class Verb(NamedTuple):
    """Where a verb is: the module, whose functions `configure` (an argument parser) and `run` carry it out."""

    module: str
    help: str
    configure: str = "configure"
    run: str = "run"


VERBS = {
    "up": Verb("cluster.verbs", "start a cluster on this machine", "configure_up", "run_up"),
    "stop": Verb("cluster.verbs", "stop a cluster that runs on a data directory", "configure_stop", "run_stop"),
    "status": Verb("cluster.verbs", "shards, replicas and what may still fail", "configure_status", "run_status"),
    "metrics": Verb("cluster.verbs", "figures for collectors, printed or served", "configure_metrics", "run_metrics"),
    "compact": Verb("cluster.verbs", "have replicas clean their logs now", "configure_compact", "run_compact"),
    "snapshot": Verb("cluster.verbs", "have replicas take a snapshot now", "configure_snapshot", "run_snapshot"),
    "map": Verb("client.verbs", "read and change a map", "configure_map", "run_map"),
    "partitioned-map": Verb("client.commandline.partitioned_map", "read and change a map spread over all shards"),
    "sorted-map": Verb("client.commandline.sorted_map", "read and change a map whose keys are in order"),
    "multimap": Verb("client.commandline.multimap", "read and change a map with several values for a key"),
    "set": Verb("client.commandline.set", "read and change a set"),
    "sorted-set": Verb("client.commandline.sorted_set", "read and change a set whose values are in order"),
    "counter": Verb("client.verbs", "read and change a counter", "configure_counter", "run_counter"),
    "barrier": Verb("client.commandline.barrier", "wait for one another"),
    "ids": Verb("client.commandline.ids", "numbers that nobody else is given"),
    "latch": Verb("client.commandline.latch", "count down, and wait for that"),
    "tasks": Verb("client.commandline.tasks", "submit tasks, and work on them"),
    "topic": Verb("client.commandline.topic", "publish messages, and subscribe to them"),
    "queue": Verb("client.commandline.queue", "add to a queue and take from it"),
    "election": Verb("client.commandline.election", "run a command while it leads, and change who does"),
    "group": Verb("client.commandline.group", "who is there, and messages to them"),
    "partition": Verb("client.commandline.partition", "divide a set among those who are there"),
    "lock": Verb("client.commandline.lock", "run a command while a lock is held", "configure_lock", "run_lock"),
    "rwlock": Verb(
        "client.commandline.lock",
        "run a command while a lock is held to read or to write",
        "configure_rwlock",
        "run_rwlock",
    ),
    "semaphore": Verb(
        "client.commandline.lock",
        "run a command while permits are held, so many at once",
        "configure_semaphore",
        "run_semaphore",
    ),
    "resource": Verb("client.commandline.resource", "operations on a machine of one's own"),
    "machines": Verb(
        "client.commandline.resource", "which machines there are, and versions", "configure_machines", "run_machines"
    ),
    "value": Verb("client.commandline.value", "read and change a value"),
    "resources": Verb("client.commandline.resources", "which resources there are", "configure_list", "run_list"),
    "exists": Verb("client.commandline.resources", "which type a resource is of", "configure_exists", "run_exists"),
    "delete": Verb("client.commandline.resources", "delete a resource", "configure_delete", "run_delete"),
    "log": Verb("shard.verbs", "look into the log files of a data directory", "configure_log", "run_log"),
    "bench": Verb("bench.verbs", "measure a cluster"),
    "check": Verb("bench.checker.verbs", "check that a history is linearizable"),
    "torture": Verb("bench.torture.verbs", "break what can be broken, and judge what clients saw"),
}

EPILOG = """verbs:
{verbs}

Resources are used as `ocelog VERB OPERATION NAME ...`. Those with a single use have no operation: `ocelog lock NAME -- COMMAND`,
and so rwlock and semaphore, `ocelog ids NAME`, `ocelog exists NAME`, `ocelog delete NAME`, `ocelog resource NAME TYPE ...`.

`ocelog VERB --help` tells more. Exit codes: 0, 1 for absent or false, 64 usage, 65 refused or damaged data, 69 unavailable,
73 directory in use, 74 input or output, 75 not in time, or try again, 77 permission, 78 configuration, 130 Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """argparse with sysexits' code for a usage error."""

    def error(self, message: str) -> NoReturn:
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n{_try(self.prog)}\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        # argparse would list each operation in both of its spellings, and not say which one is close.
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            names = [name for name in known if "_" not in name or name.replace("_", "-") not in known]
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{_hint(str(value), names)}")


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.replace("_", "-"), known, n=1)
    return f": did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def _try(program: str) -> str:
    return f"Try: {program} --help"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    if not __debug__:
        return _fail("ocelog checks its invariants with assertions: run it without -O", os.EX_CONFIG)
    _open_what_is_closed()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        return _no_verb(arguments)
    name = arguments.pop(0)
    verb = VERBS.get(name)
    if verb is None:
        return _fail(f"unknown verb {name!r}{_hint(name, list(VERBS))}\n{_try('ocelog')}", os.EX_USAGE)
    return _run(name, verb, arguments)


def _open_what_is_closed() -> None:
    """Write to nowhere what a shell has closed with `>&-`, so that no verb has to think of it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the end


def _no_verb(arguments: list[str]) -> int:
    width = max(map(len, VERBS))
    table = "\n".join(f"  {name:{width}}  {verb.help}" for name, verb in VERBS.items())
    parser = Parser(
        prog="ocelog",
        usage="ocelog VERB ...",
        description="A sharded, replicated state-machine cluster.",
        epilog=EPILOG.format(verbs=table),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ocelog {__version__}")
    parser.parse_args(arguments)
    parser.print_help(sys.stderr)
    return os.EX_USAGE


def _run(name: str, verb: Verb, arguments: list[str]) -> int:
    module = import_module(f".{verb.module}", __package__)
    parser = Parser(prog=f"ocelog {name}", description=verb.help)
    getattr(module, verb.configure)(parser)
    options = parser.parse_args(arguments)
    if verb.module.startswith("client."):
        from .client.child import end_in_order

        end_in_order()
    try:
        code: int = getattr(module, verb.run)(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not complain when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        exit_code = _exit_code(error)
        if exit_code is None:
            raise
        return _fail(_sentence(error) + _advice(error, exit_code, parser.prog, options), exit_code)


def _exit_code(error: Exception) -> int | None:
    """The exit code for an error that a person can do something about; None for a mistake of this program."""
    own: object = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    from .client.protocol import errors

    table: tuple[tuple[type[Exception], int], ...] = (
        (errors.ConnectFailed, os.EX_UNAVAILABLE),
        (errors.BadArgument, os.EX_USAGE),
        (errors.Refused, os.EX_DATAERR),
        (errors.OcelogError, os.EX_TEMPFAIL),  # a deadline that passed, a session that ended: the outcome may be open
        (PermissionError, os.EX_NOPERM),
        (OSError, os.EX_IOERR),
        (UnicodeEncodeError, os.EX_IOERR),  # the terminal's encoding lacks a character
    )
    return next((code for kind, code in table if isinstance(error, kind)), None)


def _advice(error: Exception, exit_code: int, program: str, options: argparse.Namespace) -> str:
    """What can be done about the error, on a line of its own, where it does not say that itself."""
    from .client.protocol.errors import WrongType

    if exit_code == os.EX_USAGE:
        return f"\n{_try(program)}"
    if isinstance(error, WrongType) and "name" in options:  # a bench or torture names its resources itself
        return f"\nTry: another name, or, if nobody needs what is there, ocelog delete {shlex.quote(options.name)}"
    return ""


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _fail(message: str, exit_code: int) -> int:
    print(f"ocelog: {message}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
