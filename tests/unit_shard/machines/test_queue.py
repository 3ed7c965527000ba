"""The queue: order, takes that wait, what comes back, events, and what is left of it in the log."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.client.protocol.errors import DELETED, ROWS
from ocelog.shard.machines.arrivals import Arrivals
from ocelog.shard.machines.base import RELEASE, Commit
from ocelog.shard.machines.queue import QueueMachine


class Driver:
    """Applies commands at ascending indexes and times, fires timers, and keeps the books on live entries."""

    def __init__(self, kind=QueueMachine) -> None:
        self.kind = kind
        self.machine = kind()
        self.log: dict[int, tuple] = {}
        self.live: set[int] = set()
        self.timers: list[tuple] = []
        self.events: list[tuple] = []
        self.time = 1000
        self.index = 0

    def run(self, session, name, *arguments):
        self.index += 1
        operation = self.kind.operations[name]
        self.log[self.index] = session, name, arguments, self.time
        if operation.mode == RELEASE:
            self.live.add(self.index)
        try:
            result = operation.function(self.machine, Commit(self.index, self.time, session), *arguments)
        except Exception:
            self.machine.forget_pending()
            self.live.discard(self.index)
            raise
        self._take()
        return result

    def _take(self):
        for released in self.machine.pending_releases:
            self.live.remove(released)  # a KeyError is an entry that was released twice
        self.timers += [(due, self.index, method, arguments) for due, method, arguments in self.machine.pending_timers]
        owned = [index for index in self.log if self.kind.operations[self.log[index][1]].mode == RELEASE]
        self.timers = [timer for timer in self.timers if timer[1] in self.live or timer[1] not in owned]
        self.events += [(list(sessions), _unpacked(event)) for sessions, event in self.machine.pending_events]
        self.machine.forget_pending()

    def ask(self, name, *arguments):
        before = set(self.live)
        result = self.kind.operations[name].function(self.machine, Commit(self.index, self.time, 1), *arguments)
        assert not self.machine.pending_releases and self.live == before
        return result

    def end(self, session, how="session_expired"):
        assert self.machine.watches(session)
        self.index += 1
        getattr(self.machine, how)(Commit(self.index, self.time, session))
        self._take()
        assert not self.machine.watches(session)

    def pass_ms(self, milliseconds):
        self.time += milliseconds
        while due := sorted(timer for timer in self.timers if timer[0] <= self.time):
            self.timers.remove(due[0])
            self.index += 1
            getattr(self.machine, due[0][2])(Commit(self.index, self.time, 0), *due[0][3])
            self._take()

    def told(self):
        """What was published since it was last asked for."""
        events, self.events = self.events, []
        return events

    def check(self):
        """What is live is what the machine says, and another one made of it is the same."""
        assert sorted(self.machine.live_entries()) == sorted(self.live)
        other, timers = self.kind(), []
        other.install(_plain(self.machine.snapshot()))
        for index in sorted(self.live):
            session, name, arguments, time = self.log[index]
            self.kind.operations[name].restoring(other, Commit(index, time, session), *arguments)
            timers += [(due, index, *timer) for due, *timer in other.pending_timers if due > self.time]
            other.forget_pending()
        assert timers == [timer for timer in self.timers if timer[1] in self.live]
        other.restored()
        assert not (other.pending_releases or other.pending_timers or other.pending_events)
        assert repr(vars(other)) == repr(vars(self.machine))


def _unpacked(event):
    import msgpack

    return list(msgpack.Unpacker(_feed(event)))


def _feed(data):
    import io

    return io.BytesIO(data)


def _plain(state):
    import msgpack

    return msgpack.unpackb(msgpack.packb(state))


@pytest.fixture
def queue():
    driver = Driver()
    yield driver
    driver.check()


def offer(queue, *items):
    for item in items:
        assert queue.run(1, "offer", item) is None
    return range(queue.index - len(items) + 1, queue.index + 1)


def test_first_in_first_out(queue):
    offer(queue, b"a", b"b", b"c")
    assert queue.ask("size") == 3
    assert [queue.run(2, "poll") for _ in range(4)] == [b"a", b"b", b"c", None]
    assert not queue.live


def test_peek_leaves_the_head_where_it_is_and_its_entry_live(queue):
    """Atomix's `element` closed the head's commit although it stayed in the queue, so that a restart lost it."""
    (index,) = offer(queue, b"a")
    assert queue.ask("peek") == b"a"
    assert queue.live == {index}
    queue.check()
    assert queue.run(1, "poll") == b"a"
    assert queue.ask("peek") is None


def test_remove_takes_the_first_that_is_equal(queue):
    indexes = offer(queue, b"a", b"b", b"a")
    assert queue.run(1, "remove", b"a") is True
    assert queue.ask("values") == [b"b", b"a"]
    assert queue.run(1, "remove", b"x") is False
    assert queue.live == set(indexes[1:])
    assert queue.ask("contains", b"a") and not queue.ask("contains", b"x")


def test_clear_releases_all(queue):
    offer(queue, b"a", b"b")
    assert queue.run(1, "clear") is None
    assert queue.ask("size") == 0 and not queue.live


def test_a_take_of_what_is_there(queue):
    (index,) = offer(queue, b"a")
    assert queue.run(2, "take", 1, 0, []) == [[index, b"a"]]
    assert queue.run(2, "take", 2, 0, []) == [None]
    assert queue.ask("size") == 0


def test_takes_are_served_in_the_order_in_which_they_came(queue):
    queue.run(3, "take", 1, None, [])
    queue.run(2, "take", 7, None, [])
    first, second = offer(queue, b"a", b"b")
    assert queue.told() == [([3], ["answer", [1, [first, b"a"]]]), ([2], ["answer", [7, [second, b"b"]]])]
    assert queue.run(1, "poll") is None


def test_a_take_that_is_cancelled_while_it_waits_gets_nothing(queue):
    queue.run(2, "take", 1, None, [])
    assert queue.run(2, "cancel", 1) is True
    assert queue.run(2, "cancel", 1) is False
    offer(queue, b"a")
    assert queue.told() == [] and queue.ask("size") == 1


def test_what_a_cancelled_take_has_got_returns_to_the_head(queue):
    queue.run(2, "take", 1, None, [])
    offer(queue, b"a", b"b", b"c")
    assert queue.run(2, "take", 2, 0, [])[0][1] == b"b"
    assert queue.run(2, "cancel", 2) is True
    assert queue.ask("values") == [b"b", b"c"]
    assert queue.run(2, "cancel", 1) is True
    assert queue.ask("values") == [b"a", b"b", b"c"]
    queue.check()


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (2, 3, 1)])
def test_whatever_the_order_in_which_items_return_theirs_is_kept(queue, order):
    offer(queue, b"1", b"2", b"3", b"4")
    for number in (1, 2, 3):
        queue.run(2, "take", number, 0, [])
    for number in order:
        queue.run(2, "cancel", number)
        queue.check()
    assert queue.ask("values") == [b"1", b"2", b"3", b"4"]


def test_what_returns_goes_to_who_waits(queue):
    (index,) = offer(queue, b"a")
    queue.run(2, "take", 1, 0, [])
    queue.run(3, "take", 1, None, [])
    queue.run(2, "cancel", 1)
    assert queue.told() == [([3], ["answer", [1, [index, b"a"]]])]


def test_what_has_arrived_does_not_return(queue):
    (index,) = offer(queue, b"a")
    queue.run(2, "take", 1, 0, [])
    assert queue.live == {index}
    queue.run(2, "take", 2, None, [index])
    assert not queue.live
    assert queue.run(2, "cancel", 1) is False
    assert queue.ask("size") == 0


def test_nobody_says_for_others_what_has_arrived(queue):
    (index,) = offer(queue, b"a")
    queue.run(2, "take", 1, 0, [])
    queue.run(3, "take", 1, None, [index, 99])
    assert queue.live == {index}
    assert queue.run(3, "cancel", 1) is True
    assert queue.run(2, "cancel", 1) is True
    assert queue.ask("values") == [b"a"]


@pytest.mark.parametrize("how", ["session_closed", "session_expired"])
def test_a_session_that_ends_waits_no_more_and_what_it_was_given_is_gone(queue, how):
    offer(queue, b"a")
    queue.run(2, "listen", None)
    queue.run(2, "take", 1, 0, [])
    queue.run(2, "take", 2, 500, [])
    assert queue.live
    queue.end(2, how)
    assert not queue.live
    queue.told()
    offer(queue, b"b")
    assert queue.told() == [] and queue.ask("size") == 1
    queue.pass_ms(1000)
    assert queue.told() == []


def test_patience_ends_in_log_time(queue):
    queue.run(2, "take", 1, 100, [])
    queue.run(3, "take", 1, 50, [])
    queue.run(4, "take", 1, None, [])
    queue.pass_ms(50)
    assert queue.told() == [([3], ["answer", [1, None]])]
    queue.check()
    queue.pass_ms(49)
    assert queue.told() == []
    queue.pass_ms(1)
    assert queue.told() == [([2], ["answer", [1, None]])]
    offer(queue, b"a")
    assert [sessions for sessions, _ in queue.told()] == [[4]]


def test_takes_that_were_served_leave_no_timers_behind(queue):
    for number in range(100):
        queue.run(2, "take", number, 1000, [])
        offer(queue, b"a")
    assert len(queue.timers) == 1
    queue.told()
    queue.pass_ms(5000)
    assert queue.told() == [] and not queue.timers and not queue.machine.alarms


def test_events(queue):
    queue.run(5, "listen", None)
    offer(queue, b"a", b"b")
    queue.run(1, "poll")
    queue.run(1, "take", 1, 0, [])
    queue.run(1, "cancel", 1)
    queue.run(1, "remove", b"b")
    queue.run(1, "clear")
    offer(queue, b"c")
    queue.run(1, "clear")
    queue.run(5, "unlisten", None)
    offer(queue, b"d")
    told = queue.told()
    assert all(sessions == [5] and event[0] == "change" for sessions, event in told)
    assert [event[1] for _, event in told] == [
        ["added", None, None, b"a"],
        ["added", None, None, b"b"],
        ["removed", None, b"a", None],
        ["removed", None, b"b", None],
        ["returned", None, None, b"b"],
        ["removed", None, b"b", None],
        ["added", None, None, b"c"],
        ["cleared", None, None, None],
    ]


def test_whoever_waits_is_told_when_the_queue_is_deleted(queue):
    queue.run(2, "take", 1, None, [])
    queue.machine.deleted(Commit(9, 9, 1))
    queue._take()
    assert queue.told() == [([2], ["answer", [1, None, DELETED, ROWS[DELETED].sentence]])]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("offer", ("text",)),
        ("offer", (None,)),
        ("remove", (7,)),
        ("take", (1, -1, [])),
        ("take", (1, True, [])),
        ("take", (1, 0, ["a"])),
        ("take", (1, 0, None)),
        ("listen", (b"a",)),
        ("unlisten", (b"a",)),
    ],
)
def test_what_is_no_argument_changes_nothing(queue, name, arguments):
    offer(queue, b"a")
    before = repr(vars(queue.machine))
    with pytest.raises((TypeError, ValueError)):
        queue.run(1, name, *arguments)
    assert repr(vars(queue.machine)) == before


def test_a_number_is_used_once(queue):
    queue.run(1, "take", 1, None, [])
    with pytest.raises(ValueError, match="already"):
        queue.run(1, "take", 1, None, [])
    offer(queue, b"a")
    with pytest.raises(ValueError, match="already"):
        queue.run(1, "take", 1, None, [])


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        [[], [], []],
        [[], [], [], "x"],
        [[], [], [[1, 2]], []],
        [[], [], [[1, 2, "x"]], []],
        [[], 1, [], []],
    ],
)
def test_a_snapshot_is_not_believed(state):
    with pytest.raises((TypeError, ValueError)):
        QueueMachine().install(state)


def test_a_grant_without_its_entry_is_corruption():
    machine = QueueMachine()
    machine.install([[], [], [[5, 1, 1]], []])
    with pytest.raises(ValueError, match="not live"):
        machine.restored()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["in", "out", "back"]), st.integers(0, 5)), max_size=60))
def test_arrivals_are_always_in_the_order_of_their_indexes(steps):
    arrivals, out = Arrivals(), {}
    for index, (step, choice) in enumerate(steps):
        if step == "in":
            arrivals[index] = b"%d" % index
        elif step == "out" and arrivals:
            taken, payload = arrivals.take_first()
            assert all(taken < other for other in arrivals)
            out[taken] = payload
        elif step == "back" and out:
            taken = sorted(out)[choice % len(out)]
            arrivals.put_back(taken, out.pop(taken))
        assert list(arrivals) == sorted(arrivals)
