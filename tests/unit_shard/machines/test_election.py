"""The election: who leads and who follows, a term for each leader, and that nobody leads without knowing."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.errors import DELETED, REVOKED, ROWS
from ocelog.shard.machines import election as module
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.election import EVICTED, ID_BYTES_MAX, REPLACED, WITHDRAWN, ElectionMachine

from .test_queue import Driver

A, B, C, L = 1, 2, 3, 9


@pytest.fixture
def votes():
    driver = Driver(ElectionMachine)
    driver.machine.restored = lambda: None
    return driver


def answers(votes, session):
    """What requests of the session were told since it was last asked for."""
    return [event[1] for sessions, event in votes.told() if event[0] == "answer" and sessions == [session]]


def changes(votes):
    """What listeners were told."""
    return [event[1] for sessions, event in votes.told() if event[0] == "change" and sessions == [L]]


# -- run ---------------------------------------------------------------------------------------------


def test_run_answers_at_once_with_who_leads(votes):
    assert votes.ask("leader") is None
    assert votes.run(A, "run", b"a") == [b"a", 1]
    assert votes.run(B, "run", b"b") == [b"a", 1]
    assert votes.run(C, "run", b"c") == [b"a", 1]
    assert votes.ask("leader") == [b"a", 1]
    assert votes.ask("all") == [b"a", b"b", b"c"]
    assert votes.ask("status") == [[b"a", 1], [b"a", b"b", b"c"]]
    assert votes.ask("size") == 3


def test_a_session_may_stand_as_several_candidates(votes):
    assert votes.run(A, "run", b"a") == [b"a", 1]
    assert votes.run(A, "run", b"b") == [b"a", 1]
    assert votes.run(A, "withdraw", b"a")
    assert votes.ask("leader") == [b"b", 3]


def test_run_said_again_changes_nothing(votes):
    votes.run(A, "run", b"a")
    votes.run(B, "run", b"b")
    assert votes.run(B, "run", b"b") == [b"a", 1]
    assert votes.ask("all") == [b"a", b"b"]


@pytest.mark.parametrize("how", [("run", b"a"), ("lead", 7, None, b"a"), ("lead", 7, 0, b"a")])
def test_an_id_is_one_sessions_and_stands_once(votes, how):
    """The second of two processes that were given the same id is told, and does not stand as the first."""
    votes.run(A, "run", b"a")
    with pytest.raises(ValueError, match="a candidate of that id already"):
        votes.run(B, *how)
    assert votes.ask("all") == [b"a"]
    assert not votes.machine.watches(B)


def test_a_candidate_of_lead_is_none_of_run(votes):
    votes.run(A, "lead", 1, None, b"a")
    with pytest.raises(ValueError, match="already"):
        votes.run(A, "run", b"a")
    with pytest.raises(ValueError, match="request 1 stands already"):
        votes.run(A, "lead", 1, None, b"b")


# -- who follows, and terms --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["withdraw", "evict", "session_closed", "session_expired"])
def test_the_next_in_line_leads_when_the_leader_goes_however_it_goes(votes, how):
    votes.run(A, "run", b"a")
    votes.run(B, "run", b"b")
    votes.run(C, "run", b"c")
    if how == "withdraw":
        assert votes.run(A, "withdraw", b"a") is True
    elif how == "evict":
        assert votes.run(C, "evict", b"a") is True
    else:
        votes.end(A, how)
    assert votes.ask("leader") == [b"b", votes.index]
    assert votes.ask("all") == [b"b", b"c"]
    assert not votes.machine.watches(A)


def test_terms_are_indexes_and_one_is_one_leaders_for_ever(votes):
    """A counter in memory, or a draw that is not retained, would name two leaders for one term: [read]."""
    terms = {votes.run(A, "run", b"a")[1]: b"a"}
    votes.run(B, "run", b"b")
    for command, id in (
        (("anoint", b"b"), b"b"),
        (("anoint", b"a"), b"a"),
        (("evict", b"a"), b"b"),
        (("run", b"a"), b"b"),
    ):
        votes.run(A, *command)
        leader, term = votes.ask("leader")
        assert leader == id
        assert terms.setdefault(term, id) == id
        copy = ElectionMachine()
        copy.install(votes.machine.snapshot())
        assert copy.candidates.leadership() == (leader, term)
    assert list(terms) == sorted(terms)


def test_a_term_does_not_come_back_when_nobody_has_led_for_a_while(votes):
    votes.run(A, "run", b"a")
    votes.run(A, "withdraw", b"a")
    assert votes.ask("leader") is None
    copy = ElectionMachine()
    copy.install(votes.machine.snapshot())
    assert copy.candidates.term == 1
    assert votes.run(A, "run", b"a") == [b"a", 3]


def test_who_waits_and_goes_changes_no_leader(votes):
    votes.run(A, "run", b"a")
    votes.run(B, "run", b"b")
    votes.run(C, "run", b"c")
    votes.run(B, "withdraw", b"b")
    assert votes.ask("status") == [[b"a", 1], [b"a", b"c"]]


def test_only_the_session_of_a_candidate_withdraws_it(votes):
    """AX1's unlock did not check whose it is: [read]."""
    votes.run(A, "run", b"a")
    assert votes.run(B, "withdraw", b"a") is False
    assert votes.run(B, "withdraw", b"x") is False
    assert votes.ask("leader") == [b"a", 1]


def test_a_session_with_several_candidates_that_ends_makes_one_new_leader(votes):
    votes.run(L, "listen", None)
    votes.run(A, "run", b"b")
    votes.run(A, "run", b"a")
    votes.run(B, "run", b"c")
    votes.told()
    votes.end(A)
    term = votes.index
    assert changes(votes) == [
        ["removed", b"a", None, None],
        ["removed", b"b", None, None],
        ["elected", b"c", [b"b", 2], [b"c", term]],
    ]


# -- lead --------------------------------------------------------------------------------------------


def test_lead_answers_when_the_term_has_begun(votes):
    assert votes.run(A, "lead", 1, None, b"a") == [[1, A, 1]]
    assert votes.run(B, "lead", 5, None, b"b") is None
    assert votes.run(A, "resign", 1) is True
    assert answers(votes, B) == [[5, [votes.index, B, 5]]]
    assert votes.ask("status") == [[b"b", votes.index], [b"b"]]
    assert votes.run(A, "resign", 1) is False


def test_who_does_not_want_to_wait_stands_only_if_it_leads_at_once(votes):
    assert votes.run(A, "lead", 1, 0, b"a") == [[1, A, 1]]
    assert votes.run(B, "lead", 1, 0, b"b") == [None]
    assert votes.ask("all") == [b"a"]
    assert not votes.machine.watches(B)


def test_who_gives_up_leaves_nothing_behind(votes):
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 1, 100, b"b")
    votes.run(C, "lead", 1, 300, b"c")
    votes.pass_ms(100)
    assert answers(votes, B) == [[1, None]]
    assert not votes.machine.watches(B)
    votes.run(A, "resign", 1)
    assert answers(votes, C) == [[1, [votes.index, C, 1]]]
    votes.pass_ms(500)
    assert (votes.told(), votes.ask("leader")[0]) == ([], b"c")


def test_waits_that_were_served_leave_no_timers_behind(votes):
    votes.run(A, "lead", 1, None, b"a")
    for number in range(2, 20):
        votes.run(A, "lead", number, 3_600_000, b"b%d" % number)
        votes.run(A, "resign", number - 1)
    assert len(votes.timers) == 1


def test_a_cancel_that_crosses_the_election_gives_the_term_back(votes):
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 1, None, b"b")
    votes.run(C, "lead", 1, None, b"c")
    votes.run(A, "resign", 1)
    votes.run(B, "cancel", 1)
    assert votes.ask("status") == [[b"c", votes.index], [b"c"]]
    votes.run(B, "cancel", 1)
    assert not votes.machine.watches(B)


def test_a_cancelled_candidate_is_never_elected(votes):
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 1, None, b"b")
    votes.run(B, "cancel", 1)
    votes.run(A, "resign", 1)
    assert (votes.ask("status"), votes.told()) == ([None, []], [])


def test_who_waits_cannot_resign(votes):
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 1, None, b"b")
    assert votes.run(B, "resign", 1) is False
    assert votes.run(B, "resign", 2) is False
    assert votes.ask("all") == [b"a", b"b"]


def test_candidates_of_sessions_that_ended_are_dropped_and_not_elected(votes):
    """AX1 kept the queued commits of dead sessions: [read]."""
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 1, None, b"b")
    votes.run(C, "lead", 1, None, b"c")
    votes.end(B)
    assert len(votes.machine.waiters) == 1
    votes.run(A, "resign", 1)
    assert (answers(votes, C), votes.ask("leader")) == ([[1, [votes.index, C, 1]]], [b"c", votes.index])


@pytest.mark.parametrize(
    ("who", "command", "why"),
    [(A, ("withdraw", b"a"), WITHDRAWN), (C, ("evict", b"a"), EVICTED), (C, ("anoint", b"b"), REPLACED)],
)
def test_a_request_that_leads_is_told_when_its_term_is_taken_away(votes, who, command, why):
    """Else somebody would go on leading, or stand again later though nobody waits for that."""
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 2, None, b"b")
    votes.run(who, *command)
    assert votes.told() == [([A], ["answer", [1, None, REVOKED, why]]), ([B], ["answer", [2, [votes.index, B, 2]]])]
    assert votes.ask("all") == [b"b"]
    assert votes.run(A, "resign", 1) is False


@pytest.mark.parametrize(("who", "command", "why"), [(B, "withdraw", WITHDRAWN), (A, "evict", EVICTED)])
def test_a_request_that_waits_is_told_when_its_candidate_is_taken_away(votes, who, command, why):
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 2, 100, b"b")
    votes.run(who, command, b"b")
    assert votes.told() == [([B], ["answer", [2, None, REVOKED, why]])]
    votes.pass_ms(200)
    assert votes.told() == []


def test_everybody_who_leads_or_waits_is_told_when_the_election_is_deleted(votes):
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 2, None, b"b")
    votes.run(C, "run", b"c")
    votes.index += 1
    votes.machine.deleted(Commit(votes.index, votes.time, C))
    votes._take()
    refused = [None, DELETED, ROWS[DELETED].sentence]
    assert votes.told() == [([A], ["answer", [1, *refused]]), ([B], ["answer", [2, *refused]])]


# -- anoint, promote, demote, evict ------------------------------------------------------------------


def test_who_is_anointed_leads_at_once_and_the_old_leader_is_next(votes):
    for session, id in ((A, b"a"), (B, b"b"), (C, b"c")):
        votes.run(session, "run", id)
    assert votes.run(B, "anoint", b"c") is True
    assert votes.ask("status") == [[b"c", 4], [b"c", b"a", b"b"]]
    assert votes.run(B, "anoint", b"c") is False
    assert votes.run(B, "anoint", b"x") is False
    votes.end(C)
    assert votes.ask("leader") == [b"a", votes.index]


def test_a_candidate_of_lead_may_be_anointed_over_one_of_run(votes):
    votes.run(A, "run", b"a")
    votes.run(B, "lead", 1, 100, b"b")
    votes.run(C, "anoint", b"b")
    assert answers(votes, B) == [[1, [votes.index, B, 1]]]
    votes.run(B, "resign", 1)
    assert votes.ask("status") == [[b"a", votes.index], [b"a"]]


def test_who_is_promoted_is_next_and_who_is_demoted_last(votes):
    for session, id in ((A, b"a"), (B, b"b"), (C, b"c"), (C, b"d")):
        votes.run(session, "run", id)
    assert votes.run(A, "promote", b"c") is True
    assert votes.ask("all") == [b"a", b"c", b"b", b"d"]
    assert votes.run(A, "demote", b"c") is True
    assert votes.ask("all") == [b"a", b"b", b"d", b"c"]
    for command, ids in (("promote", (b"a", b"b", b"x")), ("demote", (b"a", b"c", b"x"))):
        assert [votes.run(A, command, id) for id in ids] == [False, False, False]
    assert votes.ask("status") == [[b"a", 1], [b"a", b"b", b"d", b"c"]]


def test_who_is_no_candidate_cannot_be_evicted(votes):
    votes.run(A, "run", b"a")
    assert votes.run(B, "evict", b"x") is False


# -- events ------------------------------------------------------------------------------------------


def test_listeners_hear_of_every_change_and_of_nothing_else(votes):
    votes.run(L, "listen", None)
    for session, id in ((A, b"a"), (B, b"b"), (C, b"c")):
        votes.run(session, "run", id)
    votes.run(C, "run", b"c")
    assert changes(votes) == [
        ["added", b"a", None, None],
        ["elected", b"a", None, [b"a", 2]],
        ["added", b"b", None, None],
        ["added", b"c", None, None],
    ]
    votes.run(A, "promote", b"c")
    votes.run(A, "promote", b"c")
    votes.run(A, "demote", b"c")
    votes.run(A, "anoint", b"c")
    assert changes(votes) == [
        ["moved", b"c", None, 1],
        ["moved", b"c", None, 2],
        ["moved", b"c", None, 0],
        ["elected", b"c", [b"a", 2], [b"c", votes.index]],
    ]
    term = votes.index
    for id in (b"b", b"a", b"c"):
        votes.run(A, "evict", id)
    assert changes(votes) == [
        ["removed", b"b", None, None],
        ["removed", b"a", None, None],
        ["removed", b"c", None, None],
        ["elected", None, [b"c", term], None],
    ]
    votes.run(L, "unlisten", None)
    votes.run(A, "run", b"a")
    assert (votes.told(), votes.machine.watches(L)) == ([], False)


def test_a_listener_whose_session_ended_hears_nothing(votes):
    votes.run(L, "listen", None)
    votes.end(L)
    votes.run(A, "run", b"a")
    assert votes.told() == []


def test_who_waits_for_the_same_leader_is_told_once(votes):
    votes.run(L, "listen", None)
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 2, 50, b"b")
    votes.told()
    votes.pass_ms(60)
    assert changes(votes) == [["removed", b"b", None, None]]


# -- the state, and what is no argument --------------------------------------------------------------


def test_a_snapshot_is_the_whole_state(votes):
    votes.run(L, "listen", None)
    votes.run(A, "lead", 1, None, b"a")
    votes.run(B, "lead", 1, 100, b"b")
    votes.run(C, "run", b"c")
    votes.run(A, "promote", b"c")
    copy = ElectionMachine()
    copy.install(votes.machine.snapshot())
    assert copy.snapshot() == votes.machine.snapshot()
    assert repr(copy.known) == repr(votes.machine.known)
    assert [copy.watches(session) for session in (A, B, C, L, 7)] == [True, True, True, True, False]


GOOD = [[[b"a", b"b"], 5], [[1, 1], [2, 3]], [[[2, 3, 6, None]], []], []]


def test_what_is_refused_below_is_one_change_away_from_a_state():
    machine = ElectionMachine()
    machine.install(GOOD)
    assert machine.snapshot() == GOOD


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (0, [[b"a"], 5]),
        (0, [[b"a", b""], 5]),
        (0, [[b"a", b"b"], 0]),
        (1, [[1, 1]]),
        (1, [[1, 1], [2, 4]]),
        (1, [[1, 1], [2, None]]),
        (1, [[1, 1], ["x", 3]]),
        (1, [[1, "x"], [2, 3]]),
        (2, [[], []]),
        (2, [[[2, 3, 6, None], [1, 1, 5, None]], []]),
        (2, [[[2, 3, 6, None]], "soon"]),
        (3, None),
    ],
)
def test_what_no_snapshot_returned_is_refused(place, what):
    with pytest.raises((TypeError, ValueError)):
        ElectionMachine().install([*GOOD[:place], what, *GOOD[place + 1 :]])


@pytest.mark.parametrize("name", ["run", "withdraw", "anoint", "promote", "demote", "evict"])
@pytest.mark.parametrize("id", ["a", b"", b"a" * (ID_BYTES_MAX + 1), None])
def test_what_is_no_id(votes, name, id):
    with pytest.raises(TypeError, match="called by 1 to 300 bytes"):
        votes.run(A, name, id)
    assert not votes.machine.watches(A)


def test_what_is_no_argument(votes):
    for arguments in ((1, None, b""), (1, -1, b"a"), (1, "soon", b"a")):
        with pytest.raises((TypeError, ValueError)):
            votes.run(A, "lead", *arguments)
    for name in ("listen", "unlisten"):
        with pytest.raises(TypeError):
            votes.run(A, name, b"a")
    assert not votes.machine.watches(A)


def test_an_election_has_a_limited_number_of_candidates(votes, monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES_MAX", 2)
    votes.run(A, "run", b"a")
    votes.run(A, "run", b"b")
    assert votes.run(A, "run", b"b") == [b"a", 1]
    for command in (("run", b"c"), ("lead", 1, None, b"c")):
        with pytest.raises(ValueError, match="at most 2 candidates"):
            votes.run(B, *command)
