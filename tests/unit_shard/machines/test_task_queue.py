"""The task queue: who gets which task, what comes back where, who may finish it, and what is left of it in the log."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.errors import DELETED, ROWS
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.task_queue import CAPACITY_MAX, TaskQueueMachine

from .test_queue import Driver

A, B = 1, 2  # sessions


@pytest.fixture
def tasks():
    driver = Driver(TaskQueueMachine)
    yield driver
    driver.check()
    assert set(driver.machine.ready) == {
        worker for worker, capacity in driver.machine.capacities.items() if len(driver.machine.held[worker]) < capacity
    }
    assert not (driver.machine.pending and driver.machine.ready)


def handed(tasks):
    """What was handed out since: session, worker, index, attempt, task."""
    found = []
    for sessions, (name, value) in tasks.told():
        if name == "change":
            kind, worker, old, new = value
            assert (kind, old) == ("task", None)
            found.append((*sessions, worker, *new))
    return found


def submit(tasks, *items):
    return [tasks.run(9, "submit", item) for item in items]


def test_tasks_go_to_workers_with_room_in_turn(tasks):
    tasks.run(A, "subscribe", b"w", 2)
    tasks.run(B, "subscribe", b"w", 1)
    one, two, three, four = submit(tasks, b"1", b"2", b"3", b"4")
    assert handed(tasks) == [(A, b"w", one, 1, b"1"), (B, b"w", two, 1, b"2"), (A, b"w", three, 1, b"3")]
    assert tasks.ask("stats")["pending"] == 1
    assert tasks.run(B, "ack", two, 1) is True
    assert handed(tasks) == [(B, b"w", four, 1, b"4")]
    assert tasks.ask("stats") == {"pending": 0, "under_way": 3, "workers": 2, "acknowledged": 1, "failed": 0}
    assert tasks.ask("size") == 3


def test_a_task_stays_in_the_log_until_it_is_acknowledged(tasks):
    (index,) = submit(tasks, b"1")
    tasks.run(A, "subscribe", b"w", 1)
    assert tasks.live == {index}
    tasks.run(A, "ack", index, 1)
    assert not tasks.live and tasks.ask("size") == 0


@pytest.mark.parametrize("how", ["session_closed", "session_expired"])
def test_the_tasks_of_a_lost_worker_return_to_the_head_in_order(tasks, how):
    tasks.run(A, "subscribe", b"w", 3)
    indexes = submit(tasks, b"1", b"2", b"3", b"4", b"5")
    tasks.run(A, "ack", indexes[1], 1)
    tasks.end(A, how)
    assert list(tasks.machine.pending) == [indexes[0], indexes[2], indexes[3], indexes[4]]
    tasks.check()
    tasks.told()
    tasks.run(B, "subscribe", b"w", 3)
    assert handed(tasks) == [
        (B, b"w", indexes[0], 2, b"1"),
        (B, b"w", indexes[2], 2, b"3"),
        (B, b"w", indexes[3], 2, b"4"),
    ]


def test_the_tasks_of_a_lost_worker_go_to_those_that_are_left(tasks):
    tasks.run(A, "subscribe", b"w", 1)
    (index,) = submit(tasks, b"1")
    tasks.run(B, "subscribe", b"w", 1)
    tasks.told()
    tasks.end(A)
    assert handed(tasks) == [(B, b"w", index, 2, b"1")]


def test_a_worker_that_ends_gives_back_what_it_has(tasks):
    tasks.run(A, "subscribe", b"w", 1)
    tasks.run(A, "subscribe", b"x", 1)
    one, two = submit(tasks, b"1", b"2")
    assert tasks.run(A, "unsubscribe", b"w") is True
    assert tasks.run(A, "unsubscribe", b"w") is False
    assert list(tasks.machine.pending) == [one]
    assert tasks.run(A, "ack", two, 1) is True


@pytest.mark.parametrize("command", [("ack",), ("fail", "why"), ("give_back",)])
def test_only_who_has_a_task_finishes_it_and_once(tasks, command):
    """Atomix ignores a `complete` of another session's task without a word; here it is told, and changes nothing."""
    name, *rest = command
    tasks.run(A, "subscribe", b"w", 1)
    (index,) = submit(tasks, b"1")
    before = repr(vars(tasks.machine))
    assert tasks.run(B, name, index, 1, *rest) is False
    assert tasks.run(A, name, index, 2, *rest) is False
    assert tasks.run(A, name, index + 1, 1, *rest) is False
    assert repr(vars(tasks.machine)) == before
    assert tasks.run(A, name, index, 1, *rest) is True
    assert tasks.run(A, name, index, 1, *rest) is False


def test_an_attempt_is_not_mixed_up_with_a_later_one(tasks):
    """A worker that gave a task back and got it again cannot finish the second attempt in the name of the first."""
    tasks.run(A, "subscribe", b"w", 1)
    (index,) = submit(tasks, b"1")
    tasks.run(A, "give_back", index, 1)
    assert handed(tasks)[-1] == (A, b"w", index, 2, b"1")
    assert tasks.run(A, "ack", index, 1) is False
    assert tasks.run(A, "ack", index, 2) is True


def test_who_waits_is_told(tasks):
    tasks.run(A, "subscribe", b"w", 2)
    tasks.run(B, "submit_and_wait", 1, None, b"1")
    tasks.run(B, "submit_and_wait", 2, None, b"2")
    (_, _, one, _, _), (_, _, two, _, _) = handed(tasks)
    tasks.run(A, "fail", two, 1, "broken")
    tasks.run(A, "ack", one, 1)
    assert tasks.told() == [([B], ["answer", [2, [False, "broken"]]]), ([B], ["answer", [1, [True, None]]])]
    assert tasks.ask("stats")["failed"] == 1


def test_who_waits_survives_that_the_worker_is_lost(tasks):
    tasks.run(A, "subscribe", b"w", 1)
    tasks.run(B, "submit_and_wait", 1, None, b"1")
    (_, _, index, _, _) = handed(tasks)[0]
    tasks.end(A)
    tasks.run(A, "subscribe", b"w", 1)
    tasks.told()
    tasks.run(A, "ack", index, 2)
    assert tasks.told() == [([B], ["answer", [1, [True, None]]])]


def test_patience_ends_and_the_task_stays(tasks):
    tasks.run(B, "submit_and_wait", 1, 100, b"1")
    tasks.run(B, "submit_and_wait", 2, None, b"2")
    tasks.check()
    tasks.pass_ms(100)
    assert tasks.told() == [([B], ["answer", [1, None]])]
    assert tasks.run(B, "cancel", 1) is False
    assert tasks.run(B, "cancel", 2) is True
    assert tasks.ask("size") == 2
    tasks.check()


def test_a_task_that_nobody_waits_for(tasks):
    assert tasks.run(B, "submit_and_wait", 1, 0, b"1") == [None]
    assert tasks.ask("size") == 1 and not tasks.machine.watches(B)


def test_tasks_that_are_done_leave_no_timers_behind(tasks):
    tasks.run(A, "subscribe", b"w", 1)
    for number in range(20):
        tasks.run(B, "submit_and_wait", number, 1000, b"1")
        tasks.run(A, "ack", handed(tasks)[0][2], 1)
    tasks.told()
    assert not tasks.timers
    tasks.pass_ms(2000)
    assert tasks.told() == []


def test_a_submitter_that_is_gone_leaves_its_task(tasks):
    tasks.run(B, "submit_and_wait", 1, None, b"1")
    tasks.end(B)
    assert tasks.ask("size") == 1
    tasks.run(A, "subscribe", b"w", 1)
    assert [task for *_, task in handed(tasks)] == [b"1"]


def test_a_smaller_capacity_counts_for_what_comes(tasks):
    tasks.run(A, "subscribe", b"w", 2)
    one, two, *_ = submit(tasks, b"1", b"2", b"3")
    tasks.run(A, "subscribe", b"w", 1)
    tasks.told()
    tasks.run(A, "ack", one, 1)
    assert handed(tasks) == []
    tasks.run(A, "ack", two, 1)
    assert len(handed(tasks)) == 1


def test_a_delete_is_told_to_who_waits(tasks):
    tasks.run(B, "submit_and_wait", 1, None, b"1")
    tasks.machine.deleted(Commit(99, 99, 1))
    tasks._take()
    assert tasks.told() == [([B], ["answer", [1, None, DELETED, ROWS[DELETED].sentence]])]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("submit", ("text",)),
        ("submit_and_wait", (1, -1, b"a")),
        ("submit_and_wait", (1, None, "a")),
        ("submit_and_wait", (7, None, b"a")),
        ("subscribe", ("w", 1)),
        ("subscribe", (b"w", 0)),
        ("subscribe", (b"w", CAPACITY_MAX + 1)),
        ("unsubscribe", ("w",)),
    ],
)
def test_what_is_no_argument_changes_nothing(tasks, name, arguments):
    tasks.run(A, "submit_and_wait", 7, None, b"1")
    before = repr(vars(tasks.machine))
    with pytest.raises((TypeError, ValueError)):
        tasks.run(A, name, *arguments)
    assert repr(vars(tasks.machine)) == before


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        [[[1, "w", 1]], [], [], [], [], 0, 0],
        [[], [[1, b"w"]], [], [], [], 0, 0],
        [[], [], [], [["a", 1]], [], 0, 0],
        [[], [], [], [], [], "0", 0],
    ],
)
def test_a_snapshot_is_not_believed(state):
    with pytest.raises((TypeError, ValueError)):
        TaskQueueMachine().install(state)


def test_a_task_under_way_without_its_entry_is_corruption():
    machine = TaskQueueMachine()
    machine.install([[[1, b"w", 1]], [], [[5, 1, b"w"]], [[5, 1]], [], 0, 0])
    with pytest.raises(ValueError, match="not live"):
        machine.restored()
