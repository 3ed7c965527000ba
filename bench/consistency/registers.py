"""Linearizability of one register at a time: Wing and Gong's search with Lowe's memory of the states it has been in.

Linearizability is local (Herlihy and Wing, 1990, theorem 1), so every key of a map and every counter is looked at by
itself. An operation whose outcome is unknown may take effect at any time after it began, or never; what failed for sure
took no effect and is left out.

Two things keep the search short. An operation that changes nothing and is true now is taken at once: any order that takes it
later can take it now instead. And commands are tried in the order of their log indexes, which is the right one unless something
is wrong; the indexes are a hint only, so a wrong index hides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .records import BOUNDED_LINEARIZABLE, FAILED, LINEARIZABLE, NEVER, UNKNOWN, History, Operation

STEPS_MAX = 2_000_000
"""How many states of one register are looked at before the search gives up."""

_IMPOSSIBLE = object()

Step = Callable[[Operation, Any], Any]
"""The state after an operation, or _IMPOSSIBLE where its result says that this was not the state before."""


def on_register(operation: Operation, state: Any) -> Any:
    """Key of a map: every command but `clear` tells what was there before it."""
    name, told = operation.name, operation.outcome != UNKNOWN and operation.name != "clear"
    if told and operation.result != state:
        return _IMPOSSIBLE
    if name == "get":
        return state
    if name in ("remove", "clear"):
        return None
    writes = {"put": True, "put_if_absent": state is None, "replace": state is not None}[name]
    return operation.value if writes else state


def on_counter(operation: Operation, state: Any) -> Any:
    """Counter: `add` tells the new value."""
    after = state if operation.name == "get" else state + operation.value
    return _IMPOSSIBLE if operation.outcome != UNKNOWN and operation.result != after else after


def not_linearizable(history: History) -> list[str]:
    """What is wrong with the writes and the LINEARIZABLE and BOUNDED_LINEARIZABLE reads, a sentence per register."""
    complaints = []
    for (resource, key), operations in _registers(history.operations).items():
        step, state = (on_counter, 0) if key is None else (on_register, None)
        if (found := explain(operations, step, state)) is not None:
            complaints.append(f"{resource}[{key}] is not linearizable: {found}")
    return complaints


def _registers(operations: Iterable[Operation]) -> dict[tuple[str, str | None], list[Operation]]:
    registers: dict[tuple[str, str | None], list[Operation]] = defaultdict(list)
    clears = []
    for operation in operations:
        strong = not operation.is_query or operation.level in (LINEARIZABLE, BOUNDED_LINEARIZABLE)
        if operation.outcome == FAILED or not strong or (operation.is_query and operation.outcome == UNKNOWN):
            continue
        if operation.name == "clear":
            clears.append(operation)
        else:
            registers[operation.resource, operation.key].append(operation)
    for clear in clears:
        for (resource, key), register in registers.items():
            if resource == clear.resource and key is not None:
                register.append(clear)
    return registers


def explain(operations: Sequence[Operation], step: Step, state: Any) -> str | None:
    """None when some order of the operations explains every result; else where every attempt ended."""
    known = sorted((each for each in operations if each.outcome != UNKNOWN), key=lambda each: each.invoked)
    unknown = sorted((each for each in operations if each.outcome == UNKNOWN), key=lambda each: each.invoked)
    return _Search(known, unknown, step).run(state)


class _Search:
    """A place in the search is (first, later, guessed, state).

    Known operations below `first` and those of the bits of `later` (counted from `first`) have been taken, of the unknown
    ones those of the bits of `guessed`.
    """

    def __init__(self, known: Sequence[Operation], unknown: Sequence[Operation], step: Step) -> None:
        self.known = known
        self.unknown = unknown
        self.step = step
        self.furthest = 0

    def run(self, state: Any) -> str | None:
        place = (0, 0, 0, state)
        seen = {place}
        stack = [self._moves(*place)]
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                continue
            if following[0] == len(self.known):
                return None
            if following not in seen:
                if len(seen) >= STEPS_MAX:
                    return f"undecided after {STEPS_MAX} states, around {self.known[self.furthest]}"
                seen.add(following)
                self.furthest = max(self.furthest, following[0])
                stack.append(self._moves(*following))
        return None if not self.known else f"nothing explains {self.known[self.furthest]}, nor any other order"

    def _moves(self, first: int, later: int, guessed: int, state: Any) -> Iterator[tuple[int, int, int, Any]]:
        """The places after this one, the likeliest first."""
        candidates, limit = self._open(first, later)
        moves = []
        for position in candidates:
            operation = self.known[position]
            after = self.step(operation, state)
            if after is _IMPOSSIBLE:
                continue
            if after == state:
                yield (*self._taken(position, first, later), guessed, state)
                return
            moves.append((operation.index, position, after))
        for _, position, after in sorted(moves, key=lambda move: move[:2]):
            yield (*self._taken(position, first, later), guessed, after)
        for number, operation in enumerate(self.unknown):
            if operation.invoked > limit:
                return
            after = self.step(operation, state) if not guessed >> number & 1 else state
            if after != state:
                yield first, later, guessed | 1 << number, after

    def _open(self, first: int, later: int) -> tuple[list[int], int]:
        """The operations of which any may be the next: they began before the first of those left has ended."""
        candidates = []
        limit = NEVER
        for position in range(first, len(self.known)):
            operation = self.known[position]
            if operation.invoked > limit:
                break
            if not later >> (position - first) & 1:
                candidates.append(position)
                limit = min(limit, operation.returned)
        return candidates, limit

    @staticmethod
    def _taken(position: int, first: int, later: int) -> tuple[int, int]:
        later |= 1 << (position - first)
        while later & 1:
            later >>= 1
            first += 1
        return first, later
