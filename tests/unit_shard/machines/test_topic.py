"""The topic: who gets a message, and that none is kept."""

from __future__ import annotations

import pytest
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.topic import TopicMachine

from .test_queue import Driver


@pytest.fixture
def topic():
    driver = Driver(TopicMachine)
    driver.machine.restored = lambda: None
    yield driver
    assert not driver.live


def test_a_message_goes_to_who_listens_at_the_moment(topic):
    assert topic.run(1, "send", b"a") == 0
    topic.run(2, "listen", None)
    topic.run(3, "listen", None)
    assert topic.run(1, "send", b"b") == 2
    topic.run(2, "unlisten", None)
    assert topic.run(1, "send", b"c") == 1
    topic.end(3)
    assert topic.run(1, "send", b"d") == 0
    told = [(sessions, event[1][3]) for sessions, event in topic.told()]
    assert told == [([2, 3], b"b"), ([3], b"c")]
    assert topic.ask("size") == 0


def test_listeners_are_in_the_snapshot():
    machine, other = TopicMachine(), TopicMachine()
    machine.operations["listen"].function(machine, Commit(1, 0, 7))
    other.install(machine.snapshot())
    assert other.watches(7) and not other.watches(8)


@pytest.mark.parametrize(("name", "argument"), [("send", "text"), ("listen", b"a"), ("unlisten", b"a")])
def test_what_is_no_argument(topic, name, argument):
    with pytest.raises(TypeError):
        topic.run(1, name, argument)


def test_a_live_message_is_corruption():
    with pytest.raises(ValueError, match="never live"):
        TopicMachine.operations["send"].restoring(TopicMachine(), Commit(1, 0, 1), b"a")
