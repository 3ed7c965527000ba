"""What a run measured: throughput, latency, the longest gap and the pace of each tenth, from acknowledged rows.

Pure functions of a history; times are ns in and seconds or milliseconds out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .histogram import Histogram
from .history import Column, History

TENTHS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """`seconds` runs from the first operation's start to the last one's end; `tenths` are operations per second."""

    operations: int = 0
    seconds: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    longest_gap_ms: float = 0.0
    tenths: tuple[float, ...] = ()

    @property
    def operations_per_second(self) -> float:
        """Mean throughput; 0 when nothing was done."""
        return self.operations / self.seconds if self.seconds else 0.0


def measure(history: History) -> Figures:
    """Figures of the acknowledged operations in a load; the gap before the first one counts, too."""
    done = history.select(history.acknowledged)
    if not len(done):
        return Figures()
    began = int(history.started.min())
    ends = np.sort(done.finished)
    return Figures(
        operations=len(done),
        seconds=(int(ends[-1]) - began) / 1e9,
        latency=Histogram.of(done.finished - done.started),
        longest_gap_ms=longest_gap_ns(began, ends) / 1e6,
        tenths=tuple(_paces(began, ends)),
    )


def count_within(history: History, bound_ns: int) -> int:
    """How many acknowledged operations took no longer than `bound_ns`."""
    return int((history.finished - history.started <= bound_ns).sum())


def longest_gap_ns(began: int, ends: Column) -> int:
    """The longest time (ns) without a completed operation; `ends` are sorted."""
    return int(np.diff(ends, prepend=began).max())


def _paces(began: int, ends: Column) -> list[float]:
    """Operations per second in each tenth of the operations (not of the time)."""
    if len(ends) < TENTHS:
        return []
    edges = [len(ends) * tenth // TENTHS for tenth in range(TENTHS + 1)]
    times = [began, *(int(ends[edge - 1]) for edge in edges[1:])]
    counts = np.diff(edges)
    spans = np.maximum(np.diff(times), 1)
    return [float(pace) for pace in counts * 1e9 / spans]
