"""Timers come in the order (due time, index that armed them, number within it)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.timers import Timer, Timers

KEYS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), unique=True, max_size=30)


def timer(due, armed_at=1, number=0, arguments=()):
    return Timer(due, armed_at, number, 2, "fire", arguments)


@given(KEYS, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_arming(keys, random):
    """Two replicas that armed them in another order fire them in the same."""
    shuffled = list(keys)
    random.shuffle(shuffled)
    timers = Timers()
    for key in shuffled:
        timers.arm(timer(*key, arguments=({"not": "comparable"},)), owned=False)
    fired = []
    while (due := timers.pop_due(100)) is not None:
        fired.append(due[:3])
    assert fired == sorted(keys)


def test_what_is_not_due_stays():
    """Due means at its time, not before."""
    timers = Timers()
    timers.arm(timer(10), owned=False)
    assert timers.pop_due(9) is None
    assert timers.pop_due(10) == timer(10)


def test_the_next_due_time_is_known():
    """The hot path asks for no more than this number."""
    timers = Timers()
    assert timers.next_due is None
    timers.arm(timer(10), owned=False)
    timers.arm(timer(5, 2), owned=False)
    assert timers.next_due == 5
    timers.pop_due(5)
    assert timers.next_due == 10
    timers.pop_due(10)
    assert timers.next_due is None
