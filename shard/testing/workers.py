"""The same history in processes that hash differently: what depends on the order of a set, or on an address, shows.

A worker is a Python process that runs `main`: it reads a line of JSON for each history, and answers with one.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..machines.base import StateMachine
from .histories import Step
from .trial import outcome_of

WORKER = "OCELOG_TESTING_WORKER"
"""Set in the environment of a worker, in which `check` does nothing: the module it loads may call it."""

PROGRAM = "import sys; from ocelog.shard.testing.workers import main; sys.exit(main(sys.argv[1]))"

HASH_SEEDS = ("0", "1", "4242")


class Workers:
    """Processes that have loaded the machine. Raises TypeError when it cannot be loaded elsewhere."""

    def __init__(self, machine: type[StateMachine]) -> None:
        address = _address(machine)
        self._processes = [_start(seed, address) for seed in HASH_SEEDS]
        for process in self._processes:
            answer = _read(process)
            if "error" in answer:
                self.close()
                raise TypeError(f"{machine.__name__} cannot be loaded by another process: {answer['error']}")

    def difference(self, steps: Sequence[Step]) -> tuple[int, str] | None:
        """After which step the processes differ, and in what; None when they do not."""
        line = json.dumps(repr(list(steps))) + "\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()
        first, *others = [_read(process)["told"] for process in self._processes]
        for at, said in enumerate(first, 1):
            for seed, other in zip(HASH_SEEDS[1:], others, strict=True):
                if other[at - 1 : at] != [said]:
                    found = other[at - 1] if at <= len(other) else {}
                    name = next(name for name in said if said[name] != found.get(name))
                    text = f"two replicas differ in their {name} (their processes hash differently)"
                    here, there = said[name][:400], found.get(name, "")[:400]
                    return (
                        at,
                        f"{text}\n      with PYTHONHASHSEED={HASH_SEEDS[0]} {here}\n      with PYTHONHASHSEED={seed} {there}",
                    )
        return None

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            with suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _address(machine: type[StateMachine]) -> list[str]:
    """Module, name and file by which another process finds the class."""
    if "<locals>" in machine.__qualname__:
        raise TypeError(
            f"{machine.__qualname__} is defined in a function: define it in its module, where others find it"
        )
    file = inspect.getsourcefile(machine) or ""
    return [machine.__module__, machine.__qualname__, os.path.abspath(file)]


def _start(seed: str, address: list[str]) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        WORKER: "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, json.dumps(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    return json.loads(line) if line else {"error": f"it has ended with code {process.wait()}"}


def load(module_name: str, qualified: str, file: str) -> type[StateMachine]:
    """The class of that name; its module is found by name, else by its file."""
    try:
        if module_name == "__main__":
            raise ImportError("a program is loaded by its file")
        module: Any = importlib.import_module(module_name)
        same = os.path.realpath(getattr(module, "__file__", None) or "") == os.path.realpath(file)
    except ImportError:
        same = False
    if not same:
        name = "ocelog_machine_under_test" if module_name == "__main__" else module_name
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None, f"{file} is no module"
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        # What follows the class in a program may fail without the rest of the program; it is not needed here.
        try:
            spec.loader.exec_module(module)
        except Exception:
            if not hasattr(module, qualified.partition(".")[0]):
                raise
    found: Any = module
    for part in qualified.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def main(address: str) -> int:
    """Serve one `Workers` until it closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the module prints is for people

    def tell(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    try:
        machine = load(*json.loads(address))
    except BaseException as error:
        tell(error=f"{type(error).__name__}: {error}")
        return os.EX_DATAERR
    tell(ready=True)
    for line in sys.stdin:
        tell(told=outcome_of(machine, ast.literal_eval(json.loads(line))))
    return os.EX_OK
