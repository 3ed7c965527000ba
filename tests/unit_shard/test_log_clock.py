"""Log time: never back, never a jump, never far from the monotonic clock's rate, and drawn to the wall clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.clock import DRAW_PARTS, LogClock

WALL = 1_700_000_000_000
STEPS = st.lists(st.tuples(st.integers(0, 5000), st.integers(-(10**7), 10**7)), max_size=60)


def times(clock, steps, start=0):
    """Log times after each step of (monotonic ms, jump of the wall clock in ms)."""
    monotonic, wall = start, WALL
    for passed, jump in steps:
        monotonic += passed
        wall += passed + jump
        yield monotonic, clock.time(monotonic, max(0, wall))


@given(STEPS)
def test_log_time_never_runs_back(steps):
    """Whatever the wall clock does."""
    found = [time for _, time in times(LogClock(), steps)]
    assert found == sorted(found)


@given(STEPS)
def test_log_time_runs_at_a_bounded_rate(steps):
    """Between any two moments it advances by what passed, a tenth more or less."""
    found = list(times(LogClock(), steps))
    for at, (monotonic, time) in enumerate(found):
        for later, later_time in found[at + 1 :]:
            passed = later - monotonic
            assert abs(later_time - time - passed) <= passed / DRAW_PARTS + 1


@given(st.integers(1, 50), st.integers(-2000, 2000))
def test_log_time_reaches_the_wall_clock(step_ms, away_ms):
    """Drawn at a bounded rate, also by a leader that asks every millisecond."""
    clock = LogClock()
    clock.begin_term(WALL + away_ms, 0)
    steps = 1 + (DRAW_PARTS + 1) * 2000 // step_ms
    time = 0
    for n in range(1, steps + 1):
        time = clock.time(n * step_ms, WALL + n * step_ms)
    assert time == WALL + steps * step_ms


def test_the_first_time_of_all_is_the_wall_clocks():
    """An empty log has no time to continue from."""
    assert LogClock().time(5, WALL) == WALL


def test_a_term_continues_from_the_newest_entry():
    """Time that passed without a leader is not counted at once."""
    clock = LogClock()
    clock.begin_term(WALL, 1000)
    assert clock.time(1000, WALL + 3_600_000) == WALL
    assert clock.time(2000, WALL + 3_601_000) == WALL + 1100


def test_a_monotonic_clock_that_stands_still_adds_nothing():
    """Entries of one turn have one time."""
    clock = LogClock()
    clock.begin_term(WALL, 1000)
    assert clock.time(1000, WALL + 500) == clock.time(1000, WALL + 900)
