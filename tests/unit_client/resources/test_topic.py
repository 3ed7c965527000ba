"""The topic's handles and `ocelog topic`, operation by operation, against a real cluster."""

from __future__ import annotations

import threading

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, EventsPending

pytestmark = pytest.mark.system


def test_streams(client, name):
    topic = client.topic(name)
    assert topic.publish("nobody hears this") == 0
    with topic.events() as events:
        assert topic.size() == 1
        assert topic.publish({"title": "a"}) == 1
        assert topic.publish_and_wait(b"b") == 1
        first, second = events.next(10), events.next(10)
    assert (first.kind, first.message, first.new, second.message) == ("published", {"title": "a"}, {"title": "a"}, b"b")
    with pytest.raises(BadArgument):
        topic.publish(None)


def test_publish_and_wait_waits_for_every_callback(endpoints, name):
    with ocelog.connect(endpoints) as publisher, ocelog.connect(endpoints) as subscriber:
        gate, seen = threading.Event(), []

        def handle(event):
            gate.wait(20)
            seen.append(event.message)

        subscription = subscriber.topic(name).subscribe(handle)
        with pytest.raises(EventsPending) as pending:
            publisher.topic(name).publish_and_wait("a", timeout=0.5)
        assert pending.value.result == 1 and seen == []
        assert publisher.topic(name).publish("b") == 1  # does not wait
        gate.set()
        publisher.topic(name).publish_and_wait("c")
        assert seen == ["a", "b", "c"]
        subscription.close()
        publisher.topic(name).publish_and_wait("d")


def test_what_a_slow_stream_missed_is_told_without_a_state(client, name):
    topic = client.topic(name)
    with topic.events(buffer=2) as events:
        for number in range(5):
            topic.publish(number)
        while (event := events.next(10)).kind != "resync":
            pass
        assert event.state is None
        topic.publish("after")
        assert events.next(10).message == "after"


def test_command_line(run, name, endpoints):
    assert run("topic", "publish", name, "a") == (0, "0\n")
    with ocelog.connect(endpoints) as client, client.topic(name).events() as events:
        assert run("topic", "publish", name, '{"b": 1}') == (0, "1\n")
        assert run("topic", "publish-and-wait", name, "c", "--json") == (0, "1\n")
        assert [events.next(10).message, events.next(10).message] == [{"b": 1}, "c"]
