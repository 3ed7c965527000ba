"""Which replica gets a query: the leader, or by level and flags any other, and always the same one for a session."""

from __future__ import annotations

from collections import Counter

import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import (
    BOUNDED_LINEARIZABLE,
    CAUSAL,
    LINEARIZABLE,
    REQUEST,
    SEQUENTIAL,
    TO_FOLLOWERS,
    TO_LEADER,
    VERSION,
)
from ocelog.cluster.router.choice import Choice


def query(level, flags=0, session=5, shard=0, identifier=1):
    """A query as a client sends it."""
    return REQUEST.pack(VERSION, frames.QUERY, shard, level, flags, 1, identifier, session, b"k" * 16, 7, 0, 0, 1, 1000)


@pytest.fixture
def router(router):
    """Replica 0 of shard 0 leads, and all three are there."""
    for member in range(3):
        router.leads(0, by=member)
    router.told()
    router.handed()
    return router


def taken(router, *messages):
    """The members that were handed these, in order."""
    for message in messages:
        router.says(b"client", message)
    return [member for member, items in router.handed().items() for _ in items]


@pytest.mark.parametrize("level", [LINEARIZABLE, BOUNDED_LINEARIZABLE, 9])
@pytest.mark.parametrize("flags", [0, TO_LEADER, TO_FOLLOWERS])
def test_linearizable_queries_go_to_the_leader(router, level, flags):
    """LINEARIZABLE and BOUNDED_LINEARIZABLE are served by the leader; what is not a level it refuses."""
    assert taken(router, query(level, flags)) == [0]


@pytest.mark.parametrize("level", [SEQUENTIAL, CAUSAL])
def test_the_others_go_to_followers_and_to_the_leader_when_it_is_asked_for(router, level):
    assert taken(router, query(level))[0] in (1, 2)
    assert taken(router, query(level, TO_FOLLOWERS))[0] in (1, 2)
    assert taken(router, query(level, TO_LEADER)) == [0]


def test_the_queries_of_a_session_go_to_one_replica(router):
    """A session's follower queries go to one replica, in order, from whatever client they come."""
    members = taken(router, *[query(SEQUENTIAL, identifier=identifier) for identifier in range(20)])
    router.says(b"another", query(CAUSAL))
    members += router.handed()
    assert len(set(members)) == 1


def test_sessions_are_spread_over_the_followers(router):
    """Session ids are log indexes: neighbours, or all even."""
    for ids in (range(1, 400), range(2, 4000, 10)):
        counts = Counter(taken(router, *[query(SEQUENTIAL, session=session) for session in ids]))
        assert set(counts) == {1, 2}
        assert min(counts.values()) > 0.4 * len(ids)


def test_a_replica_that_is_lost_gets_none_and_only_its_sessions_move(router):
    before = {session: taken(router, query(SEQUENTIAL, session=session))[0] for session in range(1, 50)}
    router.core.disconnected(1)
    after = {session: taken(router, query(SEQUENTIAL, session=session))[0] for session in range(1, 50)}
    assert set(after.values()) == {2}
    router.leads(0, by=1)
    back = {session: taken(router, query(SEQUENTIAL, session=session))[0] for session in range(1, 50)}
    assert back == after, "a session that has moved stays"
    assert set(before.values()) == {1, 2}


def test_a_follower_that_is_elected_gets_no_more_of_them(router):
    chosen = taken(router, query(SEQUENTIAL))[0]
    router.leads(chosen, term=2)
    router.told()
    assert taken(router, query(SEQUENTIAL))[0] not in (0, chosen) or taken(router, query(SEQUENTIAL)) == [0]
    assert taken(router, query(SEQUENTIAL))[0] != chosen


def test_the_leader_answers_when_nobody_else_is_there(router):
    for member in (1, 2):
        router.core.disconnected(member)
    assert taken(router, query(SEQUENTIAL)) == [0]
    assert taken(router, query(SEQUENTIAL, TO_FOLLOWERS)) == []
    assert [reply.code for reply in router.told()] == [errors.BEHIND], "its client asks the leader then"


def test_followers_answer_while_nobody_leads(router):
    """Until an election timeout has passed they have what a leader told them."""
    router.core.disconnected(0)
    router.told()
    assert taken(router, query(SEQUENTIAL))[0] in (1, 2)
    assert taken(router, query(LINEARIZABLE)) == []
    assert [reply.code for reply in router.told()] == [errors.NO_LEADER]


def test_nobody_is_there(router):
    for member in range(3):
        router.core.disconnected(member)
    router.told()
    assert taken(router, query(SEQUENTIAL)) == []
    assert [reply.code for reply in router.told()] == [errors.BEHIND]


def test_what_is_remembered_is_bounded_and_can_be_worked_out_again(monkeypatch):
    monkeypatch.setattr("ocelog.cluster.router.choice.REMEMBERED_MAX", 10)
    choice = Choice(3, [True] * 3)
    first = [choice.member(0, session, 0, 0) for session in range(100)]
    assert [choice.member(0, session, 0, 0) for session in range(100)] == first
    assert len(choice._chosen) <= 10


def test_a_query_of_another_size_or_shard_is_refused_as_ever(router):
    router.says(b"client", query(SEQUENTIAL, shard=9), b"", b"")
    router.says(b"client", query(SEQUENTIAL), b"", b"")
    assert [reply.code for reply in router.told()] == [errors.WRONG_SHARD, errors.BAD_MESSAGE]
