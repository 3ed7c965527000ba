"""A leader to whom several sessions send looks once more before it logs what came; nobody else waits."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import frames, operations
from ocelog.shard.company import SESSIONS_MIN, Company

from .trio import Trio


@pytest.fixture
def trio(tmp_path):
    return Trio(tmp_path)


def counted(sessions: int) -> Company:
    company = Company()
    for session in range(sessions):
        company.sent(session)
        company.sent(session)
    company.tick()
    return company


@pytest.mark.parametrize(
    ("sessions", "records", "wanted"),
    [
        (SESSIONS_MIN - 1, 1, False),
        (SESSIONS_MIN, 0, False),
        (SESSIONS_MIN, 1, True),
        (SESSIONS_MIN, SESSIONS_MIN, False),
        (100, 99, True),
        (100, 100, False),
        (100, 500, False),
    ],
)
def test_company_is_wanted_when_not_all_of_those_that_send_may_have_come(sessions, records, wanted):
    assert counted(sessions).wanted(records) is wanted


def test_who_has_stopped_sending_is_waited_for_no_more():
    company = counted(100)
    assert company.wanted(1)
    company.tick()
    assert not company.wanted(1)


class Several:
    """Sessions of a trio; each sends one command when it is told to."""

    def __init__(self, trio, count):
        self.trio = trio
        self.leader = trio.elect()
        self.replica = trio.replicas[self.leader]
        self.sessions = []
        self.sequences = [1] * count
        for number in range(count):
            body = msgpack.packb(["tester", 30_000])
            reply, _ = trio.ask(self.leader, frames.REGISTER, body, key=bytes([number + 1]) * 16)
            self.sessions.append(reply.session)
        trio.run(6)

    def send(self, *numbers):
        """A command of these sessions, not logged before the trio runs on."""
        for number in numbers:
            body = frames.pack_parts([operations.encode([operations.SHARD, operations.OPEN, "it", "map"])])
            fields = {
                "session": self.sessions[number],
                "key": bytes([number + 1]) * 16,
                "first": self.sequences[number],
            }
            self.trio.send(self.leader, frames.COMMAND, body, count=1, **fields)
            self.sequences[number] += 1

    def run(self):
        """Long enough for one tick, and for what was sent to be logged."""
        self.trio.run(2)


def test_a_leader_waits_for_company_only_while_several_sessions_send(trio):
    several = Several(trio, SESSIONS_MIN)
    several.send(0)
    several.run()
    several.send(0)
    assert not several.replica.wants_company, "one session alone is not kept waiting"
    several.send(*range(1, SESSIONS_MIN))
    several.run()
    assert not several.replica.wants_company, "nothing is to be logged"
    several.send(2)
    assert several.replica.wants_company
    several.send(*(number for number in range(SESSIONS_MIN) if number != 2))
    assert not several.replica.wants_company, "all of them are there"


def test_a_follower_waits_for_nobody(trio):
    leader = trio.elect()
    assert not any(trio.replicas[member].wants_company for member in range(3) if member != leader)
