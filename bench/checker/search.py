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

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .model import IMPOSSIBLE, Model
from .operation import NEVER, Operation

STATES_MAX = 2_000_000
"""How many places of one search are remembered before it gives up."""

MEMORY_BYTES_MAX = 1 << 30
"""What these places may take, as far as it is known: the states of a long queue or a large map are large themselves."""

PLACE_BYTES = 600
"""What a place takes without its state, its iterator included (measured)."""

STEPS_PER_LOOK = 256
"""Steps between two looks at the clock: a step takes a microsecond, or a millisecond where the state is large."""

Place = tuple[int, tuple[int, ...], int, Any]


class ModelFailed(Exception):
    """A model raised, or its state cannot be remembered; the text names the operation."""


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What a search found: `explained` True, False, or None when it gave up.

    `order` is the longest order found that explains its operations, `state` what it ends in, `open` the operations of which one
    would have to come next. `steps` counts the calls of the model. `bound` names what was used up when it gave up: `seconds`,
    `states` or `memory`.
    """

    explained: bool | None
    order: list[Operation] = field(default_factory=list)
    state: Any = None
    open: list[Operation] = field(default_factory=list)
    steps: int = 0
    bound: str = ""


def search(
    operations: Sequence[Operation],
    model: Model,
    *,
    states_max: int = STATES_MAX,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
    deadline: float = float("inf"),
) -> Outcome:
    """Search until there is a verdict, more is remembered than may be, or `monotonic()` passes `deadline`.

    Raises ModelFailed.
    """
    return _Search(operations, model, states_max, memory_bytes_max, deadline).run()


class _Search:
    """A place is (reached, left, guessed, state).

    Known operations below `reached` have been taken but for those in `left`, of the unknown ones those of the bits of
    `guessed`. There are no more `left` than went on at once, however long one of them took. `order` has what was taken,
    `known` as numbers from 0, `unknown` as -1, -2...
    """

    def __init__(
        self, operations: Sequence[Operation], model: Model, states_max: int, memory_bytes_max: int, deadline: float
    ) -> None:
        self.known = sorted((each for each in operations if each.known), key=lambda each: each.call)
        self.unknown = sorted((each for each in operations if not each.known), key=lambda each: each.call)
        self.silent = [model.is_silent(each) for each in self.known]
        self.model = model
        self.initial = model.initial
        self.states_max = states_max
        self.memory_bytes_max = memory_bytes_max
        self.deadline = deadline
        self.steps = 0
        self.look = STEPS_PER_LOOK
        self.late = False
        self.twin = _twins(self.unknown, model)
        self.order: list[int] = []
        self.best: list[int] = []
        self.best_place: Place = (0, (), 0, self.initial)
        self.best_taken = -1

    def run(self) -> Outcome:
        """The search itself: a stack of iterators over the places that may follow."""
        place = self._forced((0, (), 0, self.initial))
        seen = {place}
        stack = [(self._moves(*place), len(self.order))]
        remembered = 0
        while not self.late and (place[0] < len(self.known) or place[1]):
            moves, length = stack[-1]
            del self.order[length:]
            following = next(moves, None)
            if following is None:
                stack.pop()
                if not stack:
                    return self._outcome(None, "seconds") if self.late else self._outcome(False)
                continue
            taken, place = following
            self.order.append(taken)
            place = self._forced(place)
            if not self._is_new(place, seen):
                continue
            remembered += PLACE_BYTES + 8 * len(place[1]) + (place[2].bit_length() >> 3) + sys.getsizeof(place[3])
            if len(seen) >= self.states_max:
                return self._outcome(None, "states")
            if remembered > self.memory_bytes_max:
                return self._outcome(None, "memory")
            seen.add(place)
            stack.append((self._moves(*place), len(self.order)))
        if self.late:
            return self._outcome(None, "seconds")
        return Outcome(explained=True, order=self._named(self.order), state=place[3], steps=self.steps)

    def _is_new(self, place: Place, seen: set[Place]) -> bool:
        try:
            return place not in seen
        except TypeError as error:
            raise ModelFailed(f"a state of {type(self.model).__name__} cannot be remembered: {error}") from error

    def _step(self, state: Any, operation: Operation) -> Any:
        """What the model makes of it; sets `late` when the time is up."""
        self.steps += 1
        if self.steps >= self.look:
            self.look = self.steps + STEPS_PER_LOOK
            self.late = self.late or monotonic() > self.deadline
        try:
            return self.model.step(state, operation)
        except Exception as error:
            what = f"{type(self.model).__name__} can make nothing of {operation}"
            raise ModelFailed(f"{what}: {type(error).__name__}: {error}") from error

    def _forced(self, place: Place) -> Place:
        """Go on while there is only one way to: what changes nothing, or the only one that may be next."""
        reached, left, guessed, state = place
        known, order, silent = self.known, self.order, self.silent
        end = len(known)
        unknown_from = self.unknown[0].call if self.unknown else NEVER
        while (reached < end or left) and not self.late:
            candidates, limit = self._open(reached, left)
            alone = len(candidates) == 1 and limit < unknown_from
            for position in candidates:
                if not (alone or silent[position]):
                    continue
                after = self._step(state, known[position])
                if after is not IMPOSSIBLE:
                    break
            else:
                return reached, left, guessed, state
            state = after
            order.append(position)
            reached, left = _taken(position, reached, left)
        return reached, left, guessed, state

    def _moves(self, reached: int, left: tuple[int, ...], guessed: int, state: Any) -> Iterator[tuple[int, Place]]:
        """What may be taken at a place, and the places after it, the likeliest first."""
        candidates, limit = self._open(reached, left)
        moves = []
        for position in candidates:
            operation = self.known[position]
            if self._step(state, operation) is not IMPOSSIBLE:
                moves.append((operation.index or NEVER, operation.returned, position))
        if not moves:
            self._dead_end((reached, left, guessed, state))
        moves.sort()
        for _, _, position in moves:
            # The step is taken again rather than its state kept: as many as there are candidates would be kept at every place.
            yield position, (*_taken(position, reached, left), guessed, self._step(state, self.known[position]))
        for number, operation in enumerate(self.unknown):
            if operation.call > limit or self.late:
                return
            twin = self.twin[number]
            if guessed >> number & 1 or (twin >= 0 and not guessed >> twin & 1):
                continue
            after = self._step(state, operation)
            if after is not IMPOSSIBLE and after != state:
                yield -1 - number, (reached, left, guessed | 1 << number, after)

    def _open(self, reached: int, left: tuple[int, ...]) -> tuple[list[int], int]:
        """The known operations of which any may be next: they were called before the first of those not taken returned.

        Whatever is `left` may: something that was called later was taken already.
        """
        known = self.known
        candidates = list(left)
        limit = min([known[position].returned for position in left], default=NEVER)
        for position in range(reached, len(known)):
            operation = known[position]
            if operation.call > limit:
                break
            candidates.append(position)
            if operation.returned < limit:
                limit = operation.returned
        return candidates, limit

    def _dead_end(self, place: Place) -> None:
        taken = place[0] - len(place[1])
        if taken > self.best_taken:
            self.best_taken, self.best_place, self.best = taken, place, self.order.copy()

    def _outcome(self, explained: bool | None, bound: str = "") -> Outcome:
        reached, left, _, state = self.best_place
        positions, _ = self._open(reached, left)
        return Outcome(
            explained=explained,
            order=self._named(self.best),
            state=state,
            open=[self.known[position] for position in positions],
            steps=self.steps,
            bound=bound,
        )

    def _named(self, order: Sequence[int]) -> list[Operation]:
        return [self.known[each] if each >= 0 else self.unknown[-1 - each] for each in order]


def _taken(position: int, reached: int, left: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    if position >= reached:
        return position + 1, (*left, *range(reached, position))
    return reached, tuple([each for each in left if each != position])


def _twins(unknown: Sequence[Operation], model: Model) -> list[int]:
    """For each unknown operation the last one before it that says the same, or -1."""
    last: dict[Any, int] = {}
    twins = []
    for number, operation in enumerate(unknown):
        same = (operation.name, operation.arguments, operation.key, operation.process if model.by_process else None)
        twins.append(last.get(same, -1))
        last[same] = number
    return twins
