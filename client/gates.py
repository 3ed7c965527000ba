"""What barriers and latches tell, for the asyncio and the blocking handles alike."""

from __future__ import annotations

from typing import NamedTuple

from .protocol.errors import BadArgument, OcelogError


class BrokenBarrier(OcelogError):
    """One of those who waited at the barrier gave up or was lost, or it was reset: nobody of them passes.

    `generation` is the one that broke, with which `reset` lets the barrier be used again.
    """

    def __init__(self, generation: int, **context: object) -> None:
        self.generation = generation
        super().__init__(f"the barrier broke in its generation {generation}", **context)


class Passed(NamedTuple):
    """A party that passed: with the barrier's which `generation`, from 1, and as which in the order of coming, from 0.

    `session` and `number` say which request that was.
    """

    generation: int
    arrival: int
    session: int
    number: int


class BarrierStatus(NamedTuple):
    """The `generation` that gathers or is `broken`, for how many `parties` (None while nobody waits), and how many wait.

    `inside` is how many have entered and not left yet.
    """

    generation: int
    parties: int | None
    waiting: int
    broken: bool
    inside: int


def passed(answer: list[int], resource: str, shard: int) -> Passed:
    """What the shard answered to a party. Raises BrokenBarrier."""
    if answer[1] is None:
        raise BrokenBarrier(answer[0], resource=resource, shard=shard)
    return Passed(*answer)


def checked(entered: Passed) -> Passed:
    """The party itself. Raises BadArgument."""
    if not isinstance(entered, Passed):
        raise BadArgument(f"who leaves a barrier does so with what `enter` returned, not with {entered!r:.60}")
    return entered


def number(name: str, value: int) -> int:
    """The number itself, which is from 1 on and fits 64 bits. Raises BadArgument."""
    if type(value) is not int or not 0 < value < 1 << 63:
        raise BadArgument(f"{name} is a whole number from 1 on, not {value!r:.60}")
    return value
