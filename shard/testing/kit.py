"""`check`: many histories on one machine, and the shortest that breaks it, told step by step."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from ..machines.base import RELEASE, StateMachine
from .histories import Step
from .steps import Choices, as_steps, draw, framework_events, letters, told
from .trial import SHORT, Problem, Trial, result_of
from .workers import WORKER, Workers

SHRINK_SECONDS = 20.0
WORDS_MAX = 1500
"""Short histories tried one by one, before any is drawn."""

ELSEWHERE_MAX = 150
"""So many of them are tried in other processes too; what is drawn always is."""


class MachineBroken(AssertionError):
    """A machine breaks. `steps` is the shortest history found, `problem` what is wrong (`at`, `kind`, `text`)."""

    def __init__(self, text: str, steps: Sequence[Step], problem: Problem) -> None:
        super().__init__(text)
        self.steps = list(steps)
        self.problem = problem


def check(
    machine: type[StateMachine],
    commands: Any,
    *,
    queries: Sequence[Sequence[Any]] = (),
    examples: int = 60,
    length: int = 25,
    seed: int = 0,
    processes: bool = True,
) -> None:
    """Try a machine; raises MachineBroken, an AssertionError, with the shortest history that breaks it.

    `commands`: a history, that is a list of commands `(name, argument...)` and of events (`wait(ms)`, `close(session)`...);
    or a mapping of each command to the values of its arguments, from which `examples` histories of at most `length` steps
    are drawn by `seed`, after all short ones; or a hypothesis strategy for one command, or for a history. `queries` are
    `(name, argument...)`, asked after each step, and may change nothing. Unless `processes` is False each history runs in
    processes that hash differently as well, so the class must be one that another process can import or load by its file.
    Raises TypeError for what it cannot try.
    """
    if os.environ.get(WORKER):
        return
    if not (isinstance(machine, type) and issubclass(machine, StateMachine) and machine.type_name):
        raise TypeError(f"{machine!r:.60} is no StateMachine with a type_name")
    _Check(machine, queries, seed, processes).run(_histories(machine, commands, examples, length, seed))


def _histories(
    machine: type[StateMachine], commands: Any, examples: int, length: int, seed: int
) -> Iterator[list[Step]]:
    name = machine.type_name
    if isinstance(commands, Mapping):
        _check_names(machine, commands)
        yield from _short_words(name, commands)
        random = Random(seed)
        for _ in range(examples):
            yield draw(random, name, commands, length)
    elif isinstance(commands, Sequence) and not isinstance(commands, str | bytes):
        yield as_steps(name, commands)
    elif hasattr(commands, "filter") and hasattr(commands, "example"):
        yield from _drawn_by_hypothesis(name, commands, examples, length, seed)
    else:
        raise TypeError(f"commands are a list, a mapping or a hypothesis strategy, not {commands!r:.60}")


def _check_names(machine: type[StateMachine], choices: Choices) -> None:
    for name, those in choices.items():
        operation = machine.operations.get(name)
        if operation is None or operation.mode is None:
            raise TypeError(f"a {machine.type_name} has no command {name!r}")
        if not operation.arguments_min <= len(those) <= operation.arguments_max:
            raise TypeError(
                f"{name} takes {operation.arguments_min} to {operation.arguments_max} arguments, not {len(those)}"
            )


def _short_words(name: str, choices: Choices) -> Iterator[list[Step]]:
    """All histories of one, two... letters as long as they are not too many."""
    alphabet: list[list[Step]] = [[("wait", 1), letter] for letter in letters(name, choices)]
    alphabet += [[("wait", 1), tuple(event)] for event in framework_events() if event[0] in ("again", "close")]
    alphabet.append([("wait", 5000), ("noop",)])
    count = 0
    for size in itertools.count(1):
        count += len(alphabet) ** size
        if count > WORDS_MAX and size > 1:
            return
        for word in itertools.product(alphabet, repeat=size):
            yield [step for letter in word for step in letter]


def _drawn_by_hypothesis(name: str, commands: Any, examples: int, length: int, seed: int) -> Iterator[list[Step]]:
    import hypothesis
    from hypothesis import strategies as st

    from .steps import DELAYS, SESSIONS, Event, wait

    one = st.one_of(
        commands.map(lambda drawn: drawn if isinstance(drawn, list) else [drawn]),
        st.tuples(st.sampled_from(SESSIONS), commands).map(
            lambda pair: [
                Event(("command", pair[0], *pair[1])) if type(pair[1]) is tuple else pair[1]
                for _ in (0,)
                if not isinstance(pair[1], list)
            ]
        ),
        st.sampled_from(DELAYS).map(lambda ms: [wait(ms)]),
        st.sampled_from(framework_events()).map(lambda event: [event]),
    )
    found: list[list[Step]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.lists(one, min_size=1, max_size=length))
    def collect(drawn: list[list[Any]]) -> None:
        found.append(as_steps(name, [step for part in drawn for step in part]))

    collect()
    yield from found


class _Check:
    """Tries histories one after the other until one breaks the machine."""

    def __init__(
        self, machine: type[StateMachine], queries: Sequence[Sequence[Any]], seed: int, processes: bool
    ) -> None:
        self.machine = machine
        self.queries = queries
        self.seed = seed
        self.workers = Workers(machine) if processes else None

    def run(self, histories: Iterator[list[Step]]) -> None:
        """Raises MachineBroken."""
        try:
            for number, steps in enumerate(histories):
                elsewhere = number < ELSEWHERE_MAX or len(steps) > SHORT
                problem = self._problem(steps, elsewhere=elsewhere)
                if problem is not None:
                    self._give(*_shrunk(steps, problem, self._problem))
        finally:
            if self.workers is not None:
                self.workers.close()

    def _problem(self, steps: Sequence[Step], *, elsewhere: bool = True) -> Problem | None:
        problem = Trial(self.machine, steps, queries=self.queries, seed=self.seed).problem
        if problem is None and elsewhere and self.workers is not None:
            difference = self.workers.difference(steps)
            if difference is not None:
                return Problem(difference[0], "processes", difference[1])
        return problem

    def _give(self, steps: Sequence[Step], problem: Problem) -> None:
        lines = [f"{self.machine.__name__} breaks. The shortest history that was found:", *_story(self.machine, steps)]
        where = f"after step {problem.at}" if problem.at else "before the first step"
        lines.append(f"  {where}: {problem.text}")
        raise MachineBroken("\n".join(lines), steps, problem)


def _story(machine: type[StateMachine], steps: Sequence[Step]) -> Iterator[str]:
    """Each step with its entry, its mode and its result."""
    history = Trial(machine, steps).history
    index = 3
    for number, step in enumerate(steps, 1):
        line = f"  {number:3}  "
        if step[0] == "wait":
            yield f"{line}{step[1]} ms pass"
            continue
        made = not (
            step[0] == "handled" or (step[0] == "again" and all(s[0] != "command" for s in steps[: number - 1]))
        )
        index += made
        line += f"entry {index}: {told(step)}" if made else told(step)
        if step[0] == "command":
            operation = machine.operations.get(step[3])
            mode = "no command" if operation is None else "RELEASE" if operation.mode == RELEASE else "SNAPSHOT"
            result = result_of(history, index)
            line += f"  [{mode}]" + ("" if result is None else f" -> {result}")
        yield line


def _shrunk(
    steps: list[Step], problem: Problem, problem_of: Callable[[list[Step]], Problem | None]
) -> tuple[list[Step], Problem]:
    """Leave out what can be left out; what is kept breaks the machine in the same manner."""
    deadline = time.monotonic() + SHRINK_SECONDS
    chunk = max(1, len(steps) // 2)
    while True:
        position, smaller = 0, False
        while position < len(steps) and time.monotonic() < deadline:
            candidate = steps[:position] + steps[position + chunk :]
            found = problem_of(candidate) if candidate else None
            if found is not None and found.kind == problem.kind:
                steps, problem, smaller = candidate, found, True
            else:
                position += chunk
        if (chunk == 1 and not smaller) or time.monotonic() >= deadline:
            return steps, problem
        chunk = max(1, chunk // 2)
