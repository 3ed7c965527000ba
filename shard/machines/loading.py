"""Machines of one's own: from `module:Class` to the class, with a sentence for whatever may be wrong with it.

    python -P -m ocelog.shard.machines.loading '{"machines": ["myapp.machines:Bank"], "path": ["/srv/myapp"]}'

looks, in a process that may do as it likes, whether they can be had, and prints `[[text, type, version], ...]`. It also makes
each of them twice and looks at the empty state, which is what the first command of a new resource meets.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import msgpack

from .base import StateMachine
from .installed import Machines
from .registry import BUILT_IN

ERROR_CHARACTERS_MAX = 300


class MachineNotLoaded(Exception):
    """A machine that was asked for cannot be had; the text names it, and says what to do."""

    exit_code = os.EX_CONFIG


def installed(texts: Sequence[str], path: Iterable[str]) -> Machines:
    """The built-in machines and those of one's own; `path` are folders in which modules are looked for last of all.

    Raises MachineNotLoaded.
    """
    for folder in path:
        if folder not in sys.path:
            sys.path.append(folder)
    own = [load(text) for text in texts]
    built_in = {kind.type_name for kind in BUILT_IN}
    for text, kind in zip(texts, own, strict=True):
        if kind.type_name in built_in:
            raise MachineNotLoaded(
                f"machine {text!r}: {kind.type_name!r} is a type of Ocelog's own: give it another type_name"
            )
    try:
        return Machines((*BUILT_IN, *own))
    except ValueError as error:
        raise MachineNotLoaded(
            f"machines {', '.join(texts)}: {error}: give one of them another type_name or version"
        ) from None


def load(text: str) -> type[StateMachine]:
    """The class that `module:Class` names. Raises MachineNotLoaded."""
    module_name, separator, name = text.partition(":")
    if not (separator and module_name and name):
        raise MachineNotLoaded(f"machine {text!r} is to be written as module:Class, for example myapp.machines:Bank")
    try:
        found: Any = import_module(module_name)
    except (Exception, SystemExit) as error:  # a module may raise whatever it likes
        raise MachineNotLoaded(f"machine {text!r}: its module cannot be imported ({_reason(error)})") from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise MachineNotLoaded(f"machine {text!r}: there is no {name} in {module_name}")
    if not (isinstance(found, type) and issubclass(found, StateMachine)):
        raise MachineNotLoaded(f"machine {text!r} is no subclass of ocelog.StateMachine")
    named = type(found.type_name) is str and found.type_name
    if not named or type(found.version) is not int or found.version < 1:
        raise MachineNotLoaded(
            f"machine {text!r} has the type_name {found.type_name!r} and the version {found.version!r}: "
            "it needs a text and a whole number from 1 on"
        )
    _make(text, found)
    return found


def _make(text: str, kind: type[StateMachine]) -> StateMachine:
    """A new machine. Raises MachineNotLoaded: told here it stops a start, told at an opening it would be too late."""
    try:
        machine = kind()
    except Exception as error:
        raise MachineNotLoaded(f"machine {text!r}: {kind.__name__}() raises {_reason(error)}") from error
    if not hasattr(machine, "pending_events"):
        raise MachineNotLoaded(f"machine {text!r}: its __init__ must begin with super().__init__()")
    return machine


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]


def try_empty(text: str, kind: type[StateMachine]) -> None:
    """Whether two new machines are the same, ask nobody, and come back from a snapshot. Raises MachineNotLoaded.

    The testing kit does that with histories; this is what can be seen without any.
    """
    from ..testing.guard import Forbidden, Guard  # brings the executor, which a replica's start must not wait for

    try:
        with Guard().watching():
            first, second = _make(text, kind), _make(text, kind)
            states = _states(first, second) if hasattr(kind, "snapshot") else []
    except Forbidden as forbidden:
        raise MachineNotLoaded(f"machine {text!r}: {forbidden}") from None
    except MachineNotLoaded:
        raise
    except Exception as error:
        raise MachineNotLoaded(f"machine {text!r}: its empty state has no snapshot ({_reason(error)})") from error
    if len(set(states)) > 1:
        raise MachineNotLoaded(
            f"machine {text!r}: two of them differ before any command, or one does after install(snapshot()): "
            "a new machine's state must always be the same"
        )


def _states(first: Any, second: Any) -> list[bytes]:
    """Snapshots of two machines, and of the second once it has installed the first one's."""
    states = [msgpack.packb(machine.snapshot(), use_bin_type=True) for machine in (first, second)]
    second.install(msgpack.unpackb(states[0], raw=False, strict_map_key=False))
    return [*states, msgpack.packb(second.snapshot(), use_bin_type=True)]


def main(argument: str) -> int:
    """Look whether the machines can be had; returns the exit code."""
    asked = json.loads(argument)
    try:
        machines = installed(asked["machines"], asked["path"])
        for text in asked["machines"]:
            try_empty(text, load(text))
    except MachineNotLoaded as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    rows = [[text, load(text).type_name, load(text).version] for text in asked["machines"]]
    assert all(machines.find(name, version) for _, name, version in rows)
    sys.stdout.write(json.dumps(rows) + "\n")
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # whatever threads the modules have started
