"""The election: candidates in order, the first of which leads, and a term for each leader that is a fencing token.

    election = client.election("scheduler")
    with election.lead("host-1", timeout=30) as term:   # waits until elected; term.number is above that of every leader before
        ...
    election.leader(), election.candidates()
    election.anoint("host-2")               # leads at once; promote("host-2"): is the next to lead

SNAPSHOT: who leads and who follows in which order comes from many entries (candidacies, withdrawals, timers, ends of sessions),
and is small. Nothing is restored: the snapshot is the whole state, and the timer of those who wait is in the shard's.

A candidate is called by an id of its own choice, which only one session at a time can have. There are two kinds. One that
`run` named stands until its session withdraws it, leads as often as its turn comes, and hears of that as a listener. One that
`lead` named stands for one term: the request is answered with [term, session, number] once it leads, and is over when that
term is. So who waits no more can never be elected, and nobody leads without knowing. A request whose candidate is taken away,
be it waiting or leading, is told: it is answered (again) with REVOKED, or with DELETED.

The next in line leads when the leader withdraws, is evicted or its session ends. Anointing puts a candidate in the leader's
place at once; the old leader is next, or, if it stood for one term, out. Terms are log indexes, see `candidates`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from ...client.protocol.errors import DELETED, REVOKED, ROWS
from .base import SNAPSHOT, Commit, command, query
from .by_session import BySession
from .candidates import Candidates, Leader
from .listeners import Listeners
from .patience import Patience
from .waiting import ANSWER, Waiter, checked_wait, refuse

ID_BYTES_MAX = 300
"""The longest id of a candidate, encoded."""

CANDIDATES_MAX = 10_000
"""Candidates of one election."""

WITHDRAWN = "the candidate was withdrawn"
EVICTED = "the candidate was evicted"
REPLACED = "another candidate was anointed"


class Candidate(NamedTuple):
    """Whose candidate it is: the session, and the number of the request that it stands for, None if it was named by `run`."""

    session: int
    number: int | None


class Known(dict[bytes, Candidate]):
    """What is known of each candidate, by its id; the order means nothing. `by_session` and `by_request` are the ids."""

    def __init__(self) -> None:
        super().__init__()
        self.by_session: BySession[bytes, None] = BySession()
        self.by_request: dict[tuple[int, int], bytes] = {}

    def add(self, id: bytes, candidate: Candidate) -> None:
        """A new candidate."""
        self[id] = candidate
        self.by_session.put(candidate.session, id, None)
        if candidate.number is not None:
            self.by_request[candidate.session, candidate.number] = id

    def remove(self, id: bytes) -> Candidate:
        """It is one no more. Raises KeyError when it was none."""
        candidate = self.pop(id)
        self.by_session.drop(candidate.session, id)
        if candidate.number is not None:
            del self.by_request[candidate.session, candidate.number]
        return candidate

    def of_session(self, session: int) -> list[bytes]:
        """The ids of a session's candidates."""
        return sorted(self.by_session.get(session, ()))

    def __repr__(self) -> str:
        return f"Known({sorted(self.items())!r})"


class ElectionMachine(Patience):
    """Keeps the `candidates` in line, what is `known` of each, and the `listeners`; `waiters` are requests not elected yet."""

    type_name: ClassVar[str] = "election"

    def __init__(self) -> None:
        super().__init__()
        self.candidates = Candidates()
        self.known = Known()
        self.listeners = Listeners()

    # -- standing and going ----------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def run(self, commit: Commit, id: bytes) -> list[Any]:
        """The session stands as this candidate from here on; said again it changes nothing. Who leads: [id, term]."""
        _check_id(id)
        if self.known.get(id) != Candidate(commit.session, None):
            self._check_free(id)
            before = self.candidates.leadership()
            self._add(id, Candidate(commit.session, None))
            self._elect(commit, before)
        leader = self.candidates.leadership()
        assert leader is not None
        return list(leader)

    @command(mode=SNAPSHOT)
    def lead(self, commit: Commit, number: int, wait_ms: int | None, id: bytes) -> list[Any] | None:
        """Stand for one term: [answer] when it has begun, [None] when that is not to be waited for, None while it is."""
        _check_id(id)
        wait = checked_wait(wait_ms)
        if (commit.session, number) in self.known.by_request:
            raise ValueError(f"request {number} stands already")
        self._check_free(id)
        if self.candidates.leader is None:
            self._add(id, Candidate(commit.session, number))
            self._elect(commit, None)
            return [[self.candidates.term, commit.session, number]]
        if wait == 0:
            return [None]
        self._add(id, Candidate(commit.session, number))
        self.wait(commit, number, wait)
        return None

    @command(mode=SNAPSHOT)
    def withdraw(self, commit: Commit, id: bytes) -> bool:
        """The session's candidate of that id stands no more; whether there was one."""
        _check_id(id)
        candidate = self.known.get(id)
        if candidate is None or candidate.session != commit.session:
            return False
        self._go(commit, id, WITHDRAWN)
        return True

    @command(mode=SNAPSHOT)
    def resign(self, commit: Commit, number: int) -> bool:
        """The term that the session's request was answered with is over; whether it was not yet."""
        id = self.known.by_request.get((commit.session, number))
        if id is None or id != self.candidates.leader:
            return False
        self._go(commit, id, None)
        return True

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """The request is taken back: its candidate stands no more, and leads no more if it did."""
        id = self.known.by_request.get((commit.session, number))
        if id is not None:
            self._go(commit, id, None)

    # -- what others may do with a candidate -----------------------------------------------------------

    @command(mode=SNAPSHOT)
    def anoint(self, commit: Commit, id: bytes) -> bool:
        """The candidate leads from here on; False when there is none of that id, or it leads already."""
        _check_id(id)
        before = self.candidates.leadership()
        if not self.candidates.anoint(id):
            return False
        assert before is not None
        self._tell("moved", id, None, 0)
        if self.known[before.id].number is not None:
            self._remove(before.id, REPLACED)
        self._elect(commit, before)
        return True

    @command(mode=SNAPSHOT)
    def promote(self, commit: Commit, id: bytes) -> bool:
        """The candidate is the next to lead; False when there is none of that id, it leads, or it is next already."""
        _check_id(id)
        if not self.candidates.promote(id):
            return False
        self._tell("moved", id, None, 1)
        return True

    @command(mode=SNAPSHOT)
    def demote(self, commit: Commit, id: bytes) -> bool:
        """The candidate is the last to lead; False when there is none of that id, it leads, or it is last already."""
        _check_id(id)
        if not self.candidates.demote(id):
            return False
        self._tell("moved", id, None, len(self.candidates) - 1)
        return True

    @command(mode=SNAPSHOT)
    def evict(self, commit: Commit, id: bytes) -> bool:
        """The candidate stands no more, whosever it is; whether there was one."""
        _check_id(id)
        if id not in self.known:
            return False
        self._go(commit, id, EVICTED)
        return True

    # -- what follows ----------------------------------------------------------------------------------

    def _check_free(self, id: bytes) -> None:
        if id in self.known:
            raise ValueError("there is a candidate of that id already, of another session or request")
        if len(self.known) >= CANDIDATES_MAX:
            raise ValueError(f"an election has at most {CANDIDATES_MAX} candidates")

    def _add(self, id: bytes, candidate: Candidate) -> None:
        self.known.add(id, candidate)
        self.candidates.add(id)
        self._tell("added", id, None, None)

    def _go(self, commit: Commit, id: bytes, why: str | None) -> None:
        before = self.candidates.leadership()
        self._remove(id, why)
        self._elect(commit, before)

    def _remove(self, id: bytes, why: str | None) -> None:
        """The candidate is gone; its request is told why, unless it knows."""
        session, number = self.known.remove(id)
        self.candidates.remove(id)
        if number is not None:
            self.waiters.remove(session, number)
            if why is not None:
                refuse(self, Waiter(session, number, 0), REVOKED, why)
        self._tell("removed", id, None, None)

    def _elect(self, commit: Commit, before: Leader | None) -> None:
        """Behind every change of who leads: the first in line does, and whoever waited for that or listens is told."""
        self.candidates.elect(commit.index)
        leader = self.candidates.leadership()
        if leader == before:
            return
        if leader is not None:
            session, number = self.known[leader.id]
            if number is not None and self.waiters.remove(session, number) is not None:
                self.publish(session, ANSWER, [number, [leader.term, session, number]])
        id = None if leader is None else leader.id
        self._tell("elected", id, before and list(before), leader and list(leader))

    def _tell(self, kind: str, id: bytes | None, old: Any, new: Any) -> None:
        if self.listeners:
            self.publish(self.listeners.of(None), "change", [kind, id, old, new])

    def gave_up(self, waiter: Waiter) -> None:
        """Who has waited long enough stands no more."""
        self._remove(self.known.by_request[waiter.session, waiter.number], None)

    # -- sessions and listeners ------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: bytes | None = None) -> None:
        """The session hears of every change of the leader and of the candidates from here on."""
        _check_key(key)
        self.listeners.listen(commit.session, None)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: bytes | None = None) -> None:
        """The session hears no more of them."""
        _check_key(key)
        self.listeners.unlisten(commit.session, None)

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended listens no more, and its candidates stand no more."""
        self.listeners.end(commit.session)
        before = self.candidates.leadership()
        for id in self.known.of_session(commit.session):
            self._remove(id, None)
        self._elect(commit, before)

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only candidates and listeners leave anything behind."""
        return session in self.known.by_session or session in self.listeners.sessions

    def deleted(self, commit: Commit) -> None:
        """Nobody leads in an election that is deleted, and nobody will."""
        for id in self.candidates:
            session, number = self.known[id]
            if number is not None:
                refuse(self, Waiter(session, number, 0), DELETED, ROWS[DELETED].sentence)

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """The whole state: candidates in order, who waits for how long, and who listens."""
        return [
            self.candidates.state(),
            [list(self.known[id]) for id in self.candidates],
            [self.waiters.state(), list(self.alarms)],
            self.listeners.state(),
        ]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        line, rows, (waiters, alarms), listeners = state
        self.candidates.install(line)
        for id, (session, number) in zip(self.candidates, rows, strict=True):
            _check_id(id)
            if type(session) is not int or (number is not None and type(number) is not int):
                raise TypeError(f"a candidate is a session's, maybe a request's, not {[session, number]!r:.60}")
            self.known.add(id, Candidate(session, number))
        self.waiters.install(waiters)
        self.install_alarms(alarms)
        self.listeners.install(listeners)
        waiting = {self.known.by_request.get((waiter.session, waiter.number)) for waiter in self.waiters}
        if waiting != {id for id in self.known.by_request.values() if id != self.candidates.leader}:
            raise ValueError("who waits is not who stands for one term and does not lead")

    # -- queries ---------------------------------------------------------------------------------------

    @query
    def leader(self, commit: Commit) -> list[Any] | None:
        """Who leads, [id, term], or None."""
        leader = self.candidates.leadership()
        return leader and list(leader)

    @query
    def all(self, commit: Commit) -> list[bytes]:
        """The ids of all candidates in order, the leader first."""
        return list(self.candidates)

    @query
    def status(self, commit: Commit) -> list[Any]:
        """Who leads, and the ids of all candidates."""
        leader = self.candidates.leadership()
        return [leader and list(leader), list(self.candidates)]

    @query
    def size(self, commit: Commit) -> int:
        """How many candidates there are, the leader included."""
        return len(self.candidates)


def _check_id(id: Any) -> None:
    if type(id) is not bytes or not 0 < len(id) <= ID_BYTES_MAX:
        raise TypeError(f"a candidate is called by 1 to {ID_BYTES_MAX} bytes, not {id!r:.60}")


def _check_key(key: Any) -> None:
    if key is not None:
        raise TypeError(f"an election has no keys to listen to, such as {key!r:.60}")
