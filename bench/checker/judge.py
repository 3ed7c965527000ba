"""The verdict on a history: every object, and every part of it that can be judged alone, has to be explained by some order.

Bounded: a part whose search takes too long or remembers too much is undecided, which is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .model import Model
from .operation import NEVER, Operation, printable
from .search import MEMORY_BYTES_MAX, STATES_MAX, Outcome, search


@dataclass(kw_only=True, slots=True)
class Bounds:
    """How much a whole check may take: `seconds`, and remembered places of one part at a time and their bytes."""

    seconds: float = 300.0
    states_max: int = STATES_MAX
    memory_bytes_max: int = MEMORY_BYTES_MAX


@dataclass(kw_only=True, slots=True)
class Finding:
    """A part that no order explains, or about which nothing could be decided (`outcome.explained` None)."""

    resource: str
    model: str
    key: Any
    part: Model
    operations: list[Operation]
    outcome: Outcome

    @property
    def title(self) -> str:
        """Which object, and which of its keys."""
        name = printable(self.resource) or self.model
        return name if self.key is None else f"{name}[{self.key!r}]"

    def __str__(self) -> str:
        taken = f"{len(self.outcome.order)} of {len(self.operations)} operations were placed"
        if self.outcome.explained is None:
            bound = self.outcome.bound
            return f"{self.title} is undecided after {self.outcome.steps} steps, all its {bound} used up; {taken}"
        blocked = self.blocked
        what = f"nothing explains {blocked}" if blocked is not None else "no order explains it"
        return f"{self.title} is not linearizable: {what}; {taken}"

    @property
    def blocked(self) -> Operation | None:
        """The operation that returned before any of those left could be placed: it is the one that has no place."""
        return min(self.outcome.open, key=lambda each: each.returned, default=None)


@dataclass(kw_only=True, slots=True)
class Judgement:
    """What came of a check."""

    operations: int = 0
    unknown: int = 0
    parts: int = 0
    steps: int = 0
    seconds: float = 0.0
    wrong: list[Finding] = field(default_factory=list)
    undecided: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`linearizable`, `not linearizable` or `undecided`: a part that is wrong is wrong whatever the others are."""
        return "not linearizable" if self.wrong else "undecided" if self.undecided else "linearizable"


def judge(operations: Sequence[Operation], models: Mapping[str, Model], bounds: Bounds | None = None) -> Judgement:
    """Judge all operations; each names its model, which is one of `models`. Raises ModelFailed."""
    bounds = bounds or Bounds()
    began = monotonic()
    judgement = Judgement(operations=len(operations), unknown=sum(not each.known for each in operations))
    for resource, model, key, part, group in _parts(operations, models):
        outcome = search(
            group,
            part,
            states_max=bounds.states_max,
            memory_bytes_max=bounds.memory_bytes_max,
            deadline=began + bounds.seconds,
        )
        judgement.parts += 1
        judgement.steps += outcome.steps
        if not outcome.explained:
            found = Finding(resource=resource, model=model, key=key, part=part, operations=group, outcome=outcome)
            (judgement.undecided if outcome.explained is None else judgement.wrong).append(found)
    judgement.seconds = monotonic() - began
    return judgement


REPEATED_MAX = 10_000_000
"""How often operations may be in more than one part, over all parts of an object; 8 bytes each."""

Part = tuple[str, str, Any, Model, list[Operation]]


def _parts(operations: Iterable[Operation], models: Mapping[str, Model]) -> list[Part]:
    """Every part of every object, the short ones first: a long one may use up the time."""
    objects: dict[tuple[str, str], list[Operation]] = {}
    for operation in operations:
        objects.setdefault((operation.resource, operation.model), []).append(operation)
    parts = [
        (resource, model, key, part, group)
        for (resource, model), found in objects.items()
        for key, part, group in _split(models[model], found)
    ]
    return sorted(parts, key=lambda each: len(each[4]))


def _split(model: Model, operations: list[Operation]) -> list[tuple[Any, Model, list[Operation]]]:
    """The parts of one object, or all of it where these would repeat its operations too often: a clear is in every key."""
    parts, total = [], 0
    for part in model.parts(operations):
        parts.append(part)
        total += len(part[2])
        if total > REPEATED_MAX + len(operations):
            return [(None, model, operations)]
    return parts


def last_known(operations: Iterable[Operation]) -> int:
    """When the last of the known operations returned; 0 when there is none."""
    return max((each.returned for each in operations if each.returned < NEVER), default=0)
