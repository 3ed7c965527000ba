"""Pauses between attempts: how they grow, what bounds them, and the strategies a user may name."""

from __future__ import annotations

from random import Random

import pytest
from ocelog.client.backoff import Backoff, Exponential, Fibonacci, Once, start
from ocelog.client.options import check
from ocelog.client.protocol.errors import BadArgument


def assert_near(pauses, expected):
    """Each pause is of its size, up to the jitter."""
    for pause, size in zip(pauses, expected, strict=True):
        assert 0.75 * size <= pause <= 1.25 * size, (pauses, expected)


def test_exponential_pauses_double_up_to_the_last():
    backoff = start(Exponential(1, 10), Random(1), 5, 5)
    assert_near([backoff.next() for _ in range(6)], [1, 2, 4, 8, 10, 10])


def test_fibonacci_pauses_grow_by_the_one_before():
    backoff = start(Fibonacci(0.5, 6), Random(1), 5, 5)
    assert_near([backoff.next() for _ in range(8)], [0.5, 0.5, 1, 1.5, 2.5, 4, 6, 6])
    backoff.reset()
    assert_near([backoff.next() for _ in range(3)], [0.5, 0.5, 1])


@pytest.mark.parametrize("strategy", [None, Once()])
def test_without_pauses_of_its_own_a_strategy_has_those_of_the_place(strategy):
    backoff = start(strategy, Random(1), 0.1, 0.3)
    assert_near([backoff.next() for _ in range(4)], [0.1, 0.2, 0.3, 0.3])


def test_jitter_spreads_clients_that_began_together():
    firsts = {Backoff(Random(seed), 1, 2).next() for seed in range(50)}
    assert len(firsts) == 50
    assert max(firsts) - min(firsts) > 0.3


def test_a_pause_that_was_asked_for_is_kept():
    backoff = Backoff(Random(1), 0.1, 0.2)
    assert 3 <= backoff.after(3) <= 3.75


@pytest.mark.parametrize("kind", [Exponential, Fibonacci])
@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (-1, 1), (1, float("inf")), (float("nan"), 1)])
def test_bounds_that_make_no_sense_are_refused(kind, bounds):
    with pytest.raises(ValueError, match="pauses"):
        kind(*bounds)


def test_options_name_recovery_retry_and_selection():
    options = check("tcp://a:1", 1, 10, "me", recovery="close", retry=Fibonacci(1, 2), selection="followers")
    assert (options.recovery, options.retry, options.selection) == ("close", Fibonacci(1, 2), 2)
    for bad in ({"recovery": "maybe"}, {"retry": 3}, {"retry": Once}, {"selection": "all"}):
        with pytest.raises(BadArgument, match=next(iter(bad))):
            check("tcp://a:1", 1, 10, "me", **bad)
