"""The property everything rests on, for histories drawn at random over all machines at once.

For every history and every index S, rebuilding from what compaction leaves of the log gives the same state as applying all
of it up to S; and so it stays for everything applied afterwards.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .drawing import steps_of
from .histories import History, compacted, facts_of

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def check(data: st.DataObject, steps_max: int) -> None:
    """Rounds of: some history, a snapshot while it goes on, some compaction, a start from what is left."""
    history = History()
    history.pace = data.draw(st.sampled_from((1, 4, 20)), label="entries for each row of a capture")
    log: dict[int, bytes] = {}
    copied = 0
    rebuilt = None
    for _ in range(data.draw(st.integers(1, 3), label="rounds")):
        history.run(data.draw(st.lists(steps_of(), max_size=steps_max), label="before the snapshot"))
        snapshot = history.snapshot()
        history.run(data.draw(st.lists(steps_of(), max_size=steps_max // 2), label="while it is taken"))
        if rebuilt is not None:
            # What was rebuilt from an older snapshot went on being equal, and a snapshot of its own is the same one.
            history.apply_rest(rebuilt, snapshot.index)
            assert facts_of(rebuilt) == snapshot.facts
        log |= {index: entry for index, entry in history.log.items() if index > copied}
        copied = history.last_index
        gone = data.draw(st.lists(st.integers(1, snapshot.index), max_size=40), label="removed, if dead")
        log = compacted(log, snapshot, gone if data.draw(st.booleans()) else range(snapshot.index + 1))
        slices = data.draw(st.lists(st.integers(0, 5), max_size=5), label="slices")
        rebuilt = snapshot.rebuild(log, slices=slices)
        assert facts_of(rebuilt) == snapshot.facts
        rebuilt.audit()
    assert rebuilt is not None
    history.apply_rest(rebuilt)
    assert facts_of(rebuilt) == history.facts()
    history.executor.audit()


@given(st.data())
@settings(SETTINGS, max_examples=150)
def test_a_rebuilt_replica_is_equal_and_stays_equal(data: Any) -> None:
    check(data, 30)


@pytest.mark.slow
@given(st.data())
@settings(SETTINGS, max_examples=3000)
def test_a_rebuilt_replica_is_equal_in_many_histories(data: Any) -> None:
    check(data, 60)
