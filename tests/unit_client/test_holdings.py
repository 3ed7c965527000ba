"""What a client holds, alone: a loss is told once, whichever way it overtakes the grant or whoever wants to know."""

from __future__ import annotations

import pytest
from ocelog.client.calls import Resource
from ocelog.client.holdings import Holdings
from ocelog.client.protocol.errors import DELETED, ResourceDeleted
from ocelog.client.requests import Requests

SHARD, SESSION, NUMBER = 1, 40, 7


@pytest.fixture
def told():
    return []


def held(told, session=SESSION):
    holdings = Holdings()
    holdings.expect(NUMBER, SHARD)
    holdings.granted(NUMBER, session)
    holdings.settled(NUMBER)
    holdings.on_lost(NUMBER, lambda: told.append(session))
    return holdings


def test_the_end_of_its_session_loses_what_was_granted_in_it(told):
    holdings = held(told)
    assert holdings.holds(NUMBER)
    holdings.ended(SHARD, SESSION - 1)
    holdings.ended(SHARD + 1, SESSION)
    assert holdings.holds(NUMBER) and not told
    for _ in range(2):
        holdings.ended(SHARD, SESSION)
    assert told == [SESSION] and not holdings.holds(NUMBER)


def test_a_refusal_of_what_was_granted_says_that_it_is_lost(told):
    holdings = held(told)
    holdings.refused(NUMBER, SHARD + 1)
    holdings.refused(NUMBER + 1, SHARD)
    assert not told
    for _ in range(2):
        holdings.refused(NUMBER, SHARD)
    assert told == [SESSION] and not holdings.holds(NUMBER)


def test_what_was_released_is_not_lost(told):
    holdings = held(told)
    holdings.released(NUMBER)
    holdings.ended(SHARD, SESSION)
    holdings.refused(NUMBER, SHARD)
    assert not told and not holdings.holds(NUMBER)


@pytest.mark.parametrize("loss", [lambda h: h.ended(SHARD, SESSION), lambda h: h.refused(NUMBER, SHARD)])
@pytest.mark.parametrize("moment", ["before the grant is known", "before anybody wants to know"])
def test_a_loss_that_comes_early_is_not_missed(told, loss, moment):
    holdings = Holdings()
    holdings.expect(NUMBER, SHARD)
    if moment == "before the grant is known":
        loss(holdings)
    holdings.granted(NUMBER, SESSION)
    if moment == "before anybody wants to know":
        loss(holdings)
    holdings.settled(NUMBER)
    assert not holdings.holds(NUMBER)
    holdings.on_lost(NUMBER, lambda: told.append(1))
    assert told == [1]


def test_what_is_granted_in_a_later_session_is_not_lost_with_an_earlier_one(told):
    """A request that had not left when its session ended leaves in the next one."""
    holdings = Holdings()
    holdings.expect(NUMBER, SHARD)
    holdings.ended(SHARD, SESSION)
    holdings.granted(NUMBER, SESSION + 1)
    holdings.on_lost(NUMBER, lambda: told.append(1))
    assert holdings.holds(NUMBER) and not told


def test_a_request_without_a_grant_leaves_nothing_behind():
    holdings = Holdings()
    holdings.expect(NUMBER, SHARD)
    holdings.settled(NUMBER)
    assert not holdings._known


def request_of(requests, *, holds=True):
    woken = []
    resource = Resource("door", "lock", SHARD)
    return requests.expect(resource, lambda: woken.append(1), holds=holds), woken


def test_a_request_that_waits_and_is_refused_raises_the_error_of_its_code():
    requests = Requests()
    request, woken = request_of(requests)
    requests.answered(SHARD, [request.number, None, DELETED, "gone"])
    assert woken == [1] and type(request.error) is ResourceDeleted and "door" in str(request.error)
    requests.forget(request)
    assert not requests.holdings._known


@pytest.mark.parametrize(
    "wrong", [[1], [1, None, 38], [1, None, "38", "x"], ["1", None], [1, None, 38, b"x"], {}, None]
)
def test_what_is_no_answer_is_dropped(wrong):
    requests = Requests()
    request, woken = request_of(requests)
    requests.answered(SHARD, wrong)
    assert request.number == 1 and not request.over and not woken


def test_a_refusal_that_overtakes_the_answer_that_granted_it_is_a_loss(told):
    """The command was answered with a grant, and the event of the delete came before its caller went on."""
    requests = Requests()
    request, _ = request_of(requests)
    requests.answered(SHARD, [request.number, None, DELETED, "gone"])
    assert requests.given(request, [9, SESSION, request.number]) == [9, SESSION, request.number]
    requests.forget(request)
    requests.holdings.on_lost(request.number, lambda: told.append(1))
    assert told == [1]


def test_a_grant_by_an_event_and_the_loss_right_behind_it(told):
    requests = Requests()
    request, _ = request_of(requests)
    requests.answered(SHARD, [request.number, [9, SESSION, request.number]])
    requests.answered(SHARD, [request.number, None, DELETED, "gone"])
    requests.given(request, request.result)
    requests.forget(request)
    requests.holdings.on_lost(request.number, lambda: told.append(1))
    assert request.error is None and told == [1]
