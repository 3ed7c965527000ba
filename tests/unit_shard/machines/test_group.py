"""The group: who is there, who leads, who gets which message when, and what is left of it in the log."""

from __future__ import annotations

from collections import Counter

import pytest
from ocelog.client.protocol.errors import DELETED, ROWS
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.group import FULL, LEFT, NO_SUCH, NOBODY, WHY_CHARACTERS_MAX, GroupMachine
from ocelog.shard.machines.group_members import (
    AT_ONCE_MAX,
    GROUP_DELETED,
    METADATA_BYTES_MAX,
    REMOVED,
    TAKEN_OVER,
)
from ocelog.shard.testing import by, check, close

from .test_queue import Driver

A, B, C = 1, 2, 3  # sessions
SENDER, LISTENER = 8, 9


@pytest.fixture
def group():
    driver = Driver(GroupMachine)
    yield driver
    driver.check()
    for member in driver.machine.members.values():
        assert list(member.under_way) + list(member.pending) == sorted([*member.under_way, *member.pending])
        assert member.session is not None or not member.under_way


def join(group, session, id, *, persistent=False, metadata=None, expire_ms=None, at_once=10, number=1, take_over=True):
    return group.run(session, "join", id, number, persistent, metadata, expire_ms, at_once, take_over)


def changes(group):
    """What listeners were told since: kind, old, new."""
    return [
        (kind, old, new)
        for sessions, (name, value) in group.told()
        if name == "change"
        for kind, key, old, new in [value]
        if key == b""
    ]


def handed(group):
    """What was handed out since: session, member, index, attempt, payload."""
    found = []
    for sessions, (name, value) in group.told():
        if name == "change" and value[0] == "message":
            _, id, _, (index, attempt, _, payload) = value
            found.append((*sessions, id, index, attempt, payload))
    return found


def answers(group):
    return [(sessions[0], *value) for sessions, (name, value) in group.told() if name == "answer"]


def post(group, payload=b"p", to=None, delivery=None):
    found = group.run(SENDER, "post", delivery or ("direct" if to else "broadcast"), to, payload)
    return found


def send(group, number=1, payload=b"p", to=None, delivery=None, wait_ms=None, reply=False):
    delivery = delivery or ("direct" if to else "broadcast")
    return group.run(SENDER, "send", number, wait_ms, reply, delivery, to, payload)


def ids(group):
    return [row[0] for row in group.ask("all")]


# -- members -----------------------------------------------------------------------------------------


def test_members_are_those_who_joined_in_their_order(group):
    row = join(group, A, b"a", metadata=b"m")
    assert row == [b"a", b"m", False, True, group.index]
    join(group, B, b"b", persistent=True)
    assert ids(group) == [b"a", b"b"] and group.ask("size") == 2
    assert group.ask("get", b"b") == [b"b", None, True, True, group.index] and group.ask("get", b"c") is None
    assert group.run(A, "leave", b"a") is True
    assert group.run(A, "leave", b"a") is False
    assert ids(group) == [b"b"]


@pytest.mark.parametrize("how", ["session_closed", "session_expired"])
def test_an_ephemeral_member_leaves_with_its_session_and_a_persistent_one_is_away(group, how):
    join(group, A, b"a")
    join(group, A, b"p", persistent=True)
    row = group.ask("get", b"p")
    group.end(A, how)
    assert group.ask("all") == [[*row[:3], False, row[4]]]


def test_joining_again_from_the_same_place_changes_nothing(group):
    """A client that cannot know whether its join arrived sends it again."""
    join(group, A, b"a", number=3)
    group.run(LISTENER, "listen")
    assert join(group, A, b"a", number=3, metadata=b"other")[1] is None
    assert group.told() == []


def test_an_id_that_is_there_is_not_joined_twice(group):
    join(group, A, b"a")
    join(group, A, b"p", persistent=True)
    for session, id, persistent in ((B, b"a", False), (B, b"a", True), (B, b"p", False), (A, b"p", True)):
        with pytest.raises(ValueError, match="already"):
            join(group, session, id, persistent=persistent, number=2)


def test_a_persistent_member_comes_back_under_another_session(group):
    """Atomix' machine never publishes that a member is ALIVE again; listeners of ours are told of both ways."""
    group.run(LISTENER, "listen")
    joined = join(group, A, b"p", persistent=True, metadata=b"1")[4]
    changes(group)
    group.end(A)
    assert changes(group) == [
        ("away", [b"p", b"1", True, True, joined], [b"p", b"1", True, False, joined]),
        ("elected", None, [None, joined]),
    ]
    join(group, B, b"p", persistent=True, metadata=b"2")
    assert changes(group) == [
        ("returned", [b"p", b"1", True, False, joined], [b"p", b"2", True, True, joined]),
        ("elected", None, [b"p", group.index]),
    ]


def test_a_persistent_member_is_taken_over_from_a_session_that_is_still_there(group):
    """A process that was killed is there until its session expires; the one that follows it does not wait for that."""
    join(group, A, b"p", persistent=True)
    post(group, b"1", to=b"p")
    (_, _, index, _, _) = handed(group)[0]
    join(group, B, b"p", persistent=True)
    told = group.told()
    assert ([A], ["change", ["removed", b"p", None, TAKEN_OVER]]) in told
    assert ([B], ["change", ["message", b"p", None, [index, 2, False, b"1"]]]) in told
    assert group.run(A, "ack", b"p", index, 1) is False and group.run(A, "part", b"p") is False
    assert group.run(A, "leave", b"p") is False and group.run(A, "set_metadata", b"p", b"x") is False
    assert not group.machine.watches(A)
    assert group.run(B, "ack", b"p", index, 2) is True


def test_a_member_that_comes_back_by_itself_takes_nobody_over(group):
    """A client whose session was lost must not drive out the process that has replaced it."""
    join(group, A, b"p", persistent=True)
    with pytest.raises(ValueError, match="not to be taken over"):
        join(group, B, b"p", persistent=True, take_over=False)
    group.end(A)
    join(group, B, b"p", persistent=True, take_over=False)


def test_a_persistent_member_may_go_without_leaving(group):
    join(group, A, b"a")
    join(group, A, b"p", persistent=True)
    assert group.run(B, "part", b"p") is False
    assert group.run(A, "part", b"a") is True and group.run(A, "part", b"p") is True
    assert group.run(A, "part", b"p") is False
    assert ids(group) == [b"p"]


def test_anybody_removes_a_member_and_it_is_told(group):
    join(group, A, b"a")
    join(group, A, b"p", persistent=True)
    group.run(A, "part", b"p")
    group.told()
    assert group.run(B, "remove", b"a") is True
    assert ([A], ["change", ["removed", b"a", None, REMOVED]]) in group.told()
    assert group.run(B, "remove", b"p") is True and group.run(B, "remove", b"p") is False
    assert ids(group) == []


def test_metadata_changes_and_listeners_are_told(group):
    group.run(LISTENER, "listen")
    join(group, A, b"a", metadata=b"1")
    joined = changes(group)
    assert joined[0] == ("joined", None, [b"a", b"1", False, True, group.index])
    index = group.index
    assert group.run(A, "set_metadata", b"a", None) is True
    assert group.run(B, "set_metadata", b"a", b"2") is False
    assert changes(group) == [("changed", [b"a", b"1", False, True, index], [b"a", None, False, True, index])]
    group.run(A, "leave", b"a")
    assert changes(group)[0] == ("left", [b"a", None, False, True, index], None)
    group.run(LISTENER, "unlisten")
    join(group, A, b"b")
    assert changes(group) == [] and not group.machine.watches(LISTENER)


def test_a_listener_is_state():
    """Atomix closes the commit of `listen` at once, so a rebuilt replica may have forgotten who listens."""
    driver = Driver(GroupMachine)
    driver.run(LISTENER, "listen")
    driver.check()
    other = GroupMachine()
    other.install(driver.machine.snapshot())
    assert other.watches(LISTENER)
    driver.end(LISTENER)


# -- members that are away for too long --------------------------------------------------------------


def test_a_member_that_is_away_for_too_long_is_removed(group):
    """Atomix: a member expiration above 0 removes a dead persistent member after that time."""
    group.run(LISTENER, "listen")
    join(group, A, b"p", persistent=True, expire_ms=100)
    join(group, B, b"q", persistent=True, expire_ms=200)
    group.end(A)
    group.end(B)
    changes(group)
    group.pass_ms(99)
    assert ids(group) == [b"p", b"q"]
    group.pass_ms(1)
    assert ids(group) == [b"q"] and [kind for kind, *_ in changes(group)] == ["left"]
    group.check()
    group.pass_ms(100)
    assert ids(group) == []


def test_a_member_that_comes_back_in_time_stays_and_leaves_no_timers(group):
    for _ in range(20):
        join(group, A, b"p", persistent=True, expire_ms=100)
        group.run(A, "part", b"p")
        group.pass_ms(10)
    assert len(group.timers) <= 1
    join(group, A, b"p", persistent=True, expire_ms=100)
    group.pass_ms(1000)
    assert ids(group) == [b"p"] and not group.timers


def test_short_absences_again_and_again_arm_the_timer_of_a_long_one_once(group):
    join(group, A, b"long", persistent=True, expire_ms=10**6)
    group.run(A, "part", b"long")
    for _ in range(20):
        join(group, B, b"short", persistent=True, expire_ms=10)
        group.run(B, "part", b"short")
        group.pass_ms(20)
    assert ids(group) == [b"long"] and len(group.timers) == 1


@pytest.mark.parametrize(("expire_ms", "stays"), [(None, True), (0, False)])
def test_never_and_at_once(group, expire_ms, stays):
    """Atomix: without an expiration dead persistent members stay for ever; with 0 they are removed at once."""
    join(group, A, b"p", persistent=True, expire_ms=expire_ms)
    group.end(A)
    group.pass_ms(10**9)
    assert ids(group) == [b"p"] * stays


# -- the election ------------------------------------------------------------------------------------


def test_who_is_present_longest_leads_and_each_leader_has_a_term_of_its_own(group):
    assert group.ask("leader") == [None, 0]
    join(group, A, b"a")
    first = group.index
    join(group, B, b"b", persistent=True)
    join(group, C, b"c")
    assert group.ask("leader") == [b"a", first]
    group.end(A)
    second = group.index
    assert group.ask("leader") == [b"b", second]
    group.run(B, "part", b"b")
    assert group.ask("leader") == [b"c", group.index]
    join(group, B, b"b", persistent=True)
    assert group.ask("leader")[0] == b"c", "who comes back stands behind those who were there"
    group.run(A, "remove", b"c")
    assert group.ask("leader") == [b"b", group.index] and group.index > second


def test_a_leader_that_is_taken_over_leads_no_more(group):
    """The process that led does not know it yet; the one that follows it leads in a term of its own, if it is its turn."""
    join(group, A, b"p", persistent=True)
    term = group.index
    join(group, B, b"p", persistent=True)
    assert group.ask("leader") == [b"p", group.index] and group.index > term
    join(group, C, b"c")
    join(group, A, b"p", persistent=True, number=2)
    assert group.ask("leader") == [b"c", group.index]


def test_leader_and_term_survive_a_rebuild(group):
    """Atomix keeps neither term nor leader: a replay of a compacted log can elect another leader. Ours are in the snapshot."""
    for session in (A, B, C):
        join(group, session, b"m%d" % session)
    group.end(A)
    leader = group.ask("leader")
    other = GroupMachine()
    other.install(group.machine.snapshot())
    other.restored()
    assert [other.candidates.leader, other.candidates.term] == leader
    other.session_expired(Commit(99, 99, B))
    assert [other.candidates.leader, other.candidates.term] == [b"m3", 99]


# -- messages ----------------------------------------------------------------------------------------


def test_a_message_goes_to_its_member_and_stays_in_the_log_until_it_is_handled(group):
    join(group, A, b"a")
    join(group, B, b"b")
    assert post(group, b"1", to=b"a") == [1, []]
    index = group.index
    assert handed(group) == [(A, b"a", index, 1, b"1")] and group.live == {index}
    assert group.run(A, "ack", b"a", index, 1) is True
    assert not group.live and not group.machine.messages


def test_a_broadcast_goes_to_every_member_and_once_into_the_log(group):
    join(group, A, b"a")
    join(group, B, b"p", persistent=True)
    join(group, C, b"silent", at_once=0)
    group.end(B)
    assert post(group, b"1") == [2, []]
    index = group.index
    assert handed(group) == [(A, b"a", index, 1, b"1")] and group.live == {index}
    group.run(A, "ack", b"a", index, 1)
    assert group.live == {index}
    join(group, B, b"p", persistent=True)
    assert handed(group) == [(B, b"p", index, 1, b"1")]
    group.run(B, "ack", b"p", index, 1)
    assert not group.live


def test_random_is_the_same_everywhere_and_reaches_all_that_are_present(group):
    """The receiver follows from the index of the message; Atomix draws it, and a replay need not draw the same."""
    for session, id in ((A, b"a"), (B, b"b"), (C, b"c")):
        join(group, session, id, at_once=AT_ONCE_MAX)
    join(group, 4, b"p", persistent=True)
    group.end(4)
    group.told()
    for _ in range(300):
        assert post(group, delivery="random") == [1, []]
    chosen = Counter(id for _, id, *_ in handed(group))
    assert set(chosen) == {b"a", b"b", b"c"} and min(chosen.values()) > 60


def test_random_takes_one_that_is_away_if_nobody_is_present(group):
    assert post(group, delivery="random") == [0, [[None, NOBODY]]]
    join(group, A, b"p", persistent=True)
    group.end(A)
    assert post(group, delivery="random") == [1, []]
    assert group.ask("unhandled", b"p") == 1 and group.ask("unhandled", b"q") is None


def test_what_was_under_way_comes_again_in_order_and_before_what_came_later(group):
    join(group, A, b"p", persistent=True, at_once=3)
    post(group, b"1")
    indexes = [group.index]
    for payload in (b"2", b"3", b"4", b"5"):
        post(group, payload)
        indexes.append(group.index)
    assert [index for *_, index, _, _ in handed(group)] == indexes[:3]
    group.run(A, "ack", b"p", indexes[1], 1)
    assert [index for *_, index, _, _ in handed(group)] == [indexes[3]]
    group.end(A)
    group.check()
    join(group, B, b"p", persistent=True, at_once=10)
    assert handed(group) == [
        (B, b"p", indexes[0], 2, b"1"),
        (B, b"p", indexes[2], 2, b"3"),
        (B, b"p", indexes[3], 2, b"4"),
        (B, b"p", indexes[4], 1, b"5"),
    ]


def test_a_member_has_no_more_under_way_than_it_said(group):
    join(group, A, b"a", at_once=1)
    post(group, b"1")
    first = group.index
    post(group, b"2")
    assert len(handed(group)) == 1
    group.run(A, "ack", b"a", first, 1)
    assert [payload for *_, payload in handed(group)] == [b"2"]


@pytest.mark.parametrize("command", [("ack",), ("fail", "why"), ("reply", b"r")])
def test_only_who_has_a_message_answers_it_and_once(group, command):
    name, *rest = command
    join(group, A, b"a")
    join(group, B, b"b")
    post(group, to=b"a")
    index = group.index
    before = repr(vars(group.machine))
    for session, id, which, attempt in (
        (B, b"a", index, 1),
        (B, b"b", index, 1),
        (A, b"a", index, 2),
        (A, b"a", 99, 1),
    ):
        assert group.run(session, name, id, which, attempt, *rest) is False
    assert repr(vars(group.machine)) == before
    assert group.run(A, name, b"a", index, 1, *rest) is True
    assert group.run(A, name, b"a", index, 1, *rest) is False
    assert not group.live


def test_sync_waits_until_everybody_has_acknowledged(group):
    join(group, A, b"a")
    join(group, B, b"b")
    assert send(group) is None
    index = group.index
    group.run(A, "ack", b"a", index, 1)
    assert answers(group) == []
    group.run(B, "reply", b"b", index, 1, b"not wanted")
    assert answers(group) == [(SENDER, 1, [[[b"a", None], [b"b", None]], []])]
    assert not group.live and not group.machine.watches(SENDER)


def test_request_reply_collects_a_reply_of_each_and_no_entry_is_left(group):
    """Atomix counts acknowledgements and failures of a broadcast request off by one."""
    for session, id in ((A, b"a"), (B, b"b"), (C, b"c")):
        join(group, session, id)
    send(group, reply=True)
    index = group.index
    group.run(A, "reply", b"a", index, 1, b"from a")
    assert group.live == {index, group.index}
    group.check()
    group.run(B, "fail", b"b", index, 1, "broken")
    assert answers(group) == [], "one is still to answer"
    group.check()
    group.run(C, "ack", b"c", index, 1)
    assert answers(group) == [(SENDER, 1, [[[b"a", b"from a"], [b"c", None]], [[b"b", "broken"]]])]
    assert not group.live


@pytest.mark.parametrize(("to", "delivery"), [(b"a", "direct"), (None, "random")])
def test_a_reply_to_one_member_leaves_nothing_behind(group, to, delivery):
    """Atomix: DIRECT and RANDOM replies leave their queue entry open."""
    join(group, A, b"a")
    send(group, to=to, delivery=delivery, reply=True)
    group.run(A, "reply", b"a", group.index, 1, b"r")
    assert answers(group) == [(SENDER, 1, [[[b"a", b"r"]], []])]
    assert not group.live and not group.machine.messages and not group.machine.replies


def test_a_sender_is_told_when_the_member_leaves_but_not_when_it_is_away(group):
    join(group, A, b"a")
    join(group, B, b"p", persistent=True, expire_ms=50)
    send(group)
    group.end(B)
    assert answers(group) == []
    group.end(A)
    assert answers(group) == []
    group.pass_ms(50)
    assert answers(group) == [(SENDER, 1, [[], [[b"a", LEFT], [b"p", LEFT]]])]
    assert not group.live


def test_patience_ends_and_the_message_stays(group):
    join(group, A, b"a")
    join(group, B, b"b")
    send(group, 1, wait_ms=100, reply=True)
    index = group.index
    group.run(A, "reply", b"a", index, 1, b"r")
    group.check()
    group.pass_ms(100)
    assert answers(group) == [(SENDER, 1, None)]
    assert group.live == {index}, "the message stays, the reply does not"
    assert group.run(B, "reply", b"b", index, 1, b"late") is True
    assert answers(group) == [] and not group.live


def test_a_sender_that_waits_no_more_leaves_its_message(group):
    join(group, A, b"a")
    assert send(group, 1, wait_ms=0) == [None]
    send(group, 2)
    assert group.run(SENDER, "cancel", 2) is True and group.run(SENDER, "cancel", 2) is False
    send(group, 3)
    group.end(SENDER)
    assert group.ask("unhandled", b"a") == 3


def test_messages_that_are_handled_leave_no_timers_behind(group):
    join(group, A, b"a")
    for number in range(20):
        send(group, number, wait_ms=1000)
        group.run(A, "ack", b"a", group.index, 1)
    assert not group.timers


def test_a_message_to_nobody(group):
    join(group, A, b"silent", at_once=0)
    assert post(group, to=b"x") == [0, [[b"x", NO_SUCH]]]
    assert post(group, to=b"silent") == [0, [[b"silent", NO_SUCH]]]
    assert post(group) == [0, []]
    assert send(group) == [[[], []]]
    assert send(group, delivery="random") == [[[], [[None, NOBODY]]]]
    assert not group.live


def test_a_member_that_is_full_gets_no_more_and_the_sender_is_told(group, monkeypatch):
    """A bound of unhandled messages per member; the others get theirs."""
    monkeypatch.setattr("ocelog.shard.machines.group.UNHANDLED_MAX", 2)
    join(group, A, b"a")
    join(group, B, b"p", persistent=True)
    group.end(B)
    for _ in range(2):
        post(group, to=b"p")
    group.told()
    assert post(group, b"3") == [1, [[b"p", FULL]]]
    assert [id for _, id, *_ in handed(group)] == [b"a"]
    send(group)
    group.run(A, "ack", b"a", group.index, 1)
    assert answers(group) == [(SENDER, 1, [[[b"a", None]], [[b"p", FULL]]])]
    assert send(group, to=b"p") == [[[], [[b"p", FULL]]]]
    group.run(A, "leave", b"a")
    assert post(group, delivery="random") == [0, [[None, NOBODY]]]


def test_a_delete_is_told_to_members_and_to_who_waits(group):
    join(group, A, b"a")
    join(group, B, b"p", persistent=True)
    group.end(B)
    send(group)
    group.told()
    group.machine.deleted(Commit(99, 99, 1))
    group._take()
    assert group.told() == [
        ([A], ["change", ["removed", b"a", None, GROUP_DELETED]]),
        ([SENDER], ["answer", [1, None, DELETED, ROWS[DELETED].sentence]]),
    ]


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("join", ("a", 1, False, None, None, 1, True)),
        ("join", (b"", 1, False, None, None, 1, True)),
        ("join", (b"x" * 301, 1, False, None, None, 1, True)),
        ("join", (b"x", 1, False, "m", None, 1, True)),
        ("join", (b"x", 1, False, b"m" * (METADATA_BYTES_MAX + 1), None, 1, True)),
        ("join", (b"x", 1, True, None, -1, 1, True)),
        ("join", (b"x", 1, True, None, True, 1, True)),
        ("join", (b"x", 1, True, None, None, AT_ONCE_MAX + 1, True)),
        ("part", ("x",)),
        ("set_metadata", (b"a", "m")),
        ("listen", (b"key",)),
        ("unlisten", (b"key",)),
        ("post", ("broadcast", None, "text")),
        ("post", ("broadcast", b"a", b"p")),
        ("post", ("direct", None, b"p")),
        ("post", ("sideways", None, b"p")),
        ("send", (1, -1, False, "broadcast", None, b"p")),
        ("send", (7, None, False, "broadcast", None, b"p")),
        ("reply", (b"a", 1, 1, "text")),
    ],
)
def test_what_is_no_argument_changes_nothing(group, name, arguments):
    join(group, A, b"a")
    group.run(A, "send", 7, None, False, "direct", b"a", b"p")
    before = repr(vars(group.machine))
    with pytest.raises((TypeError, ValueError)):
        group.run(A, name, *arguments)
    assert repr(vars(group.machine)) == before


def test_a_group_has_a_greatest_size(group, monkeypatch):
    monkeypatch.setattr("ocelog.shard.machines.group_members.MEMBERS_MAX", 1)
    join(group, A, b"a")
    with pytest.raises(ValueError, match="at most 1"):
        join(group, A, b"b")


MEMBER = [b"a", 1, False, A, 1, None, None, 1, None, [], []]
NOBODY_THERE = [[], [[], 0], None, []]


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        [NOBODY_THERE, [], [[1, 1, 5, None]]],
        [[[], [[b"a"], 1], None, []], [], []],
        [[[MEMBER], [[], 0], None, []], [], []],
        [[[[*MEMBER[:9], [[5, 1]], []]], [[b"a"], 1], None, []], [], []],
        [[[["a", *MEMBER[1:]]], [["a"], 1], None, []], [], []],
        [[[], [[], "0"], None, []], [], []],
        [[[], [[], 0], "0", []], [], []],
        [NOBODY_THERE, [[5, 1, False, None, [], []]], []],
        [NOBODY_THERE, [[5, 0, False, [1, 1], [], []]], []],
    ],
)
def test_a_snapshot_is_not_believed(state):
    with pytest.raises((TypeError, ValueError)):
        GroupMachine().install(state)


def test_a_message_without_its_entry_is_corruption(group):
    join(group, A, b"a")
    post(group)
    other = GroupMachine()
    other.install(group.machine.snapshot())
    with pytest.raises(ValueError, match="live entries"):
        other.restored()


def test_those_who_came_back_are_rebuilt_in_the_order_in_which_they_came() -> None:
    """When their session ends they leave in that order, and listeners are told in that order, on every replica."""
    joins = [("join", id, 0, True, None, None, 2, False) for id in (b"a", b"b")]
    back = [("part", b"a"), joins[0], ("listen", None)]
    check(GroupMachine, [by(1, "listen", None), *joins, *back, close(0)])


def test_a_reason_is_cut_since_it_is_in_every_snapshot_until_all_have_answered(group):
    """A message has a receiver for each member, and each of them may give a reason as large as a command."""
    join(group, A, b"a")
    join(group, B, b"b")
    assert send(group) is None
    index = group.index
    assert group.run(A, "fail", b"a", index, 1, "w" * 1_000_000)
    assert len(repr(group.machine.snapshot())) < 10_000
    group.told()
    assert group.run(B, "ack", b"b", index, 1)
    assert group.told()[-1] == ([SENDER], ["answer", [1, [[[b"b", None]], [[b"a", "w" * WHY_CHARACTERS_MAX]]]]])
