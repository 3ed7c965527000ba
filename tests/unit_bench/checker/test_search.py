"""The search says yes to histories that some order explains and no to all others; a naive one agrees on small ones."""

from __future__ import annotations

import random
from collections import Counter as Tally
from time import monotonic
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ocelog.bench.checker import MODELS, NEVER, Bounds, Operation, judge
from ocelog.bench.checker.search import search

from tests.unit_bench.checker.naive import OBJECTS, linearizable

ALL = {name: made() for name, made in MODELS.items()}


def op(
    model: str, text: str, at: tuple[int, int | None], result: Any = None, by: str = "a", **fields: Any
) -> Operation:
    """`put k 1` at (call, return): the name, the key where the model wants one, the arguments as numbers."""
    name, *rest = text.split()
    key = rest.pop(0) if name in ALL[model].keyed else None
    returned = NEVER if at[1] is None else at[1]
    return Operation(
        name,
        tuple(map(int, rest)),
        result,
        call=at[0],
        returned=returned,
        process=by,
        key=key,
        model=model,
        **fields,
    )


def verdict(operations: list[Operation], **bounds: Any) -> str:
    return judge(operations, ALL, Bounds(**bounds)).verdict


Story = tuple[str, list[tuple[Any, ...]]]
RIGHT: dict[str, Story] = {
    "a register": ("register", [("set 1", (1, 2), 7), ("get", (3, 4), 1), ("get_and_set 2", (5, 6), 1)]),
    "a swap": ("register", [("set 1", (1, 2)), ("compare_and_set 1 2", (3, 4), True), ("get", (5, 6), 2)]),
    "a refused swap": ("register", [("compare_and_set 1 2", (3, 4), False), ("get", (5, 6), None)]),
    "a counter": ("counter", [("add 2", (1, 2), 2), ("add 1", (2, 5), 3), ("get", (3, 4), 2)]),
    "an unknown add": ("counter", [("add 2", (1, None)), ("increment", (2, 3), 3), ("decrement 2", (4, 5), 1)]),
    "a get beside a put sees the old value": (
        "map",
        [("put k 1", (1, 9)), ("get k", (2, 3), None), ("get k", (4, 5), 1)],
    ),
    "two puts at once, in either order": ("map", [("put k 1", (1, 5), 2), ("put k 2", (1, 5)), ("get k", (6, 7), 1)]),
    "an unknown put that never was": ("map", [("put k 1", (1, None)), ("get k", (2, 3), None)]),
    "an unknown put much later": (
        "map",
        [("put k 1", (1, None)), ("put k 2", (2, 3)), ("get k", (4, 5), 1), ("remove k", (6, 7), 1)],
    ),
    "conditions": (
        "map",
        [
            ("put_if_absent k 1", (1, 2)),
            ("put_if_absent k 2", (3, 4), 1),
            ("replace k 3", (5, 6), 1),
            ("remove k", (7, 8), 3),
            ("replace k 4", (9, 10)),
            ("contains k", (11, 12), False),
        ],
    ),
    "a whole map": ("map", [("put k 1", (1, 2)), ("put l 1", (1, 9)), ("size", (3, 4), 1), ("size", (5, 6), 2)]),
    "a clear of nothing that is needed later": (
        "map",
        [("clear", (1, 9)), ("put k 1", (2, 3)), ("get k", (4, 5), None)],
    ),
    "a cleared map": ("map", [("put k 1", (1, 2)), ("clear", (3, 4), 5), ("get k", (5, 6), None)]),
    "a set": ("set", [("add x", (1, 2), True), ("add x", (3, 4), False), ("remove x", (5, 6), True)]),
    "a whole set": ("set", [("add x", (1, 9), True), ("size", (2, 3), 0), ("size", (4, 5), 1)]),
    "a queue": ("queue", [("offer 1", (1, 5)), ("offer 2", (1, 5)), ("poll", (6, 7), 2), ("take", (8, 9), 1)]),
    "an unknown offer before the only other one": (
        "queue",
        [("offer 1", (1, None)), ("offer 2", (2, 3)), ("poll", (4, 5), 1), ("poll", (6, 7), 2)],
    ),
    "an unknown poll": ("queue", [("offer 1", (1, 2)), ("poll", (3, None)), ("poll", (4, 5), None)]),
    "a queue's inside": (
        "queue",
        [
            ("offer 1", (1, 2)),
            ("offer 2", (3, 4)),
            ("remove 1", (5, 6), True),
            ("peek", (7, 8), 2),
            ("size", (9, 10), 1),
        ],
    ),
    "a lock": ("lock", [("lock", (1, 2), 5, "a"), ("lock", (1, 9), 8, "b"), ("unlock 5", (3, 4), True, "a")]),
    "a lock that is held": ("lock", [("lock", (1, 2), 5, "a"), ("try_lock", (3, 4), None, "b"), ("holder", (5, 6), 5)]),
    "a session that was lost": (
        "lock",
        [("lock", (1, 2), 5, "a"), ("unlock 5", (2, None), None, "a"), ("lock", (3, 4), 6, "b")],
    ),
    "a grant that crossed and was given back": (
        "lock",
        [("lock", (1, None), None, "a"), ("unlock", (1, None), None, "a"), ("lock", (3, 4), 6, "b")],
    ),
    "a lock that is lost tells so": (
        "lock",
        [("lock", (1, 2), 5, "a"), ("unlock 5", (2, None), None, "a"), ("unlock 5", (8, 9), False, "a")],
    ),
}
WRONG: dict[str, Story] = {
    "a stale read": ("register", [("set 1", (1, 2)), ("get", (3, 4), None)]),
    "reads that go back": ("register", [("set 1", (1, 9)), ("get", (2, 3), 1), ("get", (4, 5), None)]),
    "a read of what nobody wrote": ("register", [("get", (1, 2), 1)]),
    "a swap that was not": ("register", [("set 1", (1, 2)), ("compare_and_set 2 3", (3, 4), True)]),
    "a swap refused for nothing": ("register", [("set 1", (1, 2)), ("compare_and_set 1 3", (3, 4), False)]),
    "a value replaced twice": (
        "register",
        [("set 1", (1, 2)), ("get_and_set 2", (3, 9), 1), ("get_and_set 3", (3, 9), 1)],
    ),
    "a lost add": ("counter", [("add 2", (1, 2), 2), ("add 1", (3, 4), 1)]),
    "an add twice": ("counter", [("add 2", (1, 2), 2), ("get", (3, 4), 4)]),
    "an unknown add twice": ("counter", [("add 2", (1, None)), ("get", (3, 4), 4)]),
    "an unknown add before its call": ("counter", [("get", (1, 2), 2), ("add 2", (3, None))]),
    "a lost put": ("map", [("put k 1", (1, 2)), ("put k 2", (3, 4))]),
    "put_if_absent twice": ("map", [("put_if_absent k 1", (1, 2)), ("put_if_absent k 2", (3, 4))]),
    "a removed value": ("map", [("put k 1", (1, 2)), ("remove k", (3, 4), 1), ("get k", (5, 6), 1)]),
    "clear forgot a key": ("map", [("put k 1", (1, 2)), ("clear", (3, 4)), ("get k", (5, 6), 1)]),
    "a size too large": ("map", [("put k 1", (1, 2)), ("put k 2", (3, 4), 1), ("size", (5, 6), 2)]),
    "an element added twice": ("set", [("add x", (1, 2), True), ("add x", (3, 4), True)]),
    "an element that is gone": ("set", [("add x", (1, 2), True), ("contains x", (3, 4), False)]),
    "an element removed twice": (
        "set",
        [("add x", (1, 2), True), ("remove x", (3, 9), True), ("remove x", (3, 9), True)],
    ),
    "a set too large": ("set", [("add x", (1, 2), True), ("size", (3, 4), 2)]),
    "an item taken twice": ("queue", [("offer 1", (1, 2)), ("poll", (3, 9), 1), ("take", (3, 9), 1)]),
    "an item lost": ("queue", [("offer 1", (1, 2)), ("poll", (3, 4), None)]),
    "the wrong order": ("queue", [("offer 1", (1, 2)), ("offer 2", (3, 4)), ("poll", (5, 6), 2)]),
    "an item of nobody": ("queue", [("poll", (1, 2), 3)]),
    "two holders": ("lock", [("lock", (1, 2), 5, "a"), ("lock", (3, 4), 6, "b"), ("unlock 5", (5, 6), True, "a")]),
    "a token twice": ("lock", [("lock", (1, 2), 5, "a"), ("unlock 5", (3, 4), True, "a"), ("lock", (5, 6), 5, "b")]),
    "a token that falls": (
        "lock",
        [("lock", (1, 2), 5, "a"), ("unlock 5", (3, 4), True, "a"), ("lock", (5, 6), 4, "b")],
    ),
    "a free lock not given": ("lock", [("try_lock", (1, 2), None, "a")]),
    "somebody else's unlock": ("lock", [("lock", (1, 2), 5, "a"), ("unlock 5", (3, 4), True, "b")]),
    "a held lock said to be free": ("lock", [("lock", (1, 2), 5, "a"), ("holder", (3, 4), None)]),
}


def told(story: Story) -> list[Operation]:
    model, rows = story
    return [op(model, *row) for row in rows]


@pytest.mark.parametrize("story", RIGHT)
def test_what_some_order_explains_is_linearizable(story: str) -> None:
    assert verdict(told(RIGHT[story])) == "linearizable"
    assert linearizable(told(RIGHT[story]), RIGHT[story][0]), "and the naive checker thinks so too"


@pytest.mark.parametrize("story", WRONG)
def test_what_no_order_explains_is_found(story: str) -> None:
    assert verdict(told(WRONG[story])) == "not linearizable"
    assert not linearizable(told(WRONG[story]), WRONG[story][0]), "and the naive checker thinks so too"


# -- against the naive checker -------------------------------------------------------------------------

VALUES = st.integers(1, 3)
RESULTS = st.one_of(st.none(), st.booleans(), st.integers(0, 4))


@st.composite
def histories(draw: st.DrawFn, model: str) -> list[Operation]:
    """Up to five operations, by up to three processes: a run on a real object, at drawn times, some results changed."""
    machine, thing = ALL[model], OBJECTS[model]()
    operations = []
    for number in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(sorted(machine.operations)))
        wanted = machine.operations[name]
        low, high = (wanted, wanted) if isinstance(wanted, int) else wanted
        call = max(0, 3 * number - draw(st.integers(0, 9)))
        made = Operation(
            name,
            tuple(draw(st.lists(VALUES, min_size=low, max_size=high))),
            call=call,
            returned=call + draw(st.integers(0, 9)),
            process=draw(st.sampled_from("abc")),
            key=draw(st.sampled_from("kl")) if name in machine.keyed else None,
            model=model,
            index=draw(st.integers(0, 9)),
        )
        made.result = result_of(thing, made, number + 1)
        if draw(st.integers(0, 4)) == 0:
            made.known, made.returned, made.result = False, NEVER, None
        elif draw(st.integers(0, 9)) <= 2:
            made.result = draw(st.booleans() if name == "unlock" else RESULTS)
        operations.append(made)
    return operations


SEEN: Tally[tuple[str, str]] = Tally()


@pytest.mark.parametrize("model", OBJECTS)
def test_the_search_agrees_with_trying_every_order(model: str) -> None:
    @settings(max_examples=250, deadline=None)
    @given(histories(model))
    def agrees(operations: list[Operation]) -> None:
        found = verdict(operations)
        SEEN[model, found] += 1
        assert (found == "linearizable") == linearizable(operations, model), [str(each) for each in operations]

    agrees()
    assert SEEN[model, "linearizable"] > 10 and SEEN[model, "not linearizable"] > 10, SEEN


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(OBJECTS)), st.integers(0, 1 << 32))
@example("queue", 7)
def test_a_run_of_a_real_object_is_linearizable_whatever_the_hints_say(model: str, seed: int) -> None:
    assert verdict(run_of(model, random.Random(seed), 40, unknown=0.1)) == "linearizable"


def run_of(model: str, rng: random.Random, number: int, *, unknown: float = 0.0, clients: int = 4) -> list[Operation]:
    """What `clients` processes see of one object, with `number` operations, some of which are never answered."""
    thing, machine = OBJECTS[model](), ALL[model]
    operations: list[Operation] = []
    free_at = dict.fromkeys(range(clients), 0)
    now = 0
    for index in range(1, number + 1):
        now += 10
        process = rng.choice(
            [each for each in free_at if free_at[each] <= now] or [min(free_at, key=free_at.__getitem__)]
        )
        now = max(now, free_at[process])
        name = rng.choice(sorted(machine.operations))
        wanted = machine.operations[name]
        arguments = tuple(rng.randint(1, 5) for _ in range(wanted if isinstance(wanted, int) else wanted[1]))
        key = rng.choice("klmn") if name in machine.keyed else None
        call, returned = now - rng.randint(0, 30), now + rng.randint(0, 30)
        made = Operation(
            name, arguments, call=max(call, free_at[process]), returned=returned, process=process, key=key, model=model
        )
        made.index = rng.choice((0, index, rng.randint(1, number)))
        made.result = result_of(thing, made, index)
        if rng.random() < unknown:
            made.known, made.returned, made.result, made.index = False, NEVER, None, 0
            returned = now
        free_at[process] = returned + 1
        operations.append(made)
    rng.shuffle(operations)
    return operations


def result_of(thing: Any, operation: Operation, index: int) -> Any:
    """What a real object says; locks say tokens."""
    if operation.model == "lock":
        if operation.name == "unlock":
            operation.arguments = (thing.token,) if thing.token else ()
        possible: list[Any] = [index, None, thing.token] if operation.name != "unlock" else [True, False]
        for operation.result in possible:
            if (operation.name, operation.result) == ("lock", None) and thing.holder is None:
                continue
            before = (thing.holder, thing.token, thing.highest)
            if thing.apply(operation):
                return operation.result
            thing.holder, thing.token, thing.highest = before
        raise AssertionError(operation)
    key = () if operation.key is None else (operation.key,)
    result = getattr(thing, operation.name)(*key, *operation.arguments)
    return result if isinstance(result, bool | int) or result is None else None


# -- bounds --------------------------------------------------------------------------------------------


def hard() -> list[Operation]:
    """Twenty offers at once of which no order can be found out before the end, where an item is missing."""
    offers = [op("queue", f"offer {number}", (1, 50)) for number in range(20)]
    return [*offers, op("queue", "size", (60, 61), 21)]


def test_too_many_states_are_undecided() -> None:
    judgement = judge(hard(), ALL, Bounds(states_max=2000))
    assert judgement.verdict == "undecided"
    assert "undecided" in str(judgement.undecided[0])
    assert judge([*hard(), *told(WRONG["a stale read"])], ALL, Bounds(states_max=2000)).verdict == "not linearizable"


def test_too_long_is_undecided() -> None:
    judgement = judge(hard(), ALL, Bounds(seconds=0.2))
    assert judgement.verdict == "undecided"
    assert judgement.seconds < 5


# -- what is told of a wrong history -------------------------------------------------------------------


def test_the_longest_order_and_the_operation_without_a_place_are_told() -> None:
    right = [op("map", f"put k {number}", (10 * number, 10 * number + 5), number - 1 or None) for number in range(1, 8)]
    bad = op("map", "get k", (100, 101), 3, line=9)
    judgement = judge([*right, bad, op("map", "get l", (1, 200))], ALL)
    (finding,) = judgement.wrong
    assert finding.key == "k" and finding.blocked is bad
    assert finding.outcome.order == right and finding.outcome.state == 7
    wanted = "map['k'] is not linearizable: nothing explains get('k') = 3 by a, line 9; 7 of 8 operations were placed"
    assert str(finding) == wanted


@pytest.mark.parametrize("model", ["map", "counter", "set"])
def test_a_long_history_is_checked_in_a_moment(model: str) -> None:
    """8 clients at once, 4000 operations, one of which in fifty has an unknown outcome."""
    operations = run_of(model, random.Random(1), 4000, unknown=0.02, clients=8)
    operations = [each for each in operations if each.name != "size"]
    judgement = judge(operations, ALL)
    assert judgement.verdict == "linearizable", judgement.undecided
    assert judgement.steps < 60 * len(operations)


def test_one_that_takes_as_long_as_all_others_costs_no_more_than_they_do() -> None:
    """What was taken beside it is remembered by how far that is, not one by one."""
    count = 4000
    operations = [Operation("get", (), count // 2, call=0, returned=10 * count, process="slow")]
    operations += [
        Operation("add", (1,), number + 1, call=10 * number + 1, returned=10 * number + 2, process="quick")
        for number in range(count)
    ]
    outcome = search(operations, MODELS["counter"](), deadline=monotonic() + 60)
    assert outcome.explained
    assert outcome.steps < 4 * count
