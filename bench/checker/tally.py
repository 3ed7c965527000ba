"""Whether what the clients saw is possible: acknowledged history in, lost, duplicated and impossible out.

Pure functions on numpy arrays; knows nothing of clusters, clients or why something went wrong.

Every value is written once, so two checks suffice for a map. *Chain*: a put and a remove return the value they replace
or take away, hence each acknowledged value is seen exactly once more, by one of them or at the end. *Zones* (Gibbons
and Korach, "Testing shared memories", SIAM J. Comput. 26(4), 1997, section 4): a register whose values are unique is
linearizable exactly if no two forward zones of a key overlap and no backward zone lies inside a forward one. Both are
exact but for the absence that removes make, see `zones`. Both take the time of a sort, whatever is in flight at once: a
benchmark has millions of rows and up to thousands of operations at a time on one key, where `search` has no chance.

Invariants: no false alarm: an operation whose outcome is unknown may have happened at any time after it began, or not
at all, and excuses as much as it could have done and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..history import Column, History
from ..rows import FOREIGN, NOTHING, REMOVED
from ..zones import count_impossible


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What went wrong, in numbers of operations.

    `lost`: acknowledged writes that left no trace; `duplicated`: effects that happened again; `impossible`: values
    returned that no order of the operations explains; `unread`: keys written to that could not be read back;
    `unknown`: writes whose outcome no one was told (not a fault).
    """

    lost: int = 0
    duplicated: int = 0
    impossible: int = 0
    unread: int = 0
    unknown: int = 0

    @property
    def good(self) -> bool:
        """Nothing was lost, duplicated or impossible, and everything was looked at."""
        return not (self.lost or self.duplicated or self.impossible or self.unread)


def check_map(load: History, final: History) -> Verdict:
    """Judge puts, removes and gets (`load`) and one get of every key after them (`final`)."""
    wrote, removed = load.wrote >= 0, load.wrote == REMOVED
    done = load.acknowledged
    puts, unknown = load.select(wrote & done), load.select((wrote | removed) & ~done)
    seen = np.concatenate((load.read[(wrote | removed) & done], final.read))
    seen_values, times = np.unique(seen[seen >= 0], return_counts=True)
    return Verdict(
        lost=_lost(puts, unknown, seen_values, final),
        duplicated=int((times - 1).sum()),
        impossible=count_impossible(load.joined(final)),
        unread=_unread(load, final),
        unknown=len(unknown),
    )


def _lost(puts: History, unknown: History, seen: Column, final: History) -> int:
    """Acknowledged values that nobody met again, less those an unknown write or an unread end may hide."""
    missing = puts.key[~np.isin(puts.wrote, seen)]
    keys = _number_of_keys(puts, unknown, final)
    missing_by_key = np.bincount(missing, minlength=keys)
    # An unknown write that happened told nobody which value it replaced: one for each is excused.
    excused = np.bincount(unknown.key, minlength=keys)
    excused[np.setdiff1d(puts.key, final.key)] += 1
    return int(np.maximum(missing_by_key - excused, 0).sum())


def check_counters(load: History, final: History) -> Verdict:
    """Judge increments by one (`load`, each with the value it returned) and one get of every counter (`final`)."""
    done = load.acknowledged
    increments, unknown = load.select(done), load.select(~done)
    keys = _number_of_keys(increments, unknown, final)
    acknowledged = np.bincount(increments.key, minlength=keys)
    uncertain = np.bincount(unknown.key, minlength=keys)
    ends = np.full(keys, -1, dtype=np.int64)
    ends[final.key] = np.maximum(final.read, 0)
    known = ends >= 0
    return Verdict(
        lost=int(np.maximum(acknowledged - ends, 0)[known].sum()),
        duplicated=int(np.maximum(ends - acknowledged - uncertain, 0)[known].sum()),
        impossible=_impossible_increments(increments, ends) + int((final.read == FOREIGN).sum()),
        unread=_unread(load, final),
        unknown=len(unknown),
    )


def _impossible_increments(increments: History, ends: Column) -> int:
    """Returned values that repeat, exceed the end or are smaller than one returned before the increment began."""
    order = np.lexsort((increments.read, increments.key))
    key, value = increments.key[order], increments.read[order]
    started, finished = increments.started[order], increments.finished[order]
    foreign = int((value < 1).sum())
    same_key = key[1:] == key[:-1]
    repeated = int((same_key & (value[1:] == value[:-1])).sum())
    beyond = int(((ends[key] >= 0) & (value > ends[key])).sum())
    late = 0
    for first, last in _runs(key):
        # An increment must not finish before one of a smaller value has begun.
        earliest = np.minimum.accumulate(finished[first:last][::-1])[::-1]
        late += int((earliest[1:] < started[first : last - 1]).sum())
    return foreign + repeated + beyond + late


def _runs(key: Column) -> list[tuple[int, int]]:
    """First and last + 1 of each run of equal keys."""
    edges = np.flatnonzero(np.diff(key)) + 1
    bounds = [0, *edges.tolist(), len(key)]
    return [(first, last) for first, last in pairwise(bounds) if last > first]


def _unread(load: History, final: History) -> int:
    written = np.unique(load.key[load.wrote != NOTHING])
    return len(np.setdiff1d(written, final.key))


def _number_of_keys(*histories: History) -> int:
    return max((int(history.key.max()) + 1 for history in histories if len(history)), default=0)
