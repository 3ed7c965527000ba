"""What a router decides: to whom each message goes, and what it says itself."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.frames import NO_LEADER_KNOWN, NO_SHARD, Item
from ocelog.client.protocol.limits import UNCOPIED_BYTES_MIN
from ocelog.cluster.router.core import BAD_PEERS_EVERY_S, HELLO_EVERY_S, HELLOS_UNANSWERED_MAX
from ocelog.cluster.router.outgoing import KEEP_ALIVE_S

ADA, BOB = b"ada", b"bob"
MEBIBYTE = 1024 * 1024


def answer(router: Any, member: int, route: int, **fields: Any) -> None:
    """A replica answers a client."""
    router.core.from_replica(member, frames.pack_bundle([Item(route, [router.reply(**fields)])]))


# -- requests ----------------------------------------------------------------------------------------


def test_a_request_goes_to_the_leader_of_its_shard_unchanged(router):
    router.leads(1)
    router.leads(5)
    router.says(ADA, router.request(shard=1, body=b"work"))
    assert router.handed() == {5: [Item(1, [router.request(shard=1, body=b"work")])]}
    assert router.told() == []


@pytest.mark.parametrize(
    "kind",
    [
        frames.REGISTER,
        frames.KEEP_ALIVE,
        frames.UNREGISTER,
        frames.COMMAND,
        frames.QUERY,
        frames.HANDLED,
        frames.SETTLE,
        frames.OUTCOME,
    ],
)
def test_every_kind_that_concerns_a_shard_is_forwarded(router, kind):
    router.leads(0)
    router.says(ADA, router.request(kind))
    router.pass_time(KEEP_ALIVE_S)
    assert [item.route for item in router.handed()[0]] == [1]


def test_a_keep_alive_waits_for_others_and_not_for_long(router):
    """Idle sessions in thousands must not wake the leader once each; order is kept all the same."""
    router.leads(0)
    router.pass_time(0.0)
    router.handed()
    alive, work = router.request(frames.KEEP_ALIVE, identifier=1), router.request(identifier=3)
    router.says(ADA, alive)
    router.says(ADA, alive)
    assert router.handed() == {}
    assert router.core.next_tick() == router.core.now + KEEP_ALIVE_S
    router.says(ADA, work)
    assert router.handed() == {0: [Item(1, [alive]), Item(1, [alive]), Item(1, [work])]}
    router.says(ADA, alive)
    router.pass_time(KEEP_ALIVE_S)
    assert router.handed() == {0: [Item(1, [alive])]}
    assert router.core.next_tick() > router.core.now


def test_without_a_leader_the_client_is_told_which_request_to_repeat_and_when(router):
    router.says(ADA, router.request(shard=1, identifier=77, session=9, first_sequence=12))
    (told,) = router.told(ADA)
    assert (told.kind, told.code, told.shard) == (frames.REFUSED, errors.NO_LEADER, 1)
    assert (told.request, told.session, told.first_sequence) == (77, 9, 12)
    assert told.retry_after_ms == 50
    assert router.handed() == {}


def test_a_shard_that_is_not_served_is_refused_for_good(router):
    router.says(ADA, router.request(shard=2, identifier=3))
    (told,) = router.told(ADA)
    assert (told.code, told.request, errors.ROWS[told.code].retry) == (errors.WRONG_SHARD, 3, False)


def test_a_separate_body_stays_a_frame_of_its_own(router):
    router.leads(0)
    body = bytes(UNCOPIED_BYTES_MIN)
    router.says(ADA, router.request(), body)
    (item,) = router.handed()[0]
    assert item.frames[1] is body


def test_a_large_body_behind_its_header_is_split_off(router):
    router.leads(0)
    router.says(ADA, router.request(body=b"x" * UNCOPIED_BYTES_MIN))
    (item,) = router.handed()[0]
    assert [len(part) for part in item.frames] == [frames.REQUEST_BYTES, UNCOPIED_BYTES_MIN]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([b""], "has 0"),
        ([b"\x02" * 71], "has 71"),
        ([b"\x02\x42" + bytes(70)], "kind 0x42"),
        ([b"\x02\x05" + bytes(70), b"body", b"more"], "72, 4, 4"),
        ([b"\x02\x05" + bytes(80), b"body"], "82, 4"),
        ([b"\x02\x05" + bytes(70), bytes(2 * MEBIBYTE + 1)], "2097153"),
        ([b"\x02\x05" + bytes(70 + 2 * MEBIBYTE + 1)], "2097225"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(router, parts, why):
    router.leads(0)
    router.says(ADA, *parts)
    ((identity, refusal),) = router.core.take_for_clients()
    header, sentence = frames.parse_reply(refusal)
    assert (identity, header.kind, header.code) == (ADA, frames.REFUSED, errors.BAD_MESSAGE)
    assert why in bytes(sentence).decode()
    assert router.handed() == {}
    assert len(router.core.clients) == 0


def test_the_largest_message_is_accepted(router):
    router.leads(0)
    router.says(ADA, router.request(), bytes(2 * MEBIBYTE))
    assert len(router.handed()[0]) == 1


def test_an_unknown_version_is_refused_and_its_request_id_echoed(router):
    router.says(ADA, router.request(version=9, identifier=42))
    (told,) = router.told(ADA)
    assert (told.code, told.request) == (errors.UNKNOWN_VERSION, 42)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_no_bytes_of_a_client_stop_a_router(new_router, parts):
    router = with_leaders(new_router)
    router.core.from_client(ADA, parts)
    router.core.tick()
    told, handed = router.told(ADA), router.handed()
    asked = parts[0][:2] in (bytes((frames.VERSION, kind)) for kind in (frames.STATUS, frames.ADMIN))
    assert bool(told) + bool(handed) + asked >= 1


@given(st.binary(max_size=200), st.integers(0, 8), st.binary(max_size=100))
def test_no_readable_header_stops_a_router(new_router, tail, kind, body):
    router = with_leaders(new_router)
    header = (bytes((frames.VERSION, kind)) + tail).ljust(frames.REQUEST_BYTES, b"\0")[: frames.REQUEST_BYTES]
    router.core.from_client(ADA, [header + body])
    router.core.tick()
    assert router.told(ADA) or router.handed() or kind in (frames.STATUS, frames.ADMIN)


def with_leaders(new_router: Any) -> Any:
    """A router that knows a leader for each shard."""
    router = new_router()
    for member in (0, 3):
        router.leads(member)
    return router


# -- answers -----------------------------------------------------------------------------------------


def test_answers_find_the_client_that_asked(router):
    router.leads(0)
    for identity in (ADA, BOB):
        router.says(identity, router.request())
    first, second = [item.route for item in router.handed()[0]]
    answer(router, 0, second, identifier=2)
    answer(router, 0, first, identifier=1)
    assert [(to, frames.parse_reply(parts)[0].request) for to, parts in router.core.take_for_clients()] == [
        (BOB, 2),
        (ADA, 1),
    ]


def test_an_answer_for_a_client_that_is_gone_is_dropped(router):
    router.leads(0)
    router.says(ADA, router.request())
    router.core.unreachable(ADA)
    answer(router, 0, 1)
    assert router.told() == []
    assert router.core.counts["unreachable"] == 1


def test_a_client_that_comes_back_gets_a_new_number(router):
    router.leads(0)
    router.says(ADA, router.request())
    router.core.unreachable(ADA)
    router.says(ADA, router.request())
    assert [item.route for item in router.handed()[0]] == [1, 2]


def test_what_cannot_be_handed_over_is_told_to_its_client(router):
    router.leads(0)
    router.says(ADA, router.request(identifier=8, session=9, first_sequence=10))
    router.core.not_sent(0, router.handed()[0])
    (told,) = router.told(ADA)
    assert (told.code, told.request, told.session, told.first_sequence) == (errors.NOT_SENT, 8, 9, 10)


@given(st.integers(0, 2), st.binary(max_size=80), st.lists(st.binary(max_size=20), max_size=1))
def test_no_answer_of_a_replica_stops_a_router(new_router, route, head, body):
    router = with_leaders(new_router)
    router.says(ADA, router.request(frames.HELLO))
    for kind in (frames.LEADER, frames.STATUS_REPORT, frames.REFUSED, frames.RESULTS):
        for some in (head, (bytes((frames.VERSION, kind)) + head).ljust(frames.REPLY_BYTES, b"\0")):
            router.core.from_replica(0, frames.pack_bundle([Item(route, [some, *body])]))
    router.core.tick()
    assert router.told(ADA)


@given(st.lists(st.binary(max_size=100), max_size=3))
def test_no_bytes_of_a_replica_stop_a_router(new_router, message):
    router = with_leaders(new_router)
    router.core.take_lines()
    router.core.from_replica(0, message)
    assert router.core.take_lines()
    assert router.told() == []


@pytest.mark.parametrize("head", [b"", b"short", b"\x02" * (frames.REPLY_BYTES - 1), b"\x01" * frames.REPLY_BYTES])
def test_an_answer_that_cannot_be_read_is_dropped(router, head):
    router.says(ADA, router.request(frames.HELLO))
    router.told()
    router.core.from_replica(0, frames.pack_bundle([Item(1, [head])]))
    assert router.told() == []
    assert f"{len(head)} bytes" in router.core.take_lines()[-1]


# -- leaders -----------------------------------------------------------------------------------------


def test_a_new_leader_is_told_to_every_client_once(router):
    router.says(ADA, router.request(frames.HELLO))
    router.says(BOB, router.request())  # refused: it is not known to be a client yet
    router.told()
    router.leads(1, term=4)
    router.leads(1, term=4, by=2)
    ((identity, parts),) = router.core.take_for_clients()
    header, _ = frames.parse_reply(parts)
    assert identity == ADA
    assert (header.kind, header.shard, header.term, header.leader) == (frames.LEADER, 0, 4, 1)


def test_the_notice_leaves_before_the_refusal_that_brought_the_news(router):
    router.leads(0, term=1)
    router.says(ADA, router.request())
    router.told()
    answer(router, 0, 1, kind=frames.REFUSED, code=errors.NOT_LEADER, term=2, leader=2)
    assert [told.kind for told in router.told(ADA)] == [frames.LEADER, frames.REFUSED]
    router.says(ADA, router.request())
    assert list(router.handed()) == [0, 2]


@pytest.mark.parametrize("denial", [errors.NOT_LEADER, errors.NO_LEADER])
def test_a_leader_that_denies_is_forgotten(router, denial):
    router.leads(0, term=3)
    router.says(ADA, router.request())
    answer(router, 0, 1, kind=frames.REFUSED, code=denial, term=3, leader=NO_LEADER_KNOWN)
    router.handed()
    router.told()
    router.says(ADA, router.request())
    assert [told.code for told in router.told(ADA)] == [errors.NO_LEADER]


def test_a_broken_connection_to_the_leader_forgets_it(router):
    router.leads(0)
    router.core.disconnected(0)
    router.says(ADA, router.request())
    assert [told.code for told in router.told(ADA)] == [errors.NO_LEADER]


def test_a_broken_connection_to_another_replica_changes_nothing(router):
    router.leads(0)
    router.core.disconnected(1)
    router.says(ADA, router.request())
    assert list(router.handed()) == [0]


# -- greetings ---------------------------------------------------------------------------------------


def greeted(router: Any) -> list[int]:
    """The members that are sent a HELLO now."""
    taken = router.core.take_for_replicas()
    assert all(frames.parse_request(item.frames)[0].kind == frames.HELLO for _, items in taken for item in items)
    return [member for member, _ in taken]


def test_every_replica_is_greeted_at_the_start_and_every_second(router):
    router.pass_time(0.0)
    assert greeted(router) == [0, 1, 2, 3, 4, 5]
    router.pass_time(HELLO_EVERY_S / 2)
    assert greeted(router) == []
    router.pass_time(HELLO_EVERY_S / 2)
    assert greeted(router) == [0, 1, 2, 3, 4, 5]


def test_a_new_connection_is_greeted_at_once(router):
    router.core.connected(4)
    assert greeted(router) == [4]


def test_a_leader_that_leaves_greetings_unanswered_is_forgotten(router):
    router.leads(0)
    for _ in range(HELLOS_UNANSWERED_MAX):
        router.pass_time(HELLO_EVERY_S)
        assert router.core.leaders.targets[0] == 0
    router.pass_time(HELLO_EVERY_S)
    assert router.core.leaders.targets[0] is None
    assert "replica 0 of shard 0 is lost" in "\n".join(router.core.take_lines())


def test_a_pause_of_the_router_itself_loses_nobody(router):
    router.leads(0)
    router.pass_time(HELLO_EVERY_S)
    router.pass_time(3600.0)
    assert router.core.leaders.targets[0] == 0


def test_hello_is_welcomed_with_the_cluster_and_its_slots(router):
    router.says(ADA, router.request(frames.HELLO, NO_SHARD, 6))
    ((_, parts),) = router.core.take_for_clients()
    header, body = frames.parse_reply(parts)
    assert (header.kind, header.request) == (frames.WELCOME, 6)
    welcome = msgpack.unpackb(body)
    assert welcome["slots"] == [[0, 8191, 0], [8192, 16383, 1]]
    assert (welcome["version"], welcome["shards"], welcome["cluster_id"]) == (2, 2, "ab" * 16)


def test_bad_peers_make_one_line_in_a_while(router):
    for turn in range(5):
        for _ in range(100):
            router.says(ADA, b"noise")
        router.pass_time(BAD_PEERS_EVERY_S if turn == 4 else 0.1)
    assert router.core.take_lines() == [
        "refused 100 messages that cannot be read",
        "refused 400 messages that cannot be read",
    ]


# -- status ------------------------------------------------------------------------------------------


def report(router: Any, member: int, number: int, **fields: Any) -> None:
    """A replica reports for a round of the status."""
    shard, replica = divmod(member, 3)
    body = msgpack.packb({"id": replica, "shard": shard, "pid": 100 + member, "role": "follower", "term": 1} | fields)
    answer(router, member, 0, kind=frames.STATUS_REPORT, identifier=number, body=body)


def statuses(router: Any) -> list[tuple[bytes, int, dict[str, Any]]]:
    """Who is told which status now: identity, request, status."""
    told = []
    for identity, parts in router.core.take_for_clients():
        header, body = frames.parse_reply(parts)
        if header.kind == frames.STATUS_REPORT:
            told.append((identity, header.request, msgpack.unpackb(body)))
    return told


def test_status_waits_for_all_that_are_there_and_calls_the_others_down(router):
    for member in (0, 1):
        router.leads(0, by=member)
    router.says(ADA, router.request(frames.STATUS, NO_SHARD, 6))
    router.pass_time(0.0)
    report(router, 0, 1, role="leader")
    router.pass_time(0.1)
    assert statuses(router) == []
    report(router, 1, 1)
    router.pass_time(0.1)
    ((identity, identifier, status),) = statuses(router)
    assert (identity, identifier) == (ADA, 6)
    first, second = status["shards"]
    assert [(row["id"], row["role"], row["pid"]) for row in first["replicas"]] == [
        (0, "leader", 100),
        (1, "follower", 101),
        (2, "down", None),
    ]
    assert (first["leader"], second["leader"]) == (0, None)


def test_status_waits_for_a_silent_replica_a_second_at_most(router):
    router.leads(0)
    router.says(ADA, router.request(frames.STATUS, NO_SHARD, 6))
    router.pass_time(0.0)
    assert router.core.next_tick() == 1.0
    router.pass_time(1.0)
    ((_, _, status),) = statuses(router)
    assert {row["role"] for shard in status["shards"] for row in shard["replicas"]} == {"down"}


def test_who_asks_during_a_round_is_served_by_the_next(router):
    router.leads(0)
    router.says(ADA, router.request(frames.STATUS, NO_SHARD, 1))
    router.pass_time(0.0)
    router.says(BOB, router.request(frames.STATUS, NO_SHARD, 2))
    report(router, 0, 1, role="leader")
    router.pass_time(0.0)
    report(router, 0, 1, role="leader")  # too late for the first round, not meant for the second
    router.pass_time(0.0)
    assert [identity for identity, _, _ in statuses(router)] == [ADA]
    report(router, 0, 2, role="follower")
    router.pass_time(0.0)
    ((identity, _, status),) = statuses(router)
    assert (identity, status["shards"][0]["leader"]) == (BOB, None)


def test_a_lost_replica_is_not_waited_for(router):
    router.leads(0)
    router.says(ADA, router.request(frames.STATUS, NO_SHARD, 1))
    router.pass_time(0.0)
    router.core.disconnected(0)
    assert router.core.next_tick() == 0.0
    router.pass_time(0.0)
    assert len(statuses(router)) == 1
