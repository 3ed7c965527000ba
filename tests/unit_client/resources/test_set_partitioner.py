"""The set partitioner's handle, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.group_changes import MemberRemoved
from ocelog.client.partitioning import PartitionerState, deal
from ocelog.client.protocol.errors import BadArgument, Closed, DeadlineExceeded, MachineError, SessionExpired

from .test_group import stand_still

pytestmark = pytest.mark.system

ALLOCATING, ACQUIRED = PartitionerState.ALLOCATING, PartitionerState.ACQUIRED
RELEASE, FAILURE = PartitionerState.RELEASE, PartitionerState.FAILURE


def eventually(condition, seconds=20):
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_dealing_differs_by_one_at_most():
    members, items = ["a", "b", "c"], list(range(8))
    hands = [deal(id, members, items) for id in members]
    assert sorted(item for hand in hands for item in hand) == items
    assert sorted(map(len, hands)) == [2, 3, 3]


def test_one_member_has_everything_and_two_share(client, name):
    with client.set_partitioner(name, ["b", "a", "c", "a"], id="one") as one:
        assert one.state is ALLOCATING and one.allotment is None
        alone = one.acquire()
        assert alone.items == ["a", "b", "c"] and one.state is ACQUIRED and one.allotment == alone
        with pytest.raises(DeadlineExceeded):
            one.wait_for_change(timeout=0.1)
        with client.set_partitioner(name, ["a", "b", "c"], id="two") as two:
            assert one.members() == ["one", "two"]
            assert one.wait_for_change(timeout=10) is RELEASE and one.allotment == alone
            with pytest.raises(DeadlineExceeded, match="not given up"):
                two.acquire(timeout=0.2)
            one.release_set()
            assert one.state is ALLOCATING and one.allotment is None
            second, first = two.acquire(timeout=10), one.acquire(timeout=10)
            assert (first.items, second.items) == (["a", "c"], ["b"])
            assert alone.token < second.token < first.token
            assert two.allotments() == {"one": first, "two": second}
            with pytest.raises(MachineError, match="already"), client.set_partitioner(name, ["a"], id="two"):
                raise AssertionError
        assert one.wait_for_change(timeout=10) is RELEASE
        assert one.acquire(timeout=10).items == ["a", "b", "c"]
        assert two.allotment is None
    with pytest.raises(Closed):
        one.acquire()


def test_what_cannot_be(client, name):
    for items, id in (([None], None), ([1.5], None), (["a"], ""), (["a"], b"x")):
        with pytest.raises(BadArgument):
            client.set_partitioner(name, items, id=id)
    partitioner = client.set_partitioner(name, ["a"])
    with pytest.raises(Closed):
        partitioner.acquire()
    with partitioner, pytest.raises(BadArgument, match="once"):
        partitioner.__enter__()
    for own in (["b"], ["a", "a"]):
        divided = client.set_partitioner(name, ["a"], divide=lambda id, members, items, own=own: own)
        with divided as partitioner, pytest.raises(BadArgument, match="some of the items"):
            partitioner.acquire()


def test_a_division_of_ones_own(endpoints, name):
    def by_first_letter(id, members, items):
        return [item for item in items if item[0] == id]

    with (
        ocelog.connect(endpoints) as client,
        client.set_partitioner(name, ["ax", "bx", "ay"], id="a", divide=by_first_letter) as partitioner,
    ):
        assert partitioner.acquire().items == ["ax", "ay"]


def test_iterating(endpoints, name):
    """Each turn gives up what the member held, and the iteration ends with the partitioner."""
    with ocelog.connect(endpoints) as client, ThreadPoolExecutor() as pool:
        seen = []

        def work(partitioner):
            for allotment in partitioner:
                seen.append(allotment.items)

        with client.set_partitioner(name, [1, 2, 3], id="one") as one:
            working = pool.submit(work, one)
            eventually(lambda: seen == [[1, 2, 3]])
            with client.set_partitioner(name, [1, 2, 3], id="two") as two:
                assert two.acquire(timeout=10).items == [2]
                eventually(lambda: seen == [[1, 2, 3], [1, 3]])
            eventually(lambda: seen == [[1, 2, 3], [1, 3], [1, 2, 3]])
        working.result(20)


def test_who_waits_is_told_when_the_partitioner_is_closed(endpoints, name):
    with (
        ocelog.connect(endpoints) as client,
        ThreadPoolExecutor() as pool,
        client.set_partitioner(name, [1], id="b") as one,
    ):
        one.acquire()
        with client.set_partitioner(name, [1], id="a") as two:
            acquiring = pool.submit(two.acquire, timeout=60)
            eventually(lambda: one.state is RELEASE)
        with pytest.raises(Closed):
            acquiring.result(20)


def test_an_acquire_that_is_cancelled_holds_nothing(endpoints, name):
    async def scenario():
        async with ocelog.connect_async(endpoints) as client, client.set_partitioner(name, [1], id="b") as one:
            await one.acquire()
            async with client.set_partitioner(name, [1], id="a") as two:
                acquiring = asyncio.create_task(two.acquire(timeout=60))
                assert await one.wait_for_change() is RELEASE
                await asyncio.sleep(0)
                acquiring.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await acquiring
                await one.release_set()
                assert [allotment.items for allotment in (await two.allotments()).values()] == [[], []]
                assert (await two.acquire(timeout=10)).items == [1]

    asyncio.run(scenario())


def test_a_member_whose_session_was_lost_has_failed_and_others_go_on(endpoints, name):
    with (
        ocelog.connect(endpoints, session_timeout=1) as client,
        ocelog.connect(endpoints) as other,
        client.set_partitioner(name, [1, 2], id="lost") as lost,
        other.set_partitioner(name, [1, 2], id="other") as stays,
    ):
        held = lost.acquire(timeout=10)
        assert held.items == [1]
        leave = stand_still(client, other, name)
        assert stays.acquire(timeout=20).items == [2]
        stays.wait_for_change(timeout=20)
        after = stays.acquire(timeout=20)
        assert after.items == [1, 2] and after.token > held.token
        leave.set()
        eventually(lambda: lost.state is FAILURE)
        assert lost.allotment is None
        for call in (lost.acquire, lost.release_set, lost.__iter__().__next__):
            with pytest.raises(SessionExpired):
                call()
        assert stays.members() == ["other"], "who has failed does not come back by itself"


def test_a_set_partitioner_that_is_deleted_has_failed(endpoints, name):
    with ocelog.connect(endpoints) as client, client.set_partitioner(name, [1]) as partitioner:
        partitioner.acquire()
        client.delete(name)
        assert partitioner.wait_for_change(timeout=20) is FAILURE
        with pytest.raises(MemberRemoved, match="deleted"):
            partitioner.acquire()


def test_threads_see_the_state_change(endpoints, name):
    """The state is looked at between pieces of work, in whatever thread."""
    with (
        ocelog.connect(endpoints) as client,
        ThreadPoolExecutor() as pool,
        client.set_partitioner(name, [1, 2], id="one") as one,
    ):
        one.acquire()
        released = threading.Event()

        def work():
            while one.state is ACQUIRED:
                time.sleep(0.005)
            released.set()

        working = pool.submit(work)
        with client.set_partitioner(name, [1, 2], id="two"):
            assert released.wait(20)
        working.result(20)


# -- the command line ----------------------------------------------------------------------------------


def test_a_command_runs_with_the_items_and_is_started_again_with_the_next(endpoints, name, tmp_path):
    """Its own end is the end, with its exit code; what the others hold can be looked at."""
    where = f"--endpoints={','.join(endpoints)}"
    out = tmp_path / "out"
    script = (
        f'echo "$OCELOG_TOKEN $OCELOG_ITEMS" >> {out}; while ! test -e {tmp_path}/stop; do sleep 0.05; done; exit 7'
    )
    command = [sys.executable, "-P", "-m", "ocelog", "partition", "hold", name, "--items=1,2", "--id=one", where]
    holding = subprocess.Popen([*command, "--", "sh", "-c", script])
    try:
        eventually(lambda: out.exists() and out.read_text().count("\n") == 1)
        show = [sys.executable, "-P", "-m", "ocelog", "partition", "show", name, where]
        shown = json.loads(subprocess.run(show, capture_output=True, text=True, timeout=60).stdout)
        assert (shown["id"], shown["items"]) == ("one", [1, 2])
        with ocelog.connect(endpoints) as client, client.set_partitioner(name, [1, 2], id="two") as two:
            assert two.acquire(timeout=20).items == [2]
            eventually(lambda: out.read_text().count("\n") == 2)
        eventually(lambda: out.read_text().count("\n") == 3)
        lines = [line.split(" ", 1) for line in out.read_text().splitlines()]
        assert [json.loads(items) for _, items in lines] == [[1, 2], [1], [1, 2]]
        assert [int(token) for token, _ in lines] == sorted({int(token) for token, _ in lines})
        (tmp_path / "stop").touch()
        assert holding.wait(60) == 7
    finally:
        holding.kill()
        holding.wait()
