"""How a worker takes tasks, without threads or sockets: from before it knows that it is subscribed, and over lost sessions."""

from __future__ import annotations

from types import SimpleNamespace

import msgpack
import pytest
from ocelog.client.calls import ClientState, EventBatch, Resource, StateChange
from ocelog.client.listening import Listening
from ocelog.client.protocol.events import Event
from ocelog.client.queue_changes import TaskEvent
from ocelog.client.workers import WorkerListener

KEY = msgpack.packb([7, 2])


class Rig:
    """One worker, the calls made for it, and what it was handed."""

    def __init__(self) -> None:
        self.calls: list = []
        self.handled: list = []
        self.listening = Listening(self.calls.append, SimpleNamespace(deliver=None), 10.0)
        self.resource = Resource("mails", "task_queue", 0)
        self.resource.index = 5
        self.worker = WorkerListener(KEY, lambda: None)
        self.listening.open(self.resource, TaskEvent, self.worker, None)

    def sent(self):
        calls, self.calls[:] = list(self.calls), []
        return calls

    def answer(self, call, index, result=None):
        call.index, call.result = index, result
        self.listening.take(call)

    def hand(self, task, batch, attempt=1, worker=KEY):
        event = Event(5, "change", ["task", worker, None, [task, attempt, b"\x01"]])
        self.listening.take(EventBatch(0, 77, batch, (event,), self.handled.append))

    def taken(self):
        found = []
        while (event := self.worker.poll()) is not None:
            found.append(event.task[:2])
        return found


@pytest.fixture
def rig():
    return Rig()


def test_it_subscribes_by_name_and_capacity_and_takes_what_its_own_command_published(rig):
    (call,) = rig.sent()
    assert call.parts == ("subscribe", KEY, 2)
    rig.answer(call, 100)
    rig.hand(40, 100)
    rig.hand(41, 101, worker=b"another")
    rig.hand(42, 101)
    assert rig.taken() == [(40, 1), (42, 1)]
    assert len(rig.handled) == 3
    rig.listening.close(rig.resource, rig.worker)
    assert [call.parts for call in rig.sent()] == [("unsubscribe", KEY)]


def test_what_was_not_begun_with_is_dropped_with_the_session_and_no_task_of_the_next_is_missed(rig):
    rig.answer(*rig.sent(), 100)
    rig.hand(40, 101)
    rig.hand(41, 102)
    assert rig.worker.poll().task[:2] == (40, 1)
    rig.listening.take(StateChange(0, ClientState.EXPIRED, 77, "it was silent"))
    assert rig.taken() == [], "the shard took 41 back, and hands it out again"
    rig.listening.want(rig.resource, rig.worker)
    (call,) = rig.sent()
    assert call.parts == ("subscribe", KEY, 2)
    rig.answer(call, 200)
    rig.hand(40, 200, attempt=2)
    (question,) = rig.sent()
    rig.hand(41, 201, attempt=2)
    rig.answer(question, 202, 2)
    rig.hand(43, 203)
    assert rig.taken() == [(40, 2), (41, 2), (43, 1)]
