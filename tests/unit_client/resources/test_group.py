"""The group's handles, operation by operation, against a real cluster."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ocelog
import pytest
from ocelog.client.group_changes import Delivery, GroupLeader, GroupMember, MemberRemoved, MessageFailed
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded, MachineError, ResourceDeleted

pytestmark = pytest.mark.system


def eventually(condition, seconds=20):
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ids(group):
    return [member.id for member in group.members()]


def test_members_come_and_go(client, name):
    group = client.group(name)
    assert group.members() == [] and group.leader() == GroupLeader(None, 0) and group.member("ada") is None
    with group.join("ada", metadata={"zone": "a"}) as ada, group.join() as other:
        found, ephemeral = group.members()
        assert found == GroupMember("ada", {"zone": "a"}, True, True, found.joined)
        assert ephemeral == GroupMember(other.id, None, False, True, ephemeral.joined)
        assert group.size() == 2 and group.leader() == GroupLeader("ada", found.joined)
        assert ada.set_metadata([1]) is True and group.member("ada").metadata == [1]
        assert ada.set_metadata(None) is True and group.member("ada").metadata is None
    eventually(lambda: group.members() == [GroupMember("ada", None, True, False, found.joined)])
    assert group.leader() == GroupLeader(None, found.joined)
    assert group.remove("ada") is True and group.remove("ada") is False
    assert group.size() == 0


def test_what_cannot_be(client, name):
    group = client.group(name)
    for bad in (b"ada", "", "a" * 256, 1):
        with pytest.raises(BadArgument):
            group.join(bad)
    for bad in (-1, 1001, True):
        with pytest.raises(BadArgument):
            group.join("ada", at_once=bad)
    with pytest.raises(BadArgument):
        group.join("ada", expires=-1)
    with pytest.raises(BadArgument):
        group.post(None)
    with pytest.raises(BadArgument):
        group.request(1, to=Delivery.BROADCAST)
    with group.join("ada", persistent=False), pytest.raises(MachineError, match="already"):
        group.join("ada")


def test_messages(client, name):
    group = client.group(name)
    with group.join("ada", at_once=3) as ada:
        assert group.post({"n": 1}, to="ada") == 1
        assert group.post("two") == 1
        assert group.post(3, to=Delivery.RANDOM) == 1
        assert group.unhandled("ada") == 3 and group.unhandled("bob") is None
        messages = [ada.next(10) for _ in range(3)]
        assert [message.value for message in messages] == [{"n": 1}, "two", 3]
        assert [message.attempt for message in messages] == [1, 1, 1]
        assert messages[0].ack() is True and messages[0].ack() is False
        assert messages[1].fail("no") is True and messages[2].reply("nobody wants it") is True
        assert group.unhandled("ada") == 0
        with pytest.raises(DeadlineExceeded):
            ada.next(0.1)
        assert ada.leave() is True and ada.leave() is False
    with pytest.raises(MessageFailed) as failed:
        group.post(1, to="ada")
    assert "no such member" in failed.value.failures["ada"]
    assert group.post("nobody is there") == 0 and group.send("nobody is there") == []
    with pytest.raises(MessageFailed, match="nobody"):
        group.request("nobody is there")


def test_send_and_request(endpoints, name):
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other, ThreadPoolExecutor() as pool:
        group = client.group(name)

        def work(id, ready):
            with other.group(name).join(id) as member:
                ready.set()
                for message in member:
                    if message.value == "stop":
                        message.ack()
                        return
                    elif message.value == "fail":
                        message.fail(f"{id} is tired")
                    elif message.wants_reply:
                        message.reply([id, message.value])
                    else:
                        message.ack()

        events = threading.Event(), threading.Event()
        working = [pool.submit(work, id, ready) for id, ready in zip(("ada", "bob"), events, strict=True)]
        assert all(event.wait(20) for event in events)
        assert sorted(group.send("all")) == ["ada", "bob"] and group.send("one", to="bob") == ["bob"]
        assert group.request(1, to="ada") == ["ada", 1]
        assert group.request(2)[1] == 2
        assert group.request_all(3) == {"ada": ["ada", 3], "bob": ["bob", 3]}
        with pytest.raises(MessageFailed, match="'ada': ada is tired") as failed:
            group.send("fail", to="ada")
        assert (failed.value.failures, failed.value.handled) == ({"ada": "ada is tired"}, {})
        assert sorted(group.send("stop")) == ["ada", "bob"]
        for future in working:
            future.result(20)


def test_a_sender_whose_receiver_is_away_or_leaves(endpoints, name):
    with ocelog.connect(endpoints) as client, ThreadPoolExecutor() as pool:
        group = client.group(name)
        group.join("ada").close()
        ephemeral = group.join("bob", persistent=False)
        with pytest.raises(DeadlineExceeded):
            group.send("late", to="ada", timeout=0.2)
        sending = pool.submit(group.send, "hello", timeout=20)
        assert ephemeral.next(10).value == "hello"
        ephemeral.close()
        with group.join("ada", at_once=10) as ada:
            assert [ada.next(10).value for _ in range(2)] == ["late", "hello"]
            assert group.unhandled("ada") == 2
        assert not sending.done()
        with group.join("ada", at_once=10) as ada:
            late, hello = ada.next(10), ada.next(10)
            assert late.ack() and late.attempt == 2 and hello.ack()
        with pytest.raises(MessageFailed) as failed:
            sending.result(20)
        assert failed.value.failures == {"bob": "the member has left"} and failed.value.handled == {"ada": None}


def test_a_request_that_is_cancelled_leaves_its_message(endpoints, name):
    async def scenario():
        async with ocelog.connect_async(endpoints) as client:
            group = client.group(name)
            async with await group.join("ada") as ada:
                asking = asyncio.create_task(group.request(1, to="ada", timeout=60))
                message = await ada.next(10)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                assert message.wants_reply and await message.reply(2)
                assert await group.unhandled("ada") == 0

    asyncio.run(scenario())


def test_a_member_is_taken_over(endpoints, name):
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        first = client.group(name).join("ada", at_once=2)
        with pytest.raises(MachineError, match="already"):
            client.group(name).join("ada")
        client.group(name).post("1")
        old = first.next(10)
        with pytest.raises(MachineError, match="not to be taken over"):
            other.group(name).join("ada", take_over=False)
        with other.group(name).join("ada") as second:
            with pytest.raises(MemberRemoved, match="another session has joined"):
                first.next(10)
            assert old.ack() is False and first.set_metadata(1) is False
            first.close()
            new = second.next(10)
            assert (new.value, new.attempt, new.ack()) == ("1", 2, True)
            assert [(member.id, member.present) for member in client.group(name).members()] == [("ada", True)]


def test_a_member_is_removed_and_a_group_deleted(endpoints, name):
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other, ThreadPoolExecutor() as pool:
        group = client.group(name)
        member = group.join("ada")
        other.group(name).remove("ada")
        with pytest.raises(MemberRemoved, match="was removed"):
            member.next(10)
        member = group.join("ada")
        sending = pool.submit(group.send, 1, timeout=20)
        assert member.next(10).value == 1
        other.delete(name)
        with pytest.raises(MemberRemoved, match="group was deleted"):
            member.next(10)
        with pytest.raises(ResourceDeleted):
            sending.result(20)
        assert group.members() == []


def test_a_member_that_is_away_expires(endpoints, name):
    with ocelog.connect(endpoints) as client:
        group = client.group(name)
        group.join("ada", expires=0.3).close()
        group.join("bob").close()
        eventually(lambda: ids(group) == ["bob"])


def test_events(client, name):
    group = client.group(name)
    with group.events() as events:
        with group.join("ada", metadata=1) as ada:
            joined, elected = events.next(10), events.next(10)
            assert (joined.kind, joined.key, joined.old, joined.new.metadata) == ("joined", "ada", None, 1)
            assert (elected.kind, elected.key, elected.new) == ("elected", "ada", GroupLeader("ada", joined.index))
            ada.set_metadata(2)
            changed = events.next(10)
            assert (changed.kind, changed.old.metadata, changed.new.metadata) == ("changed", 1, 2)
            assert changed.as_dict()["new"]["metadata"] == 2
        away, elected = events.next(10), events.next(10)
        assert (away.kind, away.old.present, away.new.present) == ("away", True, False)
        assert elected.new.id is None and elected.key is None
        with group.join("ada", metadata=3) as ada:
            assert [events.next(10).kind for _ in range(2)] == ["returned", "elected"]
            group.post("not for listeners")
            assert ada.next(10).ack()
            ada.leave()
        left = events.next(10)
        assert (left.kind, left.new, left.old.metadata) == ("left", None, 3)


def test_callbacks(endpoints, name):
    with ocelog.connect(endpoints) as client:
        group, seen = client.group(name), []
        with group.on_change(seen.append):
            with group.join("ada") as ada:
                group.post("for the member only")
                assert ada.next(10).ack()
            eventually(lambda: [event.kind for event in seen] == ["joined", "elected", "away", "elected"])


def test_a_member_that_is_forgotten_is_closed(endpoints, name):
    with ocelog.connect(endpoints) as client:
        group = client.group(name)
        group.join()
        other = group.join()
        eventually(lambda: ids(group) == [other.id])


def test_a_member_joins_again_when_its_session_was_lost(endpoints, name):
    """With the metadata it has by then; a message that it had under way comes again, and the first attempt counts no more."""
    with (
        ocelog.connect(endpoints, session_timeout=1) as client,
        ocelog.connect(endpoints) as other,
        other.group(name).events() as events,
    ):
        member = client.group(name).join("ada", metadata="old")
        member.set_metadata("new")
        other.group(name).post("1")
        first = member.next(10)
        leave = stand_still(client, other, name)
        again = member.next(20)
        leave.set()
        assert (again.value, again.attempt) == ("1", 2) and first.ack() is False and again.ack() is True
        kinds = [(event.kind, event.new.metadata if event.kind == "returned" else None) for event in take(events, 7)]
        assert kinds[3:] == [("away", None), ("elected", None), ("returned", "new"), ("elected", None)]


def test_who_lost_its_session_does_not_drive_out_its_successor(endpoints, name):
    with ocelog.connect(endpoints, session_timeout=1) as client, ocelog.connect(endpoints) as other:
        member = client.group(name).join("ada")
        gone = threading.Event()
        listening = other.group(name).on_change(lambda event: gone.set() if event.kind == "away" else None)
        leave = stand_still(client, other, name)
        assert gone.wait(20)
        successor = other.group(name).join("ada")
        listening.close()
        leave.set()
        with pytest.raises((MachineError, MemberRemoved)):
            member.next(20)
        other.group(name).post("for the successor")
        assert successor.next(10).ack() is True


def take(events, count):
    return [events.next(20) for _ in range(count)]


def stand_still(client, other, name):
    """Have `client` not handle an event on the shard of `name`, which ends its session; until what is returned is set."""
    shard = client.group(name).resource.shard
    topic = next(topic for number in range(100) if client.topic(topic := f"{name}/{number}").resource.shard == shard)
    entered, leave = threading.Event(), threading.Event()

    def handle(event):
        entered.set()
        assert leave.wait(60)

    client.topic(topic).subscribe(handle)
    other.topic(topic).publish("an event that is not handled ends the session")
    assert entered.wait(20)
    return leave


# -- the command line ----------------------------------------------------------------------------------


def test_the_command_line(run_here, endpoints, name):
    """Who is there, messages that are waited for, and what a command makes of them."""
    assert run_here("group", "leader", name)[0] == 1
    assert run_here("group", "remove", name, "ada") == (1, "false\n")
    assert run_here("group", "send", name, "hello", "--to", "nobody")[0] == 1
    join = [sys.executable, "-P", "-m", "ocelog", "group", "join", name, "--id=ada", "--count=4", "--metadata=7"]
    script = 'read -r line || true; test "$OCELOG_MESSAGE" != bad && echo "$OCELOG_MESSAGE"'
    joined = subprocess.Popen(
        [*join, f"--endpoints={','.join(endpoints)}", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: '"ada"' in run_here("group", "members", name)[1])
        assert json.loads(run_here("group", "leader", name, "--json")[1])["id"] == "ada"
        assert run_here("group", "post", name, "first") == (0, "1\n")
        assert json.loads(run_here("group", "send", name, "second", "--json")[1]) == ["ada"]
        assert run_here("group", "request", name, "21", "--to", "ada", "--json") == (0, "21\n")
        assert run_here("group", "send", name, "bad", "--to", "ada")[0] == 1
        printed, _ = joined.communicate(timeout=60)
        assert (joined.returncode, printed) == (0, "first\nsecond\n")
    finally:
        joined.kill()
        joined.wait()
    (row,) = map(json.loads, run_here("group", "members", name)[1].splitlines())
    assert (row["id"], row["metadata"], row["present"]) == ("ada", 7, False)
    assert run_here("group", "remove", name, "ada") == (0, "true\n")
