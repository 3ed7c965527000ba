"""Patience alone: who gives up when, against a plain list of all that wait, and what is left of those that were served."""

from __future__ import annotations

from random import Random
from time import process_time

import msgpack
import pytest
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.lock import LockMachine
from ocelog.shard.machines.patience import STALE_MAX
from ocelog.shard.machines.waiting import Waiter, Waiters

SESSION = 5


class Clock:
    """A lock that is held, whose timers fire when they are due."""

    def __init__(self) -> None:
        self.machine = LockMachine()
        self.index = self.time = 0
        self.timers: list[int] = []
        self.run("lock", 0, None)

    def run(self, name, *arguments):
        self.index += 1
        getattr(self.machine, name)(Commit(self.index, self.time, SESSION), *arguments)
        return self.told()

    def told(self):
        self.timers += [due for due, _, _ in self.machine.pending_timers]
        events = [msgpack.unpackb(b"\x92" + event)[1] for _, event in self.machine.pending_events]
        self.machine.forget_pending()
        return events

    def go_on(self, ms):
        """So much later: the numbers of the requests that gave up."""
        self.time += ms
        self.index += 1
        gone = []
        while self.timers and min(self.timers) <= self.time:
            self.timers.remove(min(self.timers))
            self.machine.give_up(Commit(self.index, self.time, 0))
            gone += [number for number, result in self.told() if result is None]
        return gone

    def rebuilt(self):
        """Go on with a machine that comes from a snapshot, as its timers do."""
        state = self.machine.snapshot()
        self.machine = LockMachine()
        self.machine.install(msgpack.unpackb(msgpack.packb(state)))


@pytest.mark.parametrize("seed", range(30))
def test_everybody_gives_up_in_time_and_nobody_else_does(seed):
    drawn, clock = Random(seed), Clock()
    waiting: dict[int, int | None] = {}
    for number in range(1, 300):
        what = drawn.random()
        if what < 0.5:
            wait = drawn.choice((None, 1, 5, 5, 30, 200))
            clock.run("lock", number, wait)
            waiting[number] = None if wait is None else clock.time + wait
        elif what < 0.7 and waiting:
            gone = drawn.choice(list(waiting))
            clock.run("cancel", gone)
            del waiting[gone]
        elif what < 0.75:
            clock.rebuilt()
        else:
            late = clock.go_on(drawn.choice((0, 1, 3, 20)))
            assert late == [one for one, due in waiting.items() if due is not None and due <= clock.time]
            waiting = {one: due for one, due in waiting.items() if one not in late}
        assert [waiter.number for waiter in clock.machine.waiters] == list(waiting)
        assert len(clock.timers) <= 8, "timers pile up"


def test_a_number_that_comes_again_has_the_patience_of_its_last_request():
    clock = Clock()
    clock.run("lock", 9, 1)
    assert clock.go_on(1) == [9]
    clock.run("lock", 1, 10)
    clock.run("cancel", 1)
    clock.run("lock", 1, 100)
    assert clock.go_on(50) == [] and clock.go_on(49) == [] and clock.go_on(1) == [1]


def test_requests_that_were_served_do_not_pile_up():
    clock = Clock()
    clock.run("lock", 1, 1)
    assert clock.go_on(1) == [1]
    for number in range(2, 20 * STALE_MAX):
        clock.run("lock", number, 3_600_000)
        clock.run("unlock", number - 1 if number > 2 else 0)
        assert len(clock.machine.dues._heap or ()) <= 2 + STALE_MAX
    assert len(clock.timers) == 1


def test_letting_in_very_many_takes_no_longer_for_each():
    """Whoever is first is found at once, however many were served before: else these would take minutes."""
    waiters = Waiters()
    for number in range(200_000):
        waiters.add(Waiter(SESSION, number, number))
    began = process_time()
    while (first := waiters.first()) is not None:
        waiters.remove(first.session, first.number)
    assert process_time() - began < 5


def test_a_jump_in_time_drops_very_many_alarms_at_once():
    """Each that waits less long than all before it has an alarm of its own."""
    clock, count = Clock(), 60_000
    clock.machine.alarms = tuple(range(count, 0, -1))
    began = process_time()
    clock.machine.drop_alarms(count - 1)
    assert clock.machine.alarms == (count,)
    assert process_time() - began < 0.5
