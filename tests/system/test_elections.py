"""An election while leaders of its shard are killed, and candidates killed and paused: terms, their order, and that all lead.

One run for all tests: candidates are processes that stand again and again, and say when a term of theirs begins and when it
is over; a listener hears of every leader. Each test looks at one rule of what was said.
"""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from time import monotonic
from typing import Any, NamedTuple

import ocelog
import pytest
from ocelog.client.election_changes import ElectionEvent
from ocelog.cluster import LocalCluster

SECONDS_MAX = 30.0
SESSION_S = 1.5

CANDIDATE = """
import math, sys, threading
from time import monotonic
import ocelog

def say(*what):
    sys.stdout.write(" ".join(map(str, what)) + "\\n")
    sys.stdout.flush()

id, session_timeout, *endpoints = sys.argv[1:]
with ocelog.connect(endpoints, timeout=30, session_timeout=float(session_timeout)) as client:
    election = client.election("scheduler")
    client.on_state(lambda change: change.state is ocelog.ClientState.EXPIRED and say("expired", 0, monotonic()))
    while True:
        lost, term = threading.Event(), None
        try:
            term = election.lead(id, timeout=math.inf, lost=lambda term: lost.set())
            say("led", term.token, monotonic())
            lost.wait(0.05)
            say("over", term.token, monotonic())
            in_time = election.resign(term)
        except ocelog.SessionExpired:
            in_time = False
        if term is not None and not in_time:
            say("late", term.token, monotonic())
"""

pytestmark = pytest.mark.system


class Word(NamedTuple):
    """What a candidate said: which one, what, of which term, and when.

    "led" when a term began, "over" before it resigns, "late" when it had lost the term before, "expired" when its session was.
    """

    id: str
    what: str
    term: int
    time: float


class Candidate:
    """One process; what it says goes to `words`."""

    def __init__(self, id: str, endpoints: list[str], words: list[Word]) -> None:
        self.id = id
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", CANDIDATE, id, str(SESSION_S), *endpoints], stdout=subprocess.PIPE, text=True
        )
        self._words = words
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            what, term, time = line.split()
            self._words.append(Word(self.id, what, int(term), float(time)))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(SECONDS_MAX)


class Run:
    """One run: candidates, the listener, and the faults."""

    def __init__(self, cluster: LocalCluster, client: ocelog.Client) -> None:
        self.cluster = cluster
        self.words: list[Word] = []
        self.events: list[Any] = []
        self.election = client.election("scheduler")
        self.election.on_change(self.events.append)
        self.candidates: dict[str, Candidate] = {}
        self.faults: list[tuple[str, int]] = []

    def start(self, id: str) -> None:
        self.candidates[id] = Candidate(id, self.cluster.endpoints, self.words)

    def catch_leader(self) -> tuple[Candidate, int]:
        """Pause a candidate while it leads; it and its term."""
        while True:
            leader = until(self.election.leader)
            candidate = self.candidates[leader.id]
            candidate.process.send_signal(signal.SIGSTOP)
            if self.election.leader() == leader and not self.has_said_over(candidate, leader.term):
                return candidate, leader.term
            candidate.process.send_signal(signal.SIGCONT)

    def has_said_over(self, candidate: Candidate, term: int) -> bool:
        """Whether a candidate that is paused was about to resign: then that may be on its way."""
        assert candidate.process.stdout is not None
        until(lambda: not select.select([candidate.process.stdout], [], [], 0)[0])
        threading.Event().wait(0.02)  # the reader has the last line, and has yet to put it down
        return any((word.what, word.term) == ("over", term) for word in self.words)

    def kill_leading_candidate(self) -> int:
        """Its term."""
        candidate, term = self.catch_leader()
        candidate.end()
        del self.candidates[candidate.id]
        self.faults.append(("killed", term))
        return term

    def pause_leading_candidate(self) -> None:
        """Until another one leads, and until it knows."""
        candidate, term = self.catch_leader()
        self.faults.append(("paused", term))
        self.wait_for_term_after(term)
        candidate.process.send_signal(signal.SIGCONT)
        until(lambda: any((word.id, word.what, word.term) == (candidate.id, "late", term) for word in self.words))

    def kill_shard_leader(self) -> int:
        leader = self.cluster.leader(0)
        self.cluster.kill(0, leader)
        return leader

    def wait_for_term_after(self, term: int) -> None:
        until(lambda: (leader := self.election.leader()) is not None and leader.term > term)

    def everybody_leads(self) -> None:
        """Each candidate leads once more from here on."""
        waits = set(self.candidates)
        said = len(self.words)
        until(lambda: waits <= {word.id for word in self.words[said:] if word.what == "led"})


def until(condition: Callable[[], Any]) -> Any:
    deadline = monotonic() + SECONDS_MAX
    pause = threading.Event()
    while not (found := condition()):
        assert monotonic() < deadline
        pause.wait(0.005)
    return found


def carry_out(run: Run) -> None:
    for id in ("a", "b", "c"):
        run.start(id)
    run.everybody_leads()
    killed = run.kill_shard_leader()
    run.wait_for_term_after(run.kill_leading_candidate())
    run.cluster.restart(0, killed)
    run.start("d")
    run.everybody_leads()
    run.pause_leading_candidate()
    run.everybody_leads()
    term = run.kill_leading_candidate()
    killed = run.kill_shard_leader()
    run.start("e")
    run.wait_for_term_after(term)
    run.cluster.restart(0, killed)
    run.everybody_leads()


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with (
        LocalCluster(shards=1, replicas=3) as cluster,
        ocelog.connect(cluster.endpoints, timeout=SECONDS_MAX) as client,
    ):
        run = Run(cluster, client)
        try:
            carry_out(run)
        finally:
            for candidate in run.candidates.values():
                candidate.end()
        yield run


def terms_of(run: Run) -> dict[int, str]:
    """Who led in each term, by the listener."""
    assert all(isinstance(event, ElectionEvent) for event in run.events), "the listener has missed something"
    return {event.new.term: event.new.id for event in run.events if event.kind == "elected" and event.new is not None}


def test_terms_grow_strictly_and_are_the_indexes_of_their_events(run):
    elected = [event for event in run.events if event.kind == "elected" and event.new is not None]
    terms = [event.new.term for event in elected]
    assert terms == sorted(set(terms)) == [event.index for event in elected]
    assert len(terms) > 15
    before = None
    for event in (event for event in run.events if event.kind == "elected"):
        assert event.old == before
        before = event.new


def test_a_term_is_one_candidates(run):
    terms = terms_of(run)
    led = [word for word in run.words if word.what == "led"]
    assert len({word.term for word in led}) == len(led)
    assert {word.term: word.id for word in led}.items() <= terms.items()


def test_a_term_is_over_before_the_next_begins_unless_its_leader_has_lost_its_session(run):
    """Nobody else even believes to lead at the same time as another one."""
    late = {word.term for word in run.words if word.what == "late"}
    began = sorted((word.term, word.time) for word in run.words if word.what == "led")
    over = {word.term: word.time for word in run.words if word.what == "over"}
    for (term, _), (_, following) in pairwise(began):
        if term in over and term not in late:
            assert over[term] <= following
    assert len(over) > 15


def test_a_paused_leader_learns_that_its_term_is_over_and_nobody_else_loses_one(run):
    late = [word for word in run.words if word.what == "late"]
    expired = {word.id for word in run.words if word.what == "expired"}
    assert {term for fault, term in run.faults if fault == "paused"} <= {word.term for word in late}
    assert {word.id for word in late} <= expired
    assert len(late) <= len([word for word in run.words if word.what == "expired"])


def test_all_faults_were_there(run):
    killed = [term for fault, term in run.faults if fault == "killed"]
    assert len(killed) == 2
    assert set(run.candidates) < {"a", "b", "c", "d", "e"} and len(run.candidates) == 3
    over = {word.term for word in run.words if word.what == "over"}
    assert not over & set(killed), "whoever was killed said no more"
