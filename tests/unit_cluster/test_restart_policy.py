"""When a child that has ended is started again."""

import pytest
from ocelog.cluster.restart_policy import (
    DELAY_S_FIRST,
    DELAY_S_MAX,
    FAILED_STARTS_MAX,
    STABLE_S,
    Exit,
    after_exit,
    describe,
)


def ended(code: int = -9, *, uptime_s: float = 1.0, ever_ready: bool = True, failures: int = 0) -> Exit:
    return Exit(code=code, uptime_s=uptime_s, ever_ready=ever_ready, failures=failures)


def test_delays_double_up_to_a_bound():
    delays, failures = [], 0
    for _ in range(12):
        decision = after_exit(ended(failures=failures))
        failures = decision.failures
        delays.append(decision.delay_s)
    assert delays[:4] == [DELAY_S_FIRST * factor for factor in (1, 2, 4, 8)]
    assert delays[-1] == DELAY_S_MAX
    assert after_exit(ended(failures=10_000)).delay_s == DELAY_S_MAX


def test_after_a_stable_while_the_first_delay_is_back():
    assert after_exit(ended(uptime_s=STABLE_S, failures=7)).delay_s == DELAY_S_FIRST


@pytest.mark.parametrize("code", [65, 73, 78])
@pytest.mark.parametrize("ever_ready", [True, False])
def test_what_only_a_person_can_mend_stays_down(code, ever_ready):
    decision = after_exit(ended(code, ever_ready=ever_ready))
    assert decision.delay_s is None
    assert decision.reason


@pytest.mark.parametrize("code", [64, 69, 77])
def test_some_failures_are_final_only_at_the_first_start(code):
    assert after_exit(ended(code, ever_ready=False)).delay_s is None
    assert after_exit(ended(code, ever_ready=True)).delay_s == DELAY_S_FIRST


@pytest.mark.parametrize("code", [0, 1, 70, 74, 75, -9, -11])
def test_everything_else_is_started_again(code):
    assert after_exit(ended(code)).delay_s == DELAY_S_FIRST


def test_a_process_that_never_comes_up_is_given_up():
    assert after_exit(ended(1, ever_ready=False, failures=FAILED_STARTS_MAX - 2)).delay_s is not None
    assert "starts failed" in after_exit(ended(1, ever_ready=False, failures=FAILED_STARTS_MAX - 1)).reason


def test_ends_are_told_in_words():
    assert describe(-9) == "was killed by SIGKILL"
    assert describe(-250) == "was killed by signal 250"
    assert describe(65) == "ended with exit code 65"
