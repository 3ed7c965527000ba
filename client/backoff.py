"""How long to wait before the next attempt: doubling, bounded, with jitter.

Jitter keeps a thousand clients that lost the same leader from coming back in the same millisecond.
"""

from __future__ import annotations

from random import Random


class Backoff:
    """Delays in seconds from `first` doubling to `last`, each drawn from 75 to 125 % of its size."""

    __slots__ = ("_delay", "_first", "_last", "_random")

    def __init__(self, random: Random, first: float, last: float) -> None:
        assert 0 < first <= last, f"a back-off from {first} to {last} s"
        self._random = random
        self._first = first
        self._last = last
        self._delay = first

    def next(self) -> float:
        """The next delay in seconds."""
        delay = self._delay
        self._delay = min(2 * delay, self._last)
        return delay * (0.75 + 0.5 * self._random.random())

    def after(self, least: float) -> float:
        """The next delay, or one of `least` seconds that somebody else asked for, with jitter, if that is longer."""
        return max(self.next(), least * (1 + 0.25 * self._random.random()))

    def reset(self) -> None:
        """Start again at the first delay: the last attempt got somewhere."""
        self._delay = self._first
