"""Where sessions are: what a router learns from answers, and what it tells leaders."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.events import Route, unpack_routes
from ocelog.client.protocol.frames import Item
from ocelog.cluster.router.attendance import Attendance
from ocelog.cluster.router.core import HELLO_EVERY_S
from ocelog.cluster.router.holders import PORTION, Holders
from ocelog.cluster.run_record import RunRecord

ADA, BOB = b"ada", b"bob"


def greets(router: Any, identity: bytes, connection: int) -> None:
    router.says(identity, router.request(frames.HELLO, connection=connection))
    router.told()


def answer(router: Any, member: int, route: int, kind: int = frames.RESULTS, **fields: Any) -> None:
    router.core.from_replica(member, frames.pack_bundle([Item(route, [router.reply(kind, **fields)])]))


def told(router: Any) -> dict[tuple[int, int], list[Route]]:
    """What leaders were told since the last look: routes by member and kind."""
    found: dict[tuple[int, int], list[Route]] = {}
    for member, items in router.core.take_for_replicas():
        for item in items:
            header, body = frames.parse_request(item.frames)
            if item.route == 0 and header.kind in (frames.ROUTES, frames.GONE):
                assert header.shard == member // router.core.config.replicas
                found.setdefault((member, header.kind), []).extend(unpack_routes(body, header.count))
    return found


# -- learning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [frames.REGISTERED, frames.KEPT_ALIVE, frames.RESULTS, frames.ANSWERS])
def test_an_answer_that_took_the_key_tells_the_next_leader_where_the_session_is(router, kind):
    router.leads(0)
    greets(router, ADA, 3)
    answer(router, 0, 1, kind, session=9)
    assert told(router) == {}
    router.leads(1, term=2)
    assert told(router) == {(1, frames.ROUTES): [Route(9, 1, 3)]}


@pytest.mark.parametrize(
    ("kind", "code"),
    [(frames.REFUSED, errors.BUSY), (frames.REFUSED, errors.UNKNOWN_SESSION), (frames.EVENTS, 0), (frames.SETTLED, 0)],
)
def test_what_proves_no_key_teaches_nothing(router, kind, code):
    router.leads(0)
    greets(router, ADA, 3)
    answer(router, 0, 1, kind, code=code, session=9)
    router.leads(1, term=2)
    assert told(router) == {}


def test_a_leader_is_told_of_its_own_shard_only(router):
    router.leads(0)
    router.leads(3)
    greets(router, ADA, 1)
    answer(router, 0, 1, session=9)
    answer(router, 3, 1, shard=1, session=10)
    router.leads(4, term=2)
    assert told(router) == {(4, frames.ROUTES): [Route(10, 1, 1)]}


def test_a_leader_that_was_lost_and_is_back_is_told_again(router):
    router.leads(0)
    greets(router, ADA, 1)
    answer(router, 0, 1, session=9)
    router.core.disconnected(0)
    router.leads(0)
    assert told(router) == {(0, frames.ROUTES): [Route(9, 1, 1)]}


def test_routes_are_told_before_a_request_that_follows(router):
    router.leads(0)
    greets(router, ADA, 1)
    answer(router, 0, 1, session=9)
    router.core.take_for_replicas()
    router.leads(1, term=2)
    router.says(ADA, router.request())
    (items,) = [items for member, items in router.core.take_for_replicas() if member == 1]
    assert [frames.parse_request(item.frames)[0].kind for item in items if item.route or len(item.frames[0]) > 72] == [
        frames.ROUTES,
        frames.COMMAND,
    ]


def test_an_earlier_connection_takes_no_session_from_a_later_one(router):
    router.leads(0)
    greets(router, ADA, 1)
    greets(router, BOB, 2)  # the same client, connected anew
    answer(router, 0, 2, session=9)
    answer(router, 0, 1, session=9)
    router.leads(1, term=2)
    assert told(router) == {(1, frames.ROUTES): [Route(9, 2, 2)]}


@pytest.mark.parametrize("route", [1, 2])
def test_only_its_holder_is_believed_that_a_session_is_over(router, route):
    router.leads(0)
    greets(router, ADA, 1)
    greets(router, BOB, 1)
    answer(router, 0, 1, session=9)
    answer(router, 0, route, frames.REFUSED, code=errors.UNKNOWN_SESSION, session=9)
    router.leads(1, term=2)
    assert told(router) == ({} if route == 1 else {(1, frames.ROUTES): [Route(9, 1, 1)]})


def test_a_session_that_was_closed_is_forgotten(router):
    router.leads(0)
    greets(router, ADA, 1)
    answer(router, 0, 1, session=9)
    answer(router, 0, 1, frames.UNREGISTERED, session=9)
    assert len(router.core.holders) == 0


def test_many_routes_go_in_portions_and_one_not_sent_is_told_again(router):
    router.leads(0)
    greets(router, ADA, 1)
    for session in range(1, PORTION + 2):
        answer(router, 0, 1, session=session)
    router.core.take_for_replicas()
    router.leads(1, term=2)
    (items,) = [items for member, items in router.core.take_for_replicas() if member == 1]
    assert [frames.parse_request(item.frames)[0].count for item in items] == [PORTION, 1]
    router.core.not_sent(1, items)
    router.pass_time(HELLO_EVERY_S)
    assert len(told(router)[1, frames.ROUTES]) == PORTION + 1
    router.pass_time(HELLO_EVERY_S)
    assert told(router) == {}


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first():
    holders = Holders(2, sessions_max=3)
    for session in range(1, 6):
        holders.learn(0, session, 1)
    assert [route.session for route in holders.of_shard(0)] == [3, 4, 5]
    assert len(holders) == 3
    assert holders.forget(1) == {0: [Route(3, 1, 0), Route(4, 1, 0), Route(5, 1, 0)]}
    assert len(holders) == 0
    assert holders.forget(1) == {}


@pytest.mark.parametrize("kind", [frames.ROUTES, frames.GONE])
def test_a_client_cannot_say_where_sessions_are(router, kind):
    router.leads(0)
    router.core.take_for_replicas()
    router.says(ADA, router.request(kind))
    (header,) = router.told(ADA)
    assert (header.kind, header.code) == (frames.REFUSED, errors.BAD_MESSAGE)
    assert router.handed() == {}
    assert told(router) == {}


# -- those that are gone -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["left", "unreachable"])
def test_the_leaders_of_a_client_that_is_gone_are_told(router, how):
    router.leads(0)
    router.leads(4)
    greets(router, ADA, 5)
    greets(router, BOB, 6)
    answer(router, 0, 1, session=9)
    answer(router, 4, 1, shard=1, session=10)
    answer(router, 0, 2, session=11)
    getattr(router.core, how)(ADA)
    assert told(router) == {(0, frames.GONE): [Route(9, 1, 5)], (4, frames.GONE): [Route(10, 1, 5)]}
    router.leads(1, term=2)
    assert told(router) == {(1, frames.ROUTES): [Route(11, 2, 6)]}


def test_a_leader_that_pushes_to_one_who_is_gone_is_told_so(router):
    router.leads(0)
    answer(router, 0, 77, frames.EVENTS, session=9)
    assert told(router) == {(0, frames.GONE): [Route(9, 77, 0)]}


def test_one_who_was_silent_for_long_is_gone_too(router):
    router.leads(0)
    greets(router, ADA, 5)
    answer(router, 0, 1, session=9)
    router.pass_time(3601.0)
    router.pass_time(3601.0)
    assert told(router) == {(0, frames.GONE): [Route(9, 1, 5)]}
    assert len(router.core.clients) == 0


def test_a_descriptor_that_is_used_again_is_its_new_owners():
    attendance = Attendance()
    attendance.note(7, ADA)
    assert attendance.closed(7) == ADA
    assert attendance.closed(7) is None
    attendance.note(7, BOB)
    attendance.note(8, ADA)
    attendance.note(9, ADA)  # connected anew under the same identity
    assert attendance.closed(8) is None
    attendance.note(9, BOB)
    assert attendance.closed(7) is None
    assert attendance.closed(9) == BOB


# -- the other routers -------------------------------------------------------------------------------


def test_the_welcome_names_all_routers(new_router):
    router = new_router()
    record = RunRecord(supervisor=(1, 0.0), sockets="/none")

    def welcomed() -> list[str]:
        router.says(ADA, router.request(frames.HELLO))
        ((_, parts),) = router.core.take_for_clients()
        return msgpack.unpackb(frames.parse_reply(parts)[1])["routers"]

    router.core.host.endpoint = "tcp://127.0.0.1:2"
    assert welcomed() == ["tcp://127.0.0.1:2"]
    router.core.host._record = lambda: record
    record.endpoints = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]
    assert welcomed() == ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]
