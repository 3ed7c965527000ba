"""The election's handles, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.election_changes import ElectionState, Leader
from ocelog.client.protocol.errors import (
    BadArgument,
    Closed,
    DeadlineExceeded,
    MachineError,
    ResourceDeleted,
    Revoked,
    SessionExpired,
)

pytestmark = pytest.mark.system

SECONDS_MAX = 20


def until(condition):
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := condition()):
        assert time.monotonic() < deadline
    return found


@pytest.fixture
def pool():
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def other(endpoints):
    with ocelog.connect(endpoints) as other:
        yield other


class Losses:
    """Terms that were lost, in the order of being told."""

    def __init__(self):
        self.terms = []
        self._told = threading.Semaphore(0)

    def __call__(self, term):
        self.terms.append(term)
        self._told.release()

    def next(self):
        assert self._told.acquire(timeout=SECONDS_MAX)
        return self.terms[-1]


def test_operations(client, other, name):
    election, second = client.election(name), other.election(name)
    assert (election.leader(), election.candidates(), election.size()) == (None, [], 0)
    first = election.run("a")
    assert first == Leader("a", first.term)
    assert second.run("b") == first
    assert second.run("c") == first
    assert election.run("a") == first
    assert (election.leader(), second.candidates(), election.size()) == (first, ["a", "b", "c"], 3)
    assert election.promote("c") and not election.promote("c")
    assert election.state() == ElectionState(first, ["a", "c", "b"])
    assert election.demote("c") and not election.demote("c")
    assert election.anoint("c") and not election.anoint("c")
    leader = election.leader()
    assert leader == ("c", leader.term) and leader.term > first.term
    assert election.candidates() == ["c", "a", "b"]
    assert election.withdraw("c") is False, "it is another client's"
    assert second.withdraw("c") is True
    assert election.evict("b") is True
    assert election.evict("b") is False
    assert election.state() == ElectionState(Leader("a", election.leader().term), ["a"])
    assert election.leader().term > leader.term


def test_lead_waits_until_it_leads(client, other, pool, name):
    election, second = client.election(name), other.election(name)
    term = election.lead("a", timeout=5)
    assert election.leader() == ("a", term.token)
    waiting = pool.submit(second.lead, "b", timeout=SECONDS_MAX)
    until(lambda: election.size() == 2)
    assert election.resign(term) is True
    next_term = waiting.result(SECONDS_MAX)
    assert next_term.token > term.token
    assert election.leader() == ("b", next_term.token)
    assert election.resign(term) is False
    assert second.resign(next_term) is True
    assert election.state() == ElectionState(None, [])
    with pytest.raises(BadArgument):
        election.resign(term.token)


def test_a_block_leads_and_resigns_when_it_raises(client, name):
    election = client.election(name)
    with pytest.raises(KeyError), election.leading("a", timeout=5) as term:
        assert election.leader() == ("a", term.token)
        raise KeyError
    assert election.leader() is None


def test_who_is_not_elected_in_time_is_no_candidate(client, name):
    election = client.election(name)
    term = election.lead("a")
    for timeout in (0, 0.2):
        with pytest.raises(DeadlineExceeded, match="'b' was not elected in time"):
            election.lead("b", timeout=timeout)
        assert election.candidates() == ["a"]
    election.resign(term)
    assert election.leader() is None


def test_what_cannot_be(client, other, name):
    election, second = client.election(name), other.election(name)
    for id in ("", "x" * 256, b"a", 7, None):
        for operation in (election.run, election.lead, election.withdraw, election.anoint, election.evict):
            with pytest.raises(BadArgument, match="1 to 255 bytes"):
                operation(id)
    assert election.run("x" * 255).id == "x" * 255
    for operation in (second.run, second.lead):
        with pytest.raises(MachineError, match="a candidate of that id already"):
            operation("x" * 255)


def test_an_id_is_free_when_its_session_has_ended(endpoints, other, pool, name):
    with ocelog.connect(endpoints) as client:
        first = client.election(name).lead("a")
        waiting = pool.submit(other.election(name).lead, "b", timeout=SECONDS_MAX)
        until(lambda: client.election(name).size() == 2)
    assert waiting.result(SECONDS_MAX).token > first.token
    assert other.election(name).run("a").id == "b"


# -- losing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["evict", "anoint", "withdraw"])
def test_a_leader_is_told_when_its_term_is_taken_away(client, other, pool, name, how):
    election, second, losses = client.election(name), other.election(name), Losses()
    term = second.lead("a", lost=losses)
    next_losses = Losses()
    waiting = pool.submit(second.lead, "b", timeout=SECONDS_MAX, lost=next_losses)
    until(lambda: election.size() == 2)
    if how == "withdraw":
        assert second.withdraw("a")
    else:
        assert getattr(election, how)("a" if how == "evict" else "b")
    assert losses.next() == term
    following = waiting.result(SECONDS_MAX)
    assert election.state() == ElectionState(Leader("b", following.token), ["b"])
    assert second.resign(term) is False
    assert second.resign(following) is True
    assert (losses.terms, next_losses.terms) == ([term], []), "what is given back is not lost"


def test_a_leader_is_told_in_asyncio_too(endpoints, name):
    async def main():
        async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
            lost = asyncio.Event()
            with pytest.raises(KeyError):
                async with client.election(name).leading("a", lost=lambda term: lost.set()) as term:
                    assert await other.election(name).leader() == ("a", term.token)
                    assert await other.election(name).evict("a")
                    async with asyncio.timeout(SECONDS_MAX):
                        await lost.wait()
                    raise KeyError
            assert await other.election(name).state() == (None, [])

    asyncio.run(main())


def test_a_leader_is_told_when_the_election_is_deleted_and_so_is_who_waits(client, other, pool, name):
    losses = Losses()
    term = other.election(name).lead("a", lost=losses)
    waiting = pool.submit(other.election(name).lead, "b", timeout=SECONDS_MAX)
    until(lambda: client.election(name).size() == 2)
    assert client.delete(name)
    assert losses.next() == term
    with pytest.raises(ResourceDeleted):
        waiting.result(SECONDS_MAX)


def test_a_leader_is_told_when_its_session_has_ended(endpoints, other, name):
    losses, leave = Losses(), threading.Event()
    with ocelog.connect(endpoints, session_timeout=1) as client:
        election = client.election(name)
        term = election.lead("a", lost=losses)
        # Whoever does not handle its events in time is expired, however well it keeps alive.
        with election.on_change(lambda event: leave.wait(SECONDS_MAX)):
            following = other.election(name).lead("b", timeout=SECONDS_MAX)
            leave.set()
            assert losses.next() == term
        assert following.token > term.token
        assert election.resign(term) is False
        assert other.election(name).resign(following)
        assert election.lead("a").token > following.token
        assert losses.terms == [term]


@pytest.mark.parametrize("how", ["evict", "withdraw"])
def test_who_waits_is_told_when_its_candidate_is_taken_away(client, other, pool, name, how):
    election, second = client.election(name), other.election(name)
    election.run("a")
    waiting = pool.submit(second.lead, "b", timeout=SECONDS_MAX)
    until(lambda: election.size() == 2)
    assert (election.evict if how == "evict" else second.withdraw)("b")
    with pytest.raises(Revoked, match="evicted" if how == "evict" else "withdrawn"):
        waiting.result(SECONDS_MAX)


async def _cancelled(endpoints, name):
    async with ocelog.connect_async(endpoints) as client, ocelog.connect_async(endpoints) as other:
        election, second = client.election(name), other.election(name)
        term = await election.lead("a")
        waits = asyncio.create_task(second.lead("b", timeout=math.inf))
        async with asyncio.timeout(SECONDS_MAX):
            while await election.size() < 2:
                pass
            # The cancellation crosses the election: whichever comes first, nobody leads in the end.
            resigns = asyncio.create_task(election.resign(term))
            waits.cancel()
            assert await resigns
            with pytest.raises(asyncio.CancelledError):
                await waits
            while await election.size():
                pass


def test_a_cancelled_wait_leaves_no_candidate_behind(endpoints, name):
    asyncio.run(_cancelled(endpoints, name))


def test_a_client_that_closes_ends_its_waits(endpoints, other, pool, name):
    other.election(name).run("a")
    client = ocelog.connect(endpoints)
    waiting = pool.submit(client.election(name).lead, "b", timeout=SECONDS_MAX)
    until(lambda: other.election(name).size() == 2)
    client.close()
    with pytest.raises((Closed, SessionExpired)):
        waiting.result(SECONDS_MAX)
    assert other.election(name).candidates() == ["a"]


# -- events ------------------------------------------------------------------------------------------


def test_events(client, other, name):
    election, second = client.election(name), other.election(name)
    with election.events() as events:
        first = second.run("a")
        second.run("b")
        second.anoint("b")
        second.withdraw("b")
        second.withdraw("a")
        found = [events.next(timeout=SECONDS_MAX) for _ in range(9)]
    assert [(event.kind, event.key) for event in found] == [
        *(("added", "a"), ("elected", "a"), ("added", "b"), ("moved", "b"), ("elected", "b")),
        *(("removed", "b"), ("elected", "a"), ("removed", "a"), ("elected", None)),
    ]
    elected = [event for event in found if event.kind == "elected"]
    assert (elected[0].old, elected[0].new) == (None, first)
    assert [event.old for event in elected[1:]] == [event.new for event in elected[:-1]]
    assert [event.new.term for event in elected[:-1]] == [event.index for event in elected[:-1]]
    assert elected[-1].new is None
    assert found[3].new == 0
    assert elected[1].as_dict() == {
        "kind": "elected",
        "key": "b",
        "old": {"id": "a", "term": first.term},
        "new": {"id": "b", "term": elected[1].index},
        "index": elected[1].index,
    }
    assert len(set(found)) == 9 and found[0] != found[1]


def test_callbacks(endpoints, other, name):
    seen = []
    with ocelog.connect(endpoints) as client, client.election(name).on_change(seen.append) as subscription:
        other.election(name).run("a")
        until(lambda: len(seen) == 2)
        subscription.close()
        other.election(name).withdraw("a")
        assert [event.kind for event in seen] == ["added", "elected"]


def test_the_state_replaces_events_that_were_missed(client, other, name):
    election, second = client.election(name), other.election(name)
    with election.events(buffer=1) as events:
        leader = second.run("a")
        second.run("b")
        # An answer comes behind the events before it: those are here when this one is.
        assert election.size() == 2
        resync = events.next(timeout=SECONDS_MAX)
        while resync.kind != "resync":
            resync = events.next(timeout=SECONDS_MAX)
        assert resync.state == ElectionState(leader, ["a", "b"])


# -- the command line --------------------------------------------------------------------------------


def test_command_line(run, other, name):
    election = other.election(name)
    assert run("election", "leader", name) == (1, "")
    assert run("election", "candidates", name) == (0, "")
    leader = election.run("a")
    election.run("b")
    election.run("c")
    code, printed = run("election", "leader", name)
    assert (code, json.loads(printed)) == (0, leader._asdict())
    assert run("election", "candidates", name) == (0, "a\nb\nc\n")
    assert run("election", "promote", name, "c") == (0, "true\n")
    assert run("election", "demote", name, "c") == (0, "true\n")
    assert run("election", "promote", name, "x") == (1, "false\n")
    assert run("election", "anoint", name, "c") == (0, "true\n")
    assert run("election", "evict", name, "b") == (0, "true\n")
    assert run("election", "candidates", name, "--json") == (0, '["c", "a"]\n')


def test_a_command_runs_while_it_leads(run, name):
    code, printed = run("election", "run", name, "--id", "a", "--", "sh", "-c", "echo $OCELOG_TERM; exit 7")
    assert code == 7 and int(printed) > 0
    assert run("election", "run", name, "--id", "a")[0] == os.EX_USAGE


def test_a_command_is_stopped_when_its_candidate_is_evicted(endpoints, other, name, tmp_path):
    election = other.election(name)
    script = "trap 'echo stopped; exit 3' TERM; echo $OCELOG_TERM; while :; do sleep 0.05; done"
    child = subprocess.Popen(
        [sys.executable, "-m", "ocelog", "election", "run", name, "--id", "a", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OCELOG_ENDPOINTS": ",".join(endpoints)},
        cwd=tmp_path,
    )
    try:
        assert int(child.stdout.readline()) == until(election.leader).term
        assert election.evict("a")
        printed, complaint = child.communicate(timeout=SECONDS_MAX)
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.wait()
    assert (child.returncode, printed) == (os.EX_TEMPFAIL, "stopped\n")
    assert "stopped" in complaint and "Traceback" not in complaint
    assert election.candidates() == []
