"""Receipts: where the time of a traced message went; nothing of it when nobody asks."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors, frames
from ocelog.shard.receipts import Receipts

from .hall import WRITER, Hall


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hall(kit, clock):
    return Hall(kit, clock=clock)


def send(hall, flags=frames.TRACED, **fields):
    """One traced command, not logged yet."""
    hall.sequence += 1
    operation = hall.kit.operation(hall.speaker, "say", hall.listeners, 1, 1)
    fields = {"flags": flags} | fields
    return hall.desk.commands(hall.writer, hall.sequence, operation, key=WRITER, **fields)


def receipts(answers):
    return [msgpack.unpackb(answer.body) for answer in answers if answer.kind == frames.RECEIPT]


def test_a_receipt_comes_right_before_the_results(hall):
    """With the same request, and the sequence that the results begin with."""
    request = send(hall)
    answers = hall.desk.turn()
    assert [answer.kind for answer in answers] == [frames.RECEIPT, frames.RESULTS, frames.EVENTS]
    assert [answer.reply.request for answer in answers[:2]] == [request, request]
    assert answers[0].reply.first_sequence == answers[1].reply.first_sequence == hall.sequence
    (fields,) = receipts(answers)
    assert (fields["index"], fields["replica"], fields["path"]) == (len(hall.desk.log), 0, "log")
    assert fields["term"] == answers[0].reply.term


def test_each_step_is_measured(hall, clock):
    """Queued until it is in the log; synced and replicated from there; applied from the commit to the answer."""
    send(hall)
    clock.now += 0.001
    hall.desk.committing = False
    hall.desk.turn()
    clock.now += 0.002
    end = len(hall.desk.log)
    hall.desk.leadership.receipts.moved(end, end - 1)
    clock.now += 0.003
    hall.desk.leadership.receipts.moved(end, end)
    clock.now += 0.004
    hall.desk.committing = True
    (fields,) = receipts(hall.desk.turn())
    assert {step: fields[step] for step in ("queued", "synced", "replicated", "applied")} == {
        "queued": 1000,
        "synced": 2000,
        "replicated": 5000,
        "applied": 4000,
    }


def test_a_step_that_is_not_over_is_not_named(hall):
    """A majority may be durable before the leader's own disk is."""
    send(hall)
    hall.desk.committing = False
    hall.desk.turn()
    end = len(hall.desk.log)
    hall.desk.leadership.receipts.moved(end - 1, end)
    hall.desk.committing = True
    (fields,) = receipts(hall.desk.turn())
    assert "synced" not in fields
    assert "replicated" in fields


def test_a_repetition_gets_a_receipt_without_times(hall):
    """Its command was logged long ago; index and path are known."""
    send(hall)
    hall.desk.turn()
    index = len(hall.desk.log)
    hall.sequence -= 1
    send(hall)
    (fields,) = receipts(hall.desk.turn())
    assert fields == {"index": index, "term": fields["term"], "replica": 0, "path": "log"}


def test_who_does_not_ask_gets_none_and_costs_nothing(hall, monkeypatch):
    """Not a look at the clock."""
    monkeypatch.setattr(Receipts, "begin", None)
    monkeypatch.setattr(Receipts, "appended", None)
    monkeypatch.setattr(Receipts, "send", None)
    send(hall, flags=0)
    answers = hall.desk.turn()
    assert receipts(answers) == []
    assert [answer.kind for answer in answers] == [frames.RESULTS, frames.EVENTS]


def test_a_full_disk_leaves_no_trace(hall):
    """What was not logged is not measured; the repetition is."""
    hall.desk.full = True
    send(hall)
    assert [answer.code for answer in hall.desk.turn()] == [errors.NO_SPACE]
    assert hall.desk.leadership.receipts.open == []
    hall.desk.full = False
    hall.sequence -= 1
    send(hall)
    (fields,) = receipts(hall.desk.turn())
    assert "queued" in fields


def test_traces_do_not_pile_up(hall):
    """One that was answered before its leader's disk was done is dropped when that is known."""
    for _ in range(10):
        send(hall)
        hall.desk.turn()
        hall.desk.leadership.receipts.moved(len(hall.desk.log), len(hall.desk.log))
    assert hall.desk.leadership.receipts.open == []


def test_a_query_is_queued_until_it_may_run(hall, clock):
    """Here until the round that it waits for is confirmed."""
    desk = hall.desk
    desk.query(
        hall.writer,
        hall.kit.operation(hall.speaker, "get"),
        after=hall.sequence,
        flags=frames.TRACED,
        level=frames.LINEARIZABLE,
        key=WRITER,
    )
    clock.now += 0.003
    (fields,) = receipts(desk.turn())
    assert fields["path"] == "read index"
    assert (fields["queued"], fields["applied"]) == (3000, 0)
    assert not {"synced", "replicated"} & fields.keys()


def test_queries_say_by_which_path_they_ran(kit):
    """A confirmed read index or a lease; local ones are answered by another part, in the same way."""
    desk = kit.Desk()
    session = desk.register()
    toy = desk.open(session, 1, "counter")
    paths = []
    for level, lease in [(frames.LINEARIZABLE, False), (frames.BOUNDED_LINEARIZABLE, True)]:
        desk.query(session, kit.operation(toy, "get"), after=1, flags=frames.TRACED, level=level)
        if lease:
            desk.leadership.reads.decide_by_lease(True)
        receipt, answer = desk.turn()
        assert (receipt.kind, answer.kind) == (frames.RECEIPT, frames.ANSWERS)
        assert receipt.reply.request == answer.reply.request
        fields = msgpack.unpackb(receipt.body)
        assert fields["index"] == answer.reply.index
        paths.append(fields["path"])
    assert paths == ["read index", "lease"]
