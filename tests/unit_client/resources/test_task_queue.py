"""The task queue's handles and `ocelog tasks`, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import threading
import time

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded
from ocelog.client.workers import TaskFailed

pytestmark = pytest.mark.system


def eventually(condition, seconds=20):
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def stats(tasks):
    return tuple(tasks.stats()[name] for name in ("pending", "under_way", "workers", "acknowledged", "failed"))


def test_operations(client, name):
    tasks = client.task_queue(name)
    first = tasks.submit({"to": "ada"})
    second = tasks.submit("b")
    assert first < second and stats(tasks) == (2, 0, 0, 0, 0) and tasks.size() == 2
    with tasks.subscribe(at_once=2, timeout=10) as worker:
        one, two = worker.next(10), worker.next(10)
        assert (one.id, one.value, one.attempt) == (first, {"to": "ada"}, 1)
        assert (two.id, two.value, two.attempt) == (second, "b", 1)
        assert stats(tasks) == (0, 2, 1, 0, 0)
    eventually(lambda: stats(tasks) == (2, 0, 0, 0, 0))
    with pytest.raises(BadArgument):
        tasks.submit(None)
    with pytest.raises(BadArgument):
        tasks.subscribe(at_once=0)


def test_a_worker_has_no_more_under_way_than_it_asked_for(endpoints, name):
    with ocelog.connect(endpoints) as client:
        tasks = client.task_queue(name)
        ids = [tasks.submit(number) for number in range(5)]
        with tasks.subscribe(at_once=2) as worker:
            first, second = worker.next(10), worker.next(10)
            with pytest.raises(DeadlineExceeded):
                worker.next(0.3)
            assert first.give_back() is True and first.ack() is False
            again = worker.next(10)
            assert (again.id, again.attempt) == (ids[0], 2)
            assert again.ack() is True and again.ack() is False
            assert second.fail("broken") is True
            assert [worker.next(10).value, worker.next(10).value] == [2, 3]
        assert stats(tasks)[3:] == (1, 1)


def test_who_submits_and_waits(endpoints, name):
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        with pytest.raises(DeadlineExceeded):
            client.task_queue(name).submit_and_wait("late", timeout=0.2)

        def work():
            with other.task_queue(name).subscribe() as worker:
                for task in worker:
                    if task.value == "bad":
                        task.fail("no good")
                    else:
                        task.ack()
                    if task.value == "bad":
                        return

        thread = threading.Thread(target=work)
        thread.start()
        assert client.task_queue(name).submit_and_wait("good") is None
        with pytest.raises(TaskFailed, match="no good") as failed:
            client.task_queue(name).submit_and_wait("bad")
        assert failed.value.reason == "no good"
        thread.join(10)


def test_the_tasks_of_a_client_that_is_lost_are_done_by_another(endpoints, name):
    async def scenario():
        async with ocelog.connect_async(endpoints) as client:
            tasks = client.task_queue(name)
            ids = [await tasks.submit(number) for number in range(4)]
            lost = await ocelog.connect_async(endpoints)
            worker = lost.task_queue(name).subscribe(at_once=3)
            taken = [await worker.next(10) for _ in range(3)]
            await taken[1].ack()
            await lost.close()
            seen = []
            async with tasks.subscribe() as heir:
                async for task in heir:
                    seen.append((task.id, task.attempt))
                    assert await task.ack()
                    if len(seen) == 3:
                        break
            # The fourth was on its way to the worker that is lost, in the place of the one it had acknowledged.
            assert seen == [(ids[0], 2), (ids[2], 2), (ids[3], 2)]

    asyncio.run(scenario())


def test_command_line(run, name):
    assert run("tasks", "submit", name, '{"to": "ada"}')[0] == 0
    assert run("tasks", "submit", name, "b")[0] == 0
    assert run("tasks", "submit", name, "c")[0] == 0
    assert run("tasks", "work", name, "--count", "1") == (0, '{"to": "ada"}\n')
    # The worker before was handed this one too and gave it back, so it is not the first attempt.
    script = 'test "$(cat)" = "$OCELOG_TASK" && echo "$OCELOG_TASK $OCELOG_TASK_ATTEMPT"'
    assert run("tasks", "work", name, "--count", "1", "--", "sh", "-c", script) == (0, "b 2\n")
    assert run("tasks", "work", name, "--count", "1", "--", "false") == (0, "")
    code, printed = run("tasks", "stats", name, "--json")
    assert code == 0 and '"acknowledged": 2' in printed and '"failed": 1' in printed
    assert run("tasks", "submit", name, "d", "--wait", "--timeout", "0.3")[0] == 75
