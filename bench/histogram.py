"""Durations in logarithmic buckets: 128 to the octave, so that a quantile is at most 1/128 too high.

Pure arithmetic on numpy arrays. The layout is HdrHistogram's (Tene): values below 256 ns have a bucket each, above that
every power of two has 128 equal ones.

Invariants: histograms merge by adding their counts; `quantile` never answers less than the exact one, nor more than the
longest duration recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BITS = 7
_SUB_BUCKETS = 1 << _BITS
_OCTAVES = 40
VALUE_MAX = (1 << (_BITS + _OCTAVES)) - 1
"""Longest duration told apart, in ns (39 hours); longer ones count as this one."""

RELATIVE_ERROR = 1 / _SUB_BUCKETS


class Histogram:
    """Counts of durations in nanoseconds."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(_SUB_BUCKETS * (_OCTAVES + 1), dtype=np.int64)
        self.longest = 0

    @classmethod
    def of(cls, durations: ArrayLike) -> Histogram:
        """A histogram of the given durations."""
        histogram = cls()
        histogram.record(durations)
        return histogram

    def __len__(self) -> int:
        return int(self.counts.sum())

    def record(self, durations: ArrayLike) -> None:
        """Count durations (any shape, ns). Raises ValueError for a negative one."""
        values = np.minimum(np.asarray(durations, dtype=np.int64).ravel(), VALUE_MAX)
        if not len(values):
            return
        if int(values.min()) < 0:
            raise ValueError(f"a duration of {int(values.min())} ns")
        self.counts += np.bincount(_buckets(values), minlength=len(self.counts))
        self.longest = max(self.longest, int(values.max()))

    def merge(self, others: Iterable[Histogram]) -> None:
        """Add what the others counted."""
        for other in others:
            self.counts += other.counts
            self.longest = max(self.longest, other.longest)

    def quantile(self, fraction: float) -> int:
        """The duration (ns) that `fraction` of all do not exceed; 0 if none was recorded."""
        total = len(self)
        if total == 0:
            return 0
        rank = max(1, int(np.ceil(fraction * total)))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return min(_highest(bucket), self.longest)

    def summary_ms(self) -> dict[str, float]:
        """p50, p90, p99, p999 and max in milliseconds."""
        quantiles = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
        summary = {name: self.quantile(fraction) / 1e6 for name, fraction in quantiles.items()}
        return {**summary, "max": self.longest / 1e6}


def _buckets(values: NDArray[np.int64]) -> NDArray[np.int64]:
    # frexp is exact here: VALUE_MAX is far below 2^53, where a float still holds every integer.
    exponents = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    octaves = np.maximum(exponents - (_BITS + 1), 0)
    buckets: NDArray[np.int64] = octaves * _SUB_BUCKETS + (values >> octaves)
    return buckets


def _highest(bucket: int) -> int:
    """The largest value that falls into a bucket."""
    octave = max(bucket // _SUB_BUCKETS - 1, 0)
    sub_bucket = bucket - octave * _SUB_BUCKETS
    return ((sub_bucket + 1) << octave) - 1
