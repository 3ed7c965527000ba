"""ADMIN through a router: asked of every replica concerned, answered once with a row for each."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.admin import BODY_BYTES_MAX, AdminRequest, pack_admin
from ocelog.client.protocol.frames import NO_SHARD, Item
from ocelog.cluster.router.admin import NO_ANSWER, NOT_CONNECTED, ROUND_S, ROUNDS_MAX

ADA, BOB = b"ada", b"bob"
BODY = pack_admin(AdminRequest("compact", True))


def answer(
    router: Any, member: int, number: int, *, kind: int = frames.ADMIN_REPORT, body: bytes, **fields: Any
) -> None:
    """A member answers the router's question of that number."""
    parts = [router.reply(kind, member // 3, number, body, **fields)]
    router.core.from_replica(member, frames.pack_bundle([Item(0, parts)]))


def accept(router: Any, member: int, number: int, **fields: Any) -> None:
    """A member accepts."""
    answer(router, member, number, body=msgpack.packb({"ok": True, **fields}))


def asked(router: Any) -> dict[int, tuple[int, bytes]]:
    """Number and body of the ADMIN that each member is sent now; checks that each names the member's shard."""
    questions = {}
    for member, items in router.core.take_for_replicas():
        for item in items:
            header, body = frames.parse_request(item.frames)
            if header.kind == frames.ADMIN:
                assert (item.route, header.shard) == (0, member // 3)
                questions[member] = (header.request, bytes(body))
    return questions


def told(router: Any) -> list[tuple[bytes, int, list[dict[str, Any]]]]:
    """Who is told what now: identity, request, rows."""
    router.core.tick()
    answers = []
    for identity, parts in router.core.take_for_clients():
        header, body = frames.parse_reply(parts)
        if header.kind == frames.ADMIN_REPORT:
            answers.append((identity, header.request, msgpack.unpackb(body)["replicas"]))
    return answers


@pytest.fixture
def full(router: Any) -> Any:
    """A router that all six replicas are connected to."""
    for member in range(6):
        router.leads(member)
    router.core.take_for_clients()
    return router


@pytest.mark.parametrize(("shard", "members"), [(0, [0, 1, 2]), (1, [3, 4, 5]), (NO_SHARD, [0, 1, 2, 3, 4, 5])])
def test_every_replica_of_the_shards_concerned_is_asked_with_the_clients_body(
    full: Any, shard: int, members: list[int]
) -> None:
    full.says(ADA, full.request(frames.ADMIN, shard, 6, BODY))
    questions = asked(full)
    assert list(questions) == members
    assert {body for _, body in questions.values()} == {BODY}
    assert len({number for number, _ in questions.values()}) == 1


def test_the_answer_has_a_row_for_each_as_soon_as_all_have_answered(full: Any) -> None:
    full.says(ADA, full.request(frames.ADMIN, 1, 6, BODY))
    questions = asked(full)
    for member in (4, 3):
        accept(full, member, questions[member][0], run=7)
        assert told(full) == []
    answer(full, 5, questions[5][0], body=msgpack.packb({"ok": False, "reason": "no space", "shard": 9, "replica": 9}))
    assert told(full) == [
        (
            ADA,
            6,
            [
                {"ok": True, "run": 7, "shard": 1, "replica": 0},
                {"ok": True, "run": 7, "shard": 1, "replica": 1},
                {"ok": False, "reason": "no space", "shard": 1, "replica": 2},
            ],
        )
    ]
    assert told(full) == []


def rows_of(router: Any) -> dict[int, Any]:
    """Replica to what its row says beside who it is."""
    ((_, _, rows),) = told(router)
    return {row["replica"]: row.get("reason", row["ok"]) for row in rows}


def test_one_that_is_down_refuses_does_not_answer_or_cannot_be_read_is_told_as_such(full: Any) -> None:
    full.core.disconnected(0)
    full.says(ADA, full.request(frames.ADMIN, 0, 6, BODY))
    full.says(BOB, full.request(frames.ADMIN, 1, 6, BODY))
    questions = asked(full)
    assert list(questions) == [1, 2, 3, 4, 5]
    answer(full, 1, questions[1][0], kind=frames.REFUSED, code=errors.BAD_MESSAGE, body=b"kind 8 is not for a shard")
    answer(full, 3, questions[3][0], body=b"\xc1")
    answer(full, 4, questions[4][0], kind=frames.REFUSED, code=errors.NO_LEADER, body=b"")
    full.core.disconnected(5)
    ((identity, _, rows),) = told(full)
    assert (identity, [row["reason"] for row in rows]) == (
        BOB,
        ["its answer cannot be read", "NO_LEADER", NOT_CONNECTED],
    )
    full.core.now += ROUND_S
    assert rows_of(full) == {0: NOT_CONNECTED, 1: "kind 8 is not for a shard", 2: NO_ANSWER}


def test_one_that_cannot_take_the_question_is_told_as_such(full: Any) -> None:
    full.says(ADA, full.request(frames.ADMIN, 0, 6, BODY))
    taken = dict(full.core.take_for_replicas())
    full.core.not_sent(2, taken[2])
    number = frames.parse_request(taken[0][-1].frames)[0].request
    accept(full, 0, number)
    accept(full, 1, number)
    assert rows_of(full) == {0: True, 1: True, 2: "replica 2 of shard 0 does not take messages at the moment"}


def test_two_who_ask_for_different_things_get_rounds_of_their_own(full: Any) -> None:
    other = pack_admin(AdminRequest("snapshot"))
    full.says(ADA, full.request(frames.ADMIN, 0, 6, BODY))
    first = asked(full)
    full.says(BOB, full.request(frames.ADMIN, 0, 6, other))
    second = asked(full)
    assert (first[0][1], second[0][1]) == (BODY, other)
    assert first[0][0] != second[0][0]
    for member in range(3):
        accept(full, member, second[member][0])
    ((identity, _, _),) = told(full)
    assert identity == BOB
    # Late, repeated and foreign answers are of no round.
    accept(full, 0, second[0][0])
    accept(full, 3, first[0][0])
    assert told(full) == []


def test_the_router_wakes_for_a_round_that_is_over(full: Any) -> None:
    full.core.tick()
    full.says(ADA, full.request(frames.ADMIN, 0, 6, BODY))
    full.core.now += 0.5
    full.says(BOB, full.request(frames.ADMIN, 1, 6, BODY))
    assert full.core.next_tick() <= ROUND_S
    full.core.disconnected(3)
    full.core.disconnected(4)
    full.core.disconnected(5)
    assert full.core.next_tick() == 0.0


def test_what_is_no_request_is_refused(full: Any) -> None:
    full.says(ADA, full.request(frames.ADMIN, 2, 6, BODY))
    (wrong,) = full.told(ADA)
    assert (wrong.code, wrong.request) == (errors.WRONG_SHARD, 6)
    for parts in (
        [full.request(frames.ADMIN, 0, 6, bytes(BODY_BYTES_MAX + 1))],
        [full.request(frames.ADMIN, 0), b"", b""],
    ):
        full.says(ADA, *parts)
        (bad,) = full.told(ADA)
        assert bad.code == errors.BAD_MESSAGE
    assert asked(full) == {}


def test_too_many_at_once_are_told_to_come_back(full: Any) -> None:
    for number in range(ROUNDS_MAX):
        full.says(ADA, full.request(frames.ADMIN, 0, number, BODY))
    assert full.told(ADA) == []
    full.says(ADA, full.request(frames.ADMIN, 0, 99, BODY))
    (busy,) = full.told(ADA)
    assert (busy.code, busy.request) == (errors.BUSY, 99)
