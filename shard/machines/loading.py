"""Machines of one's own: from `module:Class` to the class, with a sentence for whatever may be wrong with it.

    python -P -m ocelog.shard.machines.loading '{"machines": ["myapp.machines:Bank"], "path": ["/srv/myapp"]}'

looks, in a process that may do as it likes, whether they can be had, and prints `[[text, type, version], ...]`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

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
    except Exception as error:  # a module may raise whatever it likes
        reason = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
        raise MachineNotLoaded(f"machine {text!r}: its module cannot be imported ({reason})") from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise MachineNotLoaded(f"machine {text!r}: there is no {name} in {module_name}")
    if not (isinstance(found, type) and issubclass(found, StateMachine)):
        raise MachineNotLoaded(f"machine {text!r} is no subclass of ocelog.StateMachine")
    if not found.type_name or type(found.version) is not int or found.version < 1:
        raise MachineNotLoaded(
            f"machine {text!r} has the type_name {found.type_name!r} and the version {found.version!r}: "
            "it needs a text and a whole number from 1 on"
        )
    return found


def main(argument: str) -> int:
    """Look whether the machines can be had; returns the exit code."""
    asked = json.loads(argument)
    try:
        machines = installed(asked["machines"], asked["path"])
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
