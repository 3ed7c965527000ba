"""Gibbons and Korach's zones: is a register whose values are unique linearizable, and if not, how often not?

A *cluster* is one value of one key: the put that wrote it and every operation that saw it (gets, and the put that
replaced it and returned it). Its *zone* lies between the earliest end and the latest start of its operations: *forward*
when the end comes first (the value was certainly there all that time), *backward* otherwise. The value before the first
put, absent, counts as written at time 0.

A key that is removed is absent several times, and being absent looks alike each time, so its absences are checked as far
as that goes: each remove, and each sight of an absence, is a zone of its own, which cannot lie inside a forward zone,
because there a value was present all the time. That raises no false alarm, and finds a stale absence and a value that
outlived its remove.

Pure; see "Testing shared memories", SIAM J. Comput. 26(4), 1997, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .history import Column, History
from .rows import ABSENT, FOREIGN, REMOVED

_LATE = 1 << 60
"""Later than any time relative to the first start; `finished` of an unknown outcome becomes this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Accesses:
    """Every write and every sight of a value: its key and value, and the operation's start and end."""

    key: Column
    value: Column
    started: Column
    finished: Column
    written: NDArray[np.bool_]


def count_impossible(history: History) -> int:
    """How many values were seen when they cannot have been there; 0 exactly if every key is linearizable."""
    if not len(history):
        return 0
    accesses = _accesses(history)
    order = np.argsort(accesses.value, kind="stable")
    value = accesses.value[order]
    firsts = np.flatnonzero(np.concatenate(([True], value[1:] != value[:-1])))
    key, started, finished = accesses.key[order], accesses.started[order], accesses.finished[order]
    written = accesses.written[order]
    key_low, key_high = np.minimum.reduceat(key, firsts), np.maximum.reduceat(key, firsts)
    # Unwritten clusters get a start that no read can precede, so that they count once.
    write_started = np.minimum.reduceat(np.where(written, started, _LATE), firsts)
    first_end, last_start = np.minimum.reduceat(finished, firsts), np.maximum.reduceat(started, firsts)
    bad = (write_started == _LATE) | (first_end < write_started) | (key_low != key_high)
    foreign = int((history.read == FOREIGN).sum())
    return foreign + int(bad.sum()) + _conflicts(key_low[~bad], first_end[~bad], last_start[~bad])


def _accesses(history: History) -> _Accesses:
    """Split every operation into the value it wrote and the value it saw, and let each key begin as absent."""
    base = int(history.started.min()) - 1
    started = history.started - base
    finished = np.where(history.acknowledged, history.finished - base, _LATE)
    keys = np.unique(history.key)
    zeros = np.zeros(len(keys), dtype=np.int64)
    removes = history.wrote == REMOVED
    absent = history.read == ABSENT
    several = np.isin(history.key, history.key[removes])  # rows of keys that may be absent more than once
    writes, sights = history.wrote >= 0, (history.read >= 0) | (absent & ~several)
    # Values are unique over all keys but absence is not: it becomes a negative value of each key's own, and where a key
    # is removed, of each operation's own.
    saw = np.where(history.read == ABSENT, -1 - history.key, history.read)
    apart = np.flatnonzero(removes | (absent & several))
    lowest = -2 - int(keys.max())
    return _Accesses(
        key=np.concatenate((keys, history.key[writes], history.key[sights], history.key[apart])),
        value=np.concatenate((-1 - keys, history.wrote[writes], saw[sights], lowest - np.arange(len(apart)))),
        started=np.concatenate((zeros, started[writes], started[sights], started[apart])),
        finished=np.concatenate((zeros, finished[writes], finished[sights], finished[apart])),
        written=np.concatenate(
            (
                np.ones(len(keys) + int(writes.sum()), dtype=bool),
                np.zeros(int(sights.sum()), dtype=bool),
                np.ones(len(apart), dtype=bool),
            )
        ),
    )


def _conflicts(key: Column, first_end: Column, last_start: Column) -> int:
    """Forward zones that overlap the one before, and backward zones inside a forward one."""
    forward = first_end < last_start
    low, high = np.minimum(first_end, last_start), np.maximum(first_end, last_start)
    order = np.lexsort((low[forward], key[forward]))
    f_key, f_low, f_high = key[forward][order], low[forward][order], high[forward][order]
    overlaps = int(((f_key[1:] == f_key[:-1]) & (f_low[1:] < f_high[:-1])).sum())
    return overlaps + _inside(key[~forward], low[~forward], high[~forward], f_key, f_low, f_high)


def _inside(key: Column, low: Column, high: Column, f_key: Column, f_low: Column, f_high: Column) -> int:
    """How many zones (key, low, high) lie strictly inside a forward zone of their key; those are sorted by key, low."""
    if not len(key) or not len(f_key):
        return 0
    # The candidate is the last forward zone that begins before; merging both lists by (key, low) finds it.
    both_key, both_low = np.concatenate((f_key, key)), np.concatenate((f_low, low))
    is_forward = np.arange(len(both_key)) < len(f_key)
    # At equal lows the backward zone comes first: it is not strictly inside.
    order = np.lexsort((is_forward, both_low, both_key))
    candidate = np.cumsum(is_forward[order]) - 1
    backward = ~is_forward[order]
    zone, before = order[backward] - len(f_key), candidate[backward]
    held = (before >= 0) & (f_key[before] == key[zone]) & (high[zone] < f_high[before])
    return int(held.sum())
