"""What the checker finds, and above all what it must not find: histories of a correct register and counter."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.bench.checker.tally import Verdict, check_counters, check_map
from ocelog.bench.history import History
from ocelog.bench.rows import ABSENT, FOREIGN, NEVER, NOTHING, REMOVED, ROW
from ocelog.bench.zones import count_impossible

Row = tuple[int, int, int, int, int]


def history(*rows: Row) -> History:
    return History.from_blocks(ROW.pack(*row) for row in rows)


def put(number: int, previous: int, started: int, finished: int, key: int = 0) -> Row:
    return (key, number, previous, started, finished)


def lost_answer(number: int, started: int, key: int = 0) -> Row:
    return (key, number, NOTHING, started, NEVER)


def remove(taken: int, started: int, finished: int, key: int = 0) -> Row:
    return (key, REMOVED, taken, started, finished)


def get(value: int, started: int, finished: int, key: int = 0) -> Row:
    return (key, NOTHING, value, started, finished)


FINE = {
    "one put": ([put(1, ABSENT, 1, 2)], get(1, 9, 10)),
    "two puts in order": ([put(1, ABSENT, 1, 2), put(2, 1, 3, 4)], get(2, 9, 10)),
    "two at the same time, either order": ([put(1, 2, 1, 5), put(2, ABSENT, 1, 5)], get(1, 9, 10)),
    "a get beside a put sees the old value": ([put(1, ABSENT, 1, 2), put(2, 1, 3, 9), get(1, 4, 5)], get(2, 10, 11)),
    "a get beside a put sees the new value": ([put(1, ABSENT, 1, 2), put(2, 1, 3, 9), get(2, 4, 5)], get(2, 10, 11)),
    "an unknown put that never happened": ([put(1, ABSENT, 1, 2), lost_answer(2, 3)], get(1, 9, 10)),
    "an unknown put that happened": ([put(1, ABSENT, 1, 2), lost_answer(2, 3)], get(2, 9, 10)),
    "an unknown put that was overwritten": (
        [put(1, ABSENT, 1, 2), lost_answer(2, 3), put(3, 2, 5, 6)],
        get(3, 9, 10),
    ),
    "an unknown put that happened much later": (
        [put(1, ABSENT, 1, 2), lost_answer(2, 3), put(3, 1, 5, 6), get(3, 7, 8), get(2, 10, 11)],
        get(2, 12, 13),
    ),
    "two unknown puts, one over the other": (
        [put(1, ABSENT, 1, 2), lost_answer(2, 3), lost_answer(3, 3)],
        get(3, 9, 10),
    ),
    "a put, a remove, a put": ([put(1, ABSENT, 1, 2), remove(1, 3, 4), put(2, ABSENT, 5, 6)], get(2, 9, 10)),
    "a remove of nothing": ([remove(ABSENT, 1, 2), put(1, ABSENT, 3, 4), get(1, 5, 6)], get(1, 9, 10)),
    "absent again and again": (
        [put(1, ABSENT, 1, 2), remove(1, 3, 4), get(ABSENT, 5, 6), put(2, ABSENT, 7, 8), remove(2, 9, 10)],
        get(ABSENT, 11, 12),
    ),
    "a get beside a remove sees the value or none": (
        [put(1, ABSENT, 1, 2), remove(1, 3, 9), get(1, 4, 5), get(ABSENT, 6, 7)],
        get(ABSENT, 10, 11),
    ),
    "an unknown remove that happened": ([put(1, ABSENT, 1, 2), (0, REMOVED, NOTHING, 3, NEVER)], get(ABSENT, 9, 10)),
    "an unknown remove that never happened": ([put(1, ABSENT, 1, 2), (0, REMOVED, NOTHING, 3, NEVER)], get(1, 9, 10)),
    "a get before anything": ([get(ABSENT, 1, 2), put(1, ABSENT, 3, 4)], get(1, 9, 10)),
}


@pytest.mark.parametrize("load,final", FINE.values(), ids=FINE)
def test_possible_histories_pass(load: list[Row], final: Row) -> None:
    verdict = check_map(history(*load), history(final))
    assert (verdict.lost, verdict.duplicated, verdict.impossible, verdict.unread) == (0, 0, 0, 0)


WRONG = {
    "an acknowledged put is gone": ([put(1, ABSENT, 1, 2)], get(ABSENT, 9, 10), {"lost": 1, "impossible": 1}),
    "the second of two puts is gone": (
        [put(1, ABSENT, 1, 2), put(2, 1, 3, 4)],
        get(1, 9, 10),
        {"lost": 1, "duplicated": 1, "impossible": 1},
    ),
    "a put was applied again": (
        [put(1, ABSENT, 1, 2), put(2, 1, 3, 4), put(3, 1, 5, 6)],
        get(3, 9, 10),
        {"lost": 1, "duplicated": 1, "impossible": 1},
    ),
    "one put replaced by two": (
        [put(1, ABSENT, 1, 2), put(2, 1, 3, 9), put(3, 1, 3, 9)],
        get(3, 10, 11),
        {"lost": 1, "duplicated": 1, "impossible": 0},
    ),
    "an unknown put hides one put but not two": (
        [put(1, ABSENT, 1, 2), put(2, ABSENT, 3, 4), lost_answer(3, 5)],
        get(3, 9, 10),
        {"lost": 1, "impossible": 1},
    ),
    "a stale get": (
        [put(1, ABSENT, 1, 2), put(2, 1, 3, 4), get(1, 5, 6)],
        get(2, 9, 10),
        {"lost": 0, "impossible": 1},
    ),
    "a remove that left its value": (
        [put(1, ABSENT, 1, 2), remove(1, 3, 4), get(1, 5, 6)],
        get(1, 9, 10),
        {"lost": 0, "duplicated": 1, "impossible": 1},
    ),
    "a remove that was applied again": (
        [put(1, ABSENT, 1, 2), remove(1, 3, 4), put(2, ABSENT, 5, 6)],
        get(ABSENT, 9, 10),
        {"lost": 1},
    ),
    "a value taken away twice": (
        [put(1, ABSENT, 1, 2), remove(1, 3, 4), remove(1, 5, 6)],
        get(ABSENT, 9, 10),
        {"duplicated": 1, "impossible": 1},
    ),
    "a stale absence": (
        [remove(ABSENT, 1, 2), put(1, ABSENT, 3, 4), get(ABSENT, 5, 6), get(1, 7, 8)],
        get(1, 9, 10),
        {"lost": 0, "impossible": 1},
    ),
    "a get of the future": ([get(1, 1, 2), put(1, ABSENT, 3, 4)], get(1, 9, 10), {"impossible": 1}),
    "two gets back and forth": (
        [put(1, ABSENT, 1, 2), put(2, 1, 3, 20), get(2, 4, 5), get(1, 6, 7)],
        get(2, 30, 31),
        {"impossible": 1},
    ),
    "a value nobody wrote": ([put(1, ABSENT, 1, 2), get(77, 3, 4)], get(1, 9, 10), {"impossible": 1}),
    "a value that is not ours": ([put(1, ABSENT, 1, 2), get(FOREIGN, 3, 4)], get(1, 9, 10), {"impossible": 1}),
    "the value of another key": (
        [put(1, ABSENT, 1, 2), put(2, ABSENT, 1, 2, key=1), get(2, 3, 4)],
        get(1, 9, 10),
        {"impossible": 1, "unread": 1},
    ),
}


@pytest.mark.parametrize("load,final,found", [(*case[:2], case[2]) for case in WRONG.values()], ids=WRONG)
def test_impossible_histories_are_found(load: list[Row], final: Row, found: dict[str, int]) -> None:
    verdict = check_map(history(*load), history(final))
    assert {name: getattr(verdict, name) for name in found} == found
    assert not verdict.good


def test_a_key_that_was_not_read_back_is_told_and_not_called_lost() -> None:
    verdict = check_map(history(put(1, ABSENT, 1, 2)), history())
    assert verdict == Verdict(unread=1)


def test_an_empty_run_is_good() -> None:
    assert check_map(history(), history()).good
    assert check_counters(history(), history()).good


def linearizable(operations: Iterable[Row]) -> bool:
    """By definition: some order that respects real time explains every value (unknown puts may be left out)."""
    rows = list(operations)
    sure = [row for row in rows if row[4] < NEVER]
    unsure = [row for row in rows if row[4] == NEVER]
    subsets = (extra for size in range(len(unsure) + 1) for extra in itertools.combinations(unsure, size))
    return any(_some_order_explains([*sure, *extra]) for extra in subsets)


def _some_order_explains(rows: list[Row]) -> bool:
    def follow(left: frozenset[int], value: int) -> bool:
        if not left:
            return True
        for index in left:
            _, wrote, read, started, _ = rows[index]
            if any(rows[other][4] < started for other in left if other != index):
                continue
            if read not in (NOTHING, value):
                continue
            if follow(left - {index}, ABSENT if wrote == REMOVED else wrote if wrote >= 0 else value):
                return True
        return False

    return follow(frozenset(range(len(rows))), ABSENT)


@st.composite
def small_histories(draw: st.DrawFn) -> list[Row]:
    """Up to four puts (whose answers tell nothing) and four gets with arbitrary intervals and values."""
    rows: list[Row] = []
    puts = draw(st.integers(0, 4))
    for number in range(puts):
        started, length = draw(st.integers(1, 12)), draw(st.integers(1, 8))
        finished = NEVER if draw(st.integers(0, 4)) == 0 else started + length
        rows.append((0, number, NOTHING, started, finished))
    for _ in range(draw(st.integers(0, 4))):
        started, length = draw(st.integers(1, 16)), draw(st.integers(1, 4))
        rows.append(get(draw(st.integers(ABSENT, puts - 1)), started, started + length))
    return rows


@given(small_histories())
def test_zones_agree_with_the_definition_of_linearizability(rows: list[Row]) -> None:
    assert (count_impossible(history(*rows)) == 0) == linearizable(rows)


@st.composite
def histories_with_removes(draw: st.DrawFn) -> list[Row]:
    """The same with up to three removes, each of which saw a value, none, or told nothing."""
    rows = draw(small_histories())
    for _ in range(draw(st.integers(1, 3))):
        started, length = draw(st.integers(1, 14)), draw(st.integers(1, 6))
        saw = draw(st.integers(NOTHING, 3))
        finished = NEVER if saw == NOTHING else started + length
        rows.append((0, REMOVED, saw, started, finished))
    return rows


@given(histories_with_removes())
def test_no_linearizable_history_with_removes_is_accused(rows: list[Row]) -> None:
    """One direction only: absence looks alike whoever made it, so not every fault around it can be seen."""
    if linearizable(rows):
        assert count_impossible(history(*rows)) == 0


@pytest.mark.parametrize("removes", [0.0, 0.3])
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 40))
def test_a_correct_register_is_never_accused(removes: float, seed: int, keys: int, operations: int) -> None:
    load, final = correct_run(random.Random(seed), keys, operations, removes)
    verdict = check_map(load, final)
    assert verdict.good, verdict


def correct_run(draw: random.Random, keys: int, operations: int, removes: float) -> tuple[History, History]:
    """Operations that take effect at one moment inside their interval, some with the answer lost."""
    moments = sorted(draw.sample(range(100, 100_000), operations))
    state = [ABSENT] * keys
    rows: list[Row] = []
    for number, moment in enumerate(moments):
        key, started, finished = draw.randrange(keys), moment - draw.randrange(90), moment + draw.randrange(1, 90)
        kind = draw.random()
        if kind < 0.4:
            rows.append(get(state[key], started, finished, key))
        elif kind < 0.5:
            wrote, after = (REMOVED, ABSENT) if draw.random() < removes else (number, number)
            rows.append((key, wrote, NOTHING, started, NEVER))
            if draw.random() < 0.5:
                state[key] = after
        elif draw.random() < removes:
            rows.append(remove(state[key], started, finished, key))
            state[key] = ABSENT
        else:
            rows.append(put(number, state[key], started, finished, key))
            state[key] = number
    draw.shuffle(rows)
    return history(*rows), history(*(get(state[key], 200_000, 200_001, key) for key in range(keys)))


@given(st.integers(0, 2**32), st.integers(3, 30))
def test_a_vanished_put_is_always_found(seed: int, operations: int) -> None:
    """Take one acknowledged put's effect away, whichever it is: its value is met nowhere, so something is lost."""
    draw = random.Random(seed)
    victim = draw.randrange(operations)
    state, rows = ABSENT, []
    for number in range(operations):
        rows.append(put(number, state, 10 * number, 10 * number + 5))
        state = state if number == victim else number
    verdict = check_map(history(*rows), history(get(state, 10**6, 10**6 + 1)))
    assert verdict.lost == 1


def increment(value: int, started: int, finished: int, key: int = 0) -> Row:
    return (key, 1, value, started, finished)


def test_counters_end_at_what_was_acknowledged() -> None:
    load = history(increment(1, 1, 2), increment(3, 3, 9), increment(2, 3, 9), increment(1, 1, 2, key=1))
    assert check_counters(load, history(get(3, 20, 21), get(1, 20, 21, key=1))).good


def test_an_unknown_increment_may_count_or_not() -> None:
    load = history(increment(1, 1, 2), lost_answer(1, 3))
    assert check_counters(load, history(get(1, 20, 21))).good
    assert check_counters(load, history(get(2, 20, 21))).good
    assert check_counters(load, history(get(3, 20, 21))).duplicated == 1


@pytest.mark.parametrize(
    "rows,end,found",
    [
        ([increment(1, 1, 2), increment(2, 3, 4)], 1, {"lost": 1, "impossible": 1}),
        ([increment(1, 1, 2), increment(2, 3, 4)], 4, {"duplicated": 2}),
        ([increment(1, 1, 2), increment(1, 3, 4)], 2, {"impossible": 1}),
        ([increment(2, 1, 2), increment(1, 3, 4)], 2, {"impossible": 1}),
        ([increment(FOREIGN, 1, 2)], 1, {"impossible": 1}),
        ([increment(1, 1, 2)], ABSENT, {"lost": 1, "impossible": 1}),
    ],
)
def test_wrong_counters_are_found(rows: list[Row], end: int, found: dict[str, int]) -> None:
    verdict = check_counters(history(*rows), history(get(end, 20, 21)))
    assert {name: getattr(verdict, name) for name in found} == found
    assert not verdict.good


def test_rows_cut_in_the_middle_are_refused() -> None:
    with pytest.raises(ValueError, match="39 bytes"):
        History.from_blocks([bytes(39)])
