"""Timers come in the order (due time, index that armed them, number within it), and go with the entry that owns them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.timers import DROPPED_MIN, Timer, Timers

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


# -- timers that an entry owns -------------------------------------------------------------------------

OWNED = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.booleans()), max_size=30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("drop"), st.integers(1, 9)),
        st.tuples(st.just("pop"), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.integers(0, 3)),
    )
)


@given(OWNED, STEPS)
def test_a_dropped_timer_is_as_if_it_had_never_been(armed, steps):
    """Whatever lies in the heaps, what is pending, what is due next and what fires is what a plain list says."""
    timers, model = Timers(), []
    for number, (due, armed_at, owned) in enumerate(armed):
        one = timer(due, armed_at, number)._replace(resource=armed_at % 3)
        timers.arm(one, owned=owned)
        model.append((one, owned))
    for action, value in steps:
        if action == "drop":
            timers.drop_owned(value)
            model = [(each, owned) for each, owned in model if not owned or each.armed_at != value]
        elif action == "delete":
            timers.drop_resource(value)
            model = [(each, owned) for each, owned in model if each.resource != value]
        else:
            due = sorted(each for each, _ in model if each.due <= value)
            fired = timers.pop_due(value)
            assert fired == (due[0] if due else None)
            model = [(each, owned) for each, owned in model if each != fired]
        assert sorted(timers.owned()) == sorted(each for each, owned in model if owned)
        assert sorted(timers.unowned()) == sorted(each for each, owned in model if not owned)
        assert timers.next_due == min((each.due for each, _ in model), default=None)
        assert set(timers.owners) == {each.armed_at for each, owned in model if owned}
        assert {each.resource for each, _ in model} <= set(timers._of_resource)
        assert model or timers._dropped or not timers._of_resource


def test_dropped_timers_do_not_pile_up():
    """An overwritten key's timer may be due in an hour; it does not stay so long."""
    timers = Timers()
    for index in range(1, 10_001):
        timers.arm(timer(10**6 + index, index), owned=True)
        timers.drop_owned(index - 1)
    assert len(timers._owned) <= 2 * DROPPED_MIN + 2
    assert timers.next_due == 10**6 + 10_000


def test_a_resource_takes_its_timers_with_it():
    """Owned or not."""
    timers = Timers()
    for number, resource in enumerate((2, 3, 2, 3)):
        timers.arm(timer(10 + number, 5 + number, number)._replace(resource=resource), owned=number < 2)
    timers.drop_resource(2)
    assert [each.resource for each in (*timers.owned(), *timers.unowned())] == [3, 3]
    assert (timers.next_due, timers.owners) == (11, {6: 1})
    timers.drop_resource(3)
    assert (timers.next_due, timers.owners) == (None, {})
