"""How long to wait before the next attempt: growing, bounded, with jitter.

Jitter keeps a thousand clients that lost the same leader from coming back in the same millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from random import Random


@dataclass(frozen=True, slots=True)
class Once:
    """No second attempt: a client that finds no router in one round over all endpoints fails to connect at once.

    A client that has been connected goes on looking for routers, and repeats what is unanswered, as with the default:
    giving up what is in flight would leave sequences of the session without an end.
    """


@dataclass(frozen=True, slots=True)
class Exponential:
    """Pauses in seconds from `first`, doubling, to `last`, each drawn from 75 to 125 % of its size."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Fibonacci:
    """Pauses of `first` seconds times 1, 1, 2, 3, 5, 8..., at most `last`, each drawn from 75 to 125 % of its size."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check(self.first, self.last)


Strategy = Once | Exponential | Fibonacci


def _check(first: float, last: float) -> None:
    if not (0 < first <= last and isfinite(last)):
        raise ValueError(f"pauses are from first to last seconds, both above 0, not from {first!r} to {last!r}")


class Backoff:
    """Delays in seconds from `first` doubling to `last`, each drawn from 75 to 125 % of its size."""

    __slots__ = ("_delay", "_fibonacci", "_first", "_last", "_previous", "_random")

    def __init__(self, random: Random, first: float, last: float, *, fibonacci: bool = False) -> None:
        assert 0 < first <= last, f"a back-off from {first} to {last} s"
        self._random = random
        self._first = first
        self._last = last
        self._fibonacci = fibonacci
        self._previous = 0.0
        self._delay = first

    def next(self) -> float:
        """The next delay in seconds."""
        delay = self._delay
        self._delay = min(delay + (self._previous if self._fibonacci else delay), self._last)
        self._previous = delay
        return delay * (0.75 + 0.5 * self._random.random())

    def after(self, least: float) -> float:
        """The next delay, or one of `least` seconds that somebody else asked for, with jitter, if that is longer."""
        return max(self.next(), least * (1 + 0.25 * self._random.random()))

    def reset(self) -> None:
        """Start again at the first delay: the last attempt got somewhere."""
        self._delay = self._first
        self._previous = 0.0


def start(strategy: Strategy | None, random: Random, first: float, last: float) -> Backoff:
    """The delays of a strategy; where it names none, from `first` doubling to `last`."""
    if strategy is None or isinstance(strategy, Once):
        return Backoff(random, first, last)
    return Backoff(random, strategy.first, strategy.last, fibonacci=isinstance(strategy, Fibonacci))
