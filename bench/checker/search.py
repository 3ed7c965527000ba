"""Is there an order of these operations that explains every result? Wing and Gong's search, with Lowe's memory of its places.

An operation may be next when no other that is left has returned before it was called. One whose outcome is unknown may be
next at any time after its call, or never. Three things keep the search short, and none changes its verdict:

- An operation that changes nothing whenever it happens and is true now is taken at once: an order that takes it later can
  take it now instead. (Not one that only changes nothing now: a `clear` of what is empty may be needed later.)
- Known operations are tried in the order of their hints, which is the right one unless something is wrong.
- Of unknown operations that say the same, the one called first is taken first: another order can swap them.

Wing and Gong, "Testing and verifying concurrent objects", J. Parallel Distrib. Comput. 17 (1993); Lowe, "Testing for
linearizability", Concurrency and Computation 29(4), 2017, section 3. Pure but for the clock that bounds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .model import IMPOSSIBLE, Model
from .operation import NEVER, Operation

STATES_MAX = 2_000_000
"""How many places of one search are remembered, some 200 to 500 bytes each, before it gives up."""

STEPS_PER_LOOK = 4096
"""Steps between two looks at the clock."""

Place = tuple[int, int, int, Any]


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What a search found: `explained` True, False, or None when it gave up.

    `order` is the longest order found that explains its operations, `state` what it ends in, `open` the operations of which one
    would have to come next. `steps` counts the calls of the model.
    """

    explained: bool | None
    order: list[Operation] = field(default_factory=list)
    state: Any = None
    open: list[Operation] = field(default_factory=list)
    steps: int = 0


def search(
    operations: Sequence[Operation],
    model: Model,
    *,
    states_max: int = STATES_MAX,
    deadline: float = float("inf"),
) -> Outcome:
    """Search until there is a verdict, more than `states_max` places are known, or `monotonic()` passes `deadline`."""
    return _Search(operations, model, states_max, deadline).run()


class _Search:
    """A place is (first, later, guessed, state).

    Known operations below `first` and those of the bits of `later` (counted from `first`) have been taken, of the unknown
    ones those of the bits of `guessed`. `order` has what was taken, `known` as numbers from 0, `unknown` as -1, -2...
    """

    def __init__(self, operations: Sequence[Operation], model: Model, states_max: int, deadline: float) -> None:
        self.known = sorted((each for each in operations if each.known), key=lambda each: each.call)
        self.unknown = sorted((each for each in operations if not each.known), key=lambda each: each.call)
        self.silent = [model.is_silent(each) for each in self.known]
        self.step = model.step
        self.initial = model.initial
        self.states_max = states_max
        self.deadline = deadline
        self.steps = 0
        self.twin = _twins(self.unknown, model)
        self.order: list[int] = []
        self.best: list[int] = []
        self.best_place: Place = (0, 0, 0, self.initial)
        self.best_taken = -1

    def run(self) -> Outcome:
        """The search itself: a stack of iterators over the places that may follow."""
        place = self._forced((0, 0, 0, self.initial))
        seen = {place}
        stack = [(self._moves(*place), len(self.order))]
        look = STEPS_PER_LOOK
        while place[0] < len(self.known):
            if self.steps >= look:
                look = self.steps + STEPS_PER_LOOK
                if monotonic() > self.deadline:
                    return self._outcome(None)
            moves, length = stack[-1]
            del self.order[length:]
            following = next(moves, None)
            if following is None:
                stack.pop()
                if not stack:
                    return self._outcome(False)
                continue
            taken, place = following
            self.order.append(taken)
            place = self._forced(place)
            if place not in seen:
                if len(seen) >= self.states_max:
                    return self._outcome(None)
                seen.add(place)
                stack.append((self._moves(*place), len(self.order)))
        return Outcome(explained=True, order=self._named(self.order), state=place[3], steps=self.steps)

    def _forced(self, place: Place) -> Place:
        """Go on while there is only one way to: what changes nothing, or the only one that may be next."""
        first, later, guessed, state = place
        known, step, order, silent = self.known, self.step, self.order, self.silent
        end = len(known)
        unknown_from = self.unknown[0].call if self.unknown else NEVER
        while first < end:
            candidates, limit = self._open(first, later)
            alone = len(candidates) == 1 and limit < unknown_from
            for position in candidates:
                if not (alone or silent[position]):
                    continue
                after = step(state, known[position])
                self.steps += 1
                if after is not IMPOSSIBLE:
                    break
            else:
                return first, later, guessed, state
            state = after
            order.append(position)
            later |= 1 << (position - first)
            while later & 1:
                later >>= 1
                first += 1
        return first, later, guessed, state

    def _moves(self, first: int, later: int, guessed: int, state: Any) -> Iterator[tuple[int, Place]]:
        """What may be taken at a place, and the places after it, the likeliest first."""
        candidates, limit = self._open(first, later)
        moves = []
        for position in candidates:
            operation = self.known[position]
            after = self.step(state, operation)
            self.steps += 1
            if after is not IMPOSSIBLE:
                moves.append((operation.index or NEVER, operation.returned, position, after))
        if not moves:
            self._dead_end((first, later, guessed, state))
        moves.sort(key=lambda move: move[:3])
        for _, _, position, after in moves:
            yield position, (*_taken(position, first, later), guessed, after)
        for number, operation in enumerate(self.unknown):
            if operation.call > limit:
                return
            twin = self.twin[number]
            if guessed >> number & 1 or (twin >= 0 and not guessed >> twin & 1):
                continue
            after = self.step(state, operation)
            self.steps += 1
            if after is not IMPOSSIBLE and after != state:
                yield -1 - number, (first, later, guessed | 1 << number, after)

    def _open(self, first: int, later: int) -> tuple[list[int], int]:
        """The known operations of which any may be next: they were called before the first of those left returned."""
        candidates = []
        limit = NEVER
        known = self.known
        position = first
        end = len(known)
        while position < end:
            operation = known[position]
            if operation.call > limit:
                break
            if not later & 1:
                candidates.append(position)
                if operation.returned < limit:
                    limit = operation.returned
            later >>= 1
            position += 1
        return candidates, limit

    def _dead_end(self, place: Place) -> None:
        taken = place[0] + place[1].bit_count()
        if taken > self.best_taken:
            self.best_taken, self.best_place, self.best = taken, place, self.order.copy()

    def _outcome(self, explained: bool | None) -> Outcome:
        first, later, _, state = self.best_place
        positions, _ = self._open(first, later)
        return Outcome(
            explained=explained,
            order=self._named(self.best),
            state=state,
            open=[self.known[position] for position in positions],
            steps=self.steps,
        )

    def _named(self, order: Sequence[int]) -> list[Operation]:
        return [self.known[each] if each >= 0 else self.unknown[-1 - each] for each in order]


def _taken(position: int, first: int, later: int) -> tuple[int, int]:
    later |= 1 << (position - first)
    while later & 1:
        later >>= 1
        first += 1
    return first, later


def _twins(unknown: Sequence[Operation], model: Model) -> list[int]:
    """For each unknown operation the last one before it that says the same, or -1."""
    last: dict[Any, int] = {}
    twins = []
    for number, operation in enumerate(unknown):
        same = (operation.name, operation.arguments, operation.key, operation.process if model.by_process else None)
        twins.append(last.get(same, -1))
        last[same] = number
    return twins
