"""Who listens to what, without threads, loops or sockets: calls are answered by hand, in any order."""

from __future__ import annotations

import gc
import random
import time
from types import SimpleNamespace

import pytest
from ocelog.client.calls import ClientState, EventBatch, Resource, StateChange
from ocelog.client.changes import CounterEvent, MapEvent, Resync
from ocelog.client.listeners import HandlerListener, Phase, StreamListener
from ocelog.client.listening import Listening
from ocelog.client.protocol import errors
from ocelog.client.protocol.events import Event
from ocelog.client.protocol.values import encode_key, encode_value

MAP = 5


class Rig:
    """A `Listening`, the calls it made and the batches that were handled."""

    def __init__(self, *, recovers: bool = True) -> None:
        self.calls = []
        self.handled = []
        self.listening = Listening(self.calls.append, SimpleNamespace(deliver=None), 10.0, recovers=recovers)
        self.resource = Resource("users", "map", 0)
        self.resource.index = MAP
        self.index = 100

    def sent(self):
        """Names and arguments of the calls since the last time."""
        calls, self.calls[:] = list(self.calls), []
        return calls

    def answer(self, call, result=None, index=None, error=None):
        self.index += 1
        call.result, call.index, call.error = result, index or self.index, error
        self.listening.take(call)

    def stream(self, key=None, *, confirm=True, **limits):
        listener = StreamListener(key, lambda: None, **limits)
        self.listening.open(self.resource, MapEvent, listener, None)
        if confirm:
            (call,) = self.sent()
            self.answer(call)
        return listener

    def handler(self, key=None):
        heard, failed = [], []
        listener = HandlerListener(key, lambda event, pending: heard.append((event, pending)), failed.append)
        self.listening.open(self.resource, MapEvent, listener, None)
        (call,) = self.sent()
        self.answer(call)
        return listener, heard, failed

    def change(self, key="a", new=1, index=None, resource=MAP, kind="updated"):
        """One batch with one event."""
        fields = [kind, encode_key(key), None, None if new is None else encode_value(new)]
        return self.batch(Event(resource, "change", fields), index=index)

    def batch(self, *events, index=None, error=None):
        self.index = index or self.index + 1
        batch = EventBatch(0, 77, self.index, events, self.handled.append, error)
        self.listening.take(batch)
        return batch

    def expire(self):
        self.listening.take(StateChange(0, ClientState.EXPIRED, 77, "it was silent"))


def parts(calls):
    return [call.parts for call in calls]


def news(listener):
    """What the stream has now: the new values, and Resyncs as they are."""
    found = []
    while (event := listener.poll()) is not None:
        found.append(event if isinstance(event, Resync) else event.new)
    return found


@pytest.fixture
def rig():
    return Rig()


def test_a_stream_begins_after_the_index_of_its_own_listen_command(rig):
    first = rig.stream()
    second = rig.stream(confirm=False)
    (call,) = rig.sent()
    rig.change(new=1)
    rig.answer(call)
    rig.change(new=2, index=rig.index)
    rig.change(new=3)
    assert news(first) == [1, 2, 3]
    assert news(second) == [3]


def test_every_stream_sends_a_listen_and_only_the_last_of_a_key_an_unlisten(rig):
    key = encode_key("a")
    listeners = [rig.stream(confirm=False), rig.stream(confirm=False), rig.stream(key, confirm=False)]
    calls = rig.sent()
    assert parts(calls) == [("listen", None), ("listen", None), ("listen", key)]
    for call in calls:
        rig.answer(call)
    rig.listening.close(rig.resource, listeners[0])
    assert rig.sent() == []
    rig.listening.close(rig.resource, listeners[1])
    rig.listening.close(rig.resource, listeners[1])
    rig.listening.close(rig.resource, listeners[2])
    assert parts(rig.sent()) == [("unlisten", None), ("unlisten", key)]
    assert rig.change() in rig.handled


def test_a_key_gets_its_own_changes_and_what_concerns_all(rig):
    everything, one = rig.stream(), rig.stream(encode_key("a"))
    rig.change("a", 1)
    rig.change("b", 2)
    rig.batch(Event(MAP, "change", ["cleared", None, None, None]))
    assert news(everything) == [1, 2, None]
    assert news(one) == [1, None]


def test_a_batch_is_handled_once_everything_that_took_it_is_done(rig):
    rig.stream()
    batch = rig.change()
    assert rig.handled == [batch]
    _, heard, _ = rig.handler()
    _, other, _ = rig.handler()
    batch = rig.change()
    assert batch not in rig.handled
    rig.listening.release(heard[0][1])
    assert batch not in rig.handled
    rig.listening.release(other[0][1])
    assert rig.handled.count(batch) == 1


def test_events_of_nobody_count_as_handled(rig):
    batches = [rig.change(), rig.change(resource=6), rig.batch(Event(MAP, "something", 1))]
    rig.stream()
    batches += [rig.change(resource=6), rig.batch(Event(MAP, "something else", 1))]
    assert rig.handled == batches


@pytest.mark.parametrize(
    "value",
    [None, 1, [], ["updated"], ["exploded", b"", b"", b""], ["updated", 1, 2, 3], ["updated", "k", b"", None, 5]],
)
def test_in_place_of_an_event_that_is_none_listeners_get_the_state(rig, value, caplog):
    """Something happened, and leaving it out would be a gap that nobody is told of."""
    listener = rig.stream()
    handler, heard, _ = rig.handler()
    rig.change(new=0)
    batch = rig.batch(Event(MAP, "change", value), Event(MAP, "change", ["added", b"\xa1a", None, b"\x01"]))
    assert "cannot be used" in caplog.text
    (question,) = rig.sent()
    assert (question.listener, question.parts) == (handler, ("entries",))
    rig.answer(question, [[encode_key("a"), encode_value(1)]], index=batch.index)
    assert batch in rig.handled
    assert news(listener) == [0], "what came before"
    rig.listening.want(rig.resource, listener)
    (question,) = rig.sent()
    rig.answer(question, [[encode_key("a"), encode_value(1)]], index=batch.index)
    rig.change(new=2)
    resync, two = news(listener)
    assert (resync.state, resync.index, two) == ({"a": 1}, batch.index, 2)
    assert [getattr(event, "state", None) or event.new for event, _ in heard] == [0, {"a": 1}, 2]


def test_a_full_buffer_is_dropped_and_the_state_asked_for_when_somebody_comes(rig):
    listener = rig.stream(events_max=3)
    for number in range(5):
        assert rig.change(new=number) in rig.handled
    assert rig.sent() == []
    assert listener.poll() is None
    rig.listening.want(rig.resource, listener)
    (question,) = rig.sent()
    assert question.parts == ("entries",)
    assert question.is_query
    assert question.nested
    held = rig.change(new=5)
    rig.answer(question, [[encode_key("a"), encode_value(5)]], index=held.index)
    rig.change(new=6)
    resync, six = news(listener)
    assert (resync.state, resync.index, six) == ({"a": 5}, held.index, 6)


def test_events_that_overtook_the_answer_follow_the_resync(rig):
    listener = rig.stream(events_max=3)
    for number in range(4):
        rig.change(new=number)
    rig.listening.want(rig.resource, listener)
    (question,) = rig.sent()
    asked_at = rig.index
    rig.change(new="later")
    rig.answer(question, [], index=asked_at)
    assert [event if event == "later" else event.state for event in news(listener)] == [{}, "later"]


def test_what_is_too_much_while_the_state_is_asked_for_makes_it_asked_again(rig):
    listener = rig.stream(events_max=2)
    for number in range(3):
        rig.change(new=number)
    rig.listening.want(rig.resource, listener)
    (question,) = rig.sent()
    asked_at = rig.index
    for number in range(5):
        rig.change(new=number)
    rig.answer(question, [], index=asked_at)
    assert listener.poll() is None
    (again,) = rig.sent()
    rig.answer(again, [[encode_key("a"), encode_value(4)]])
    (resync,) = news(listener)
    assert resync.state == {"a": 4}


def test_a_buffer_is_bounded_in_bytes_too(rig):
    listener = rig.stream(bytes_max=1000)
    rig.change(new="x" * 2000)
    assert news(listener) == ["x" * 2000]
    rig.change(new="x" * 300)
    rig.change(new="x" * 300)
    assert listener.phase is Phase.FLOWING
    rig.change(new="x" * 300)
    assert listener.phase is Phase.LOST


def test_the_state_of_one_key_is_asked_for_alone(rig):
    key = encode_key("a")
    listener = rig.stream(key, events_max=1)
    rig.change(new=1)
    rig.change(new=2)
    rig.listening.want(rig.resource, listener)
    (question,) = rig.sent()
    assert question.parts == ("get", key)
    rig.answer(question, encode_value(2))
    (resync,) = news(listener)
    assert resync.state == {"a": 2}


def test_a_state_too_large_for_one_answer_is_left_to_the_consumer(rig):
    listener = rig.stream(events_max=1)
    rig.change()
    rig.change()
    rig.listening.want(rig.resource, listener)
    (question,) = rig.sent()
    rig.answer(question, error=errors.Refused(errors.TOO_LARGE, "too large"))
    (size,) = rig.sent()
    assert size.parts == ("size",)
    rig.answer(size, 10**6, index=500)
    (resync,) = news(listener)
    assert (resync.state, resync.index) == (None, 500)


def test_after_the_session_ended_it_listens_again_and_then_tells_the_state(rig):
    stream = rig.stream()
    handler, heard, _ = rig.handler()
    rig.change(new=1)
    rig.expire()
    (listen,) = rig.sent()
    assert listen.parts == ("listen", None)
    rig.change(new="of the old session, late")
    rig.answer(listen)
    (question,) = rig.sent()
    assert question.listener is handler  # nobody waits for the stream yet
    rig.answer(question, [[encode_key("a"), encode_value(7)]])
    rig.change(new=8)
    assert [getattr(event, "state", None) or event.new for event, _ in heard] == [1, {"a": 7}, 8]
    assert news(stream) == [1]
    rig.listening.want(rig.resource, stream)
    (question,) = rig.sent()
    rig.answer(question, [[encode_key("a"), encode_value(8)]])
    rig.change(new=9)
    resync, nine = news(stream)
    assert (resync.state, nine) == ({"a": 8}, 9)


def test_the_state_is_not_asked_for_before_the_shard_has_confirmed_the_listening(rig):
    stream = rig.stream()
    rig.expire()
    (listen,) = rig.sent()
    rig.listening.want(rig.resource, stream)
    assert rig.sent() == []
    rig.answer(listen)
    assert parts(rig.sent()) == [("entries",)]


@pytest.mark.parametrize("error", [errors.DeadlineExceeded, errors.OutcomeUnknown, errors.SessionExpired])
def test_listening_again_is_repeated_until_it_works(rig, error):
    stream = rig.stream()
    rig.expire()
    for _ in range(3):
        (listen,) = rig.sent()
        rig.answer(listen, error=error("not now"))
    (listen,) = rig.sent()
    rig.answer(listen)
    assert stream.phase is Phase.LOST


def test_answers_of_an_older_session_count_for_nothing(rig):
    stream = rig.stream()
    rig.expire()
    (first,) = rig.sent()
    rig.listening.want(rig.resource, stream)
    rig.answer(first)
    (question,) = rig.sent()
    rig.expire()
    (second,) = rig.sent()
    rig.answer(question, [], index=rig.index)
    assert stream.poll() is None
    rig.listening.want(rig.resource, stream)
    rig.answer(second)
    (again,) = rig.sent()
    assert again.parts == ("entries",)
    rig.answer(question, [], index=rig.index)
    assert stream.poll() is None
    rig.answer(again, [], index=rig.index)
    assert stream.poll().kind == "resync"


def test_an_older_sessions_listening_is_not_taken_for_the_new_ones(rig):
    stream = rig.stream()
    rig.expire()
    (first,) = rig.sent()
    rig.expire()
    (second,) = rig.sent()
    rig.answer(first)
    rig.listening.want(rig.resource, stream)
    assert rig.sent() == []
    rig.answer(second)
    assert parts(rig.sent()) == [("entries",)]


def test_held_events_are_released_when_the_session_ends_once_more(rig):
    _, heard, _ = rig.handler()
    rig.expire()
    rig.answer(rig.sent()[0])
    batch = rig.change()
    assert batch not in rig.handled
    rig.expire()
    assert (batch in rig.handled, heard) == (True, [])


def test_a_listening_that_is_refused_ends_with_that_error(rig):
    stream = rig.stream()
    _, _, failed = rig.handler()
    rig.expire()
    (listen,) = rig.sent()
    error = errors.Refused(errors.UNKNOWN_OPERATION, "no")
    rig.answer(listen, error=error)
    assert (stream.phase, stream.error, failed) == (Phase.ENDED, error, [error])
    assert not any(call.is_query for call in rig.sent())


def test_without_recovery_the_end_of_the_session_is_the_end_of_its_streams():
    rig = Rig(recovers=False)
    stream = rig.stream()
    _, heard, failed = rig.handler()
    rig.change(new=1)
    rig.expire()
    assert rig.sent() == []
    assert isinstance(stream.error, errors.SessionExpired)
    assert isinstance(failed[0], errors.SessionExpired)
    assert news(stream) == [1]
    assert len(heard) == 1


def test_another_shards_session_is_none_of_ours(rig):
    stream = rig.stream()
    rig.listening.take(StateChange(1, ClientState.EXPIRED, 9, "it was silent"))
    rig.listening.take(StateChange(0, ClientState.SUSPENDED, 77, "no router"))
    assert (stream.phase, rig.sent()) == (Phase.FLOWING, [])


def test_a_batch_that_cannot_be_read_breaks_continuity(rig):
    stream = rig.stream()
    _, heard, _ = rig.handler()
    batch = rig.batch(error=ValueError("no msgpack"))
    assert batch in rig.handled
    assert stream.phase is Phase.LOST
    (question,) = rig.sent()
    rig.answer(question, [])
    assert isinstance(heard[0][0], Resync)


def test_an_opening_that_fails_leaves_nothing_listening(rig):
    listener = StreamListener(None, lambda: None)
    told = []
    rig.listening.open(rig.resource, MapEvent, listener, told.append)
    (call,) = rig.sent()
    rig.answer(call, error=errors.OutcomeUnknown("perhaps"))
    assert told == [call]
    assert listener.phase is Phase.ENDED
    assert parts(rig.sent()) == [("unlisten", None)]  # it may have been applied


def test_an_opening_that_was_surely_not_applied_is_not_taken_back(rig):
    listener = rig.stream(confirm=False)
    (call,) = rig.sent()
    rig.answer(call, error=errors.DeadlineExceeded("never sent"))
    assert (listener.phase, rig.sent()) == (Phase.ENDED, [])


def test_a_listener_that_was_closed_while_it_opened_takes_nothing_and_is_taken_back(rig):
    rig.resource.index = None  # not even the resource is open
    listener = rig.stream(confirm=False)
    (call,) = rig.sent()
    rig.listening.close(rig.resource, listener)
    assert parts(rig.sent()) == [("unlisten", None)]
    rig.resource.index = MAP
    rig.answer(call)
    rig.change()
    assert listener.poll() is None


def test_held_events_are_released_when_their_listener_is_closed(rig):
    listener, _, _ = rig.handler()
    rig.expire()
    (listen,) = rig.sent()
    rig.answer(listen)
    batch = rig.change()
    assert batch not in rig.handled
    rig.listening.close(rig.resource, listener)
    assert batch in rig.handled


def test_a_forgotten_listener_is_closed_at_the_next_opportunity(rig):
    listener = rig.stream()
    rig.listening.abandon(rig.resource, listener)
    assert rig.sent() == []
    rig.change()
    assert parts(rig.sent()) == [("unlisten", None)]
    assert listener.phase is Phase.ENDED


def test_after_the_end_of_the_client_nothing_is_sent(rig):
    stream = rig.stream()
    rig.listening.end()
    assert (stream.phase, stream.error) == (Phase.ENDED, None)
    rig.listening.close(rig.resource, stream)
    assert rig.sent() == []
    assert rig.change() in rig.handled


def test_counters_tell_numbers(rig):
    listener = StreamListener(None, lambda: None)
    rig.resource = Resource("hits", "counter", 0)
    rig.resource.index = 9
    rig.listening.open(rig.resource, CounterEvent, listener, None)
    rig.answer(rig.sent()[0])
    rig.batch(Event(9, "change", ["changed", None, 1, 2]))
    event = listener.poll()
    assert (event.kind, event.key, event.old, event.new, event.index) == ("changed", None, 1, 2, rig.index)


def test_ten_thousand_events_to_a_stream_that_is_read_and_one_that_is_not(rig):
    read, unread = rig.stream(), rig.stream()
    seen = []
    started = time.perf_counter()
    for number in range(10_000):
        rig.change(new=number)
        seen += news(read)
    assert time.perf_counter() - started < 10
    assert seen == list(range(10_000))
    assert len(unread.buffer) <= 1024
    assert len(rig.handled) == 10_000


def test_whatever_happens_a_stream_never_skips_repeats_or_goes_back(rig):
    """Random losses, expiries, slow consumers and overtaking answers: what a stream tells always adds up to the state."""
    for seed in range(200):
        _story(random.Random(seed))


def _story(dice):
    rig = Rig()
    truth = {}  # what the map holds
    states = {}  # the map by index
    stream = rig.stream(events_max=dice.randint(1, 6))
    seen, last = None, 0
    listening = True
    for _ in range(200):
        chance = dice.random()
        if chance < 0.5:
            key, value = dice.choice("abc"), dice.randint(0, 99)
            truth[key] = value
            if listening:
                rig.change(key, value)
            else:
                rig.index += 1
            states[rig.index] = dict(truth)
        elif chance < 0.55:
            rig.expire()
            listening = False
        elif chance < 0.75 and rig.calls:
            call = rig.calls.pop(0)
            if call.parts[0] == "listen":
                error = errors.DeadlineExceeded("late") if dice.random() < 0.3 else None
                listening = listening or error is None
                rig.answer(call, error=error)
            elif dice.random() < 0.2:
                rig.answer(call, error=errors.DeadlineExceeded("late"))
            else:  # answered at an index of the past or of now
                entries = [[encode_key(key), encode_value(value)] for key, value in truth.items()]
                rig.index += 1
                states[rig.index] = dict(truth)
                index, answer = rig.index, entries
                for _ in range(dice.randint(0, 2)):
                    truth["b"] = dice.randint(100, 199)
                    if listening:
                        rig.change("b", truth["b"])
                    else:
                        rig.index += 1
                    states[rig.index] = dict(truth)
                call.result, call.index = answer, index
                rig.listening.take(call)
        else:
            event = stream.poll()
            if event is None:
                rig.listening.want(rig.resource, stream)
                continue
            assert event.index > last
            last = event.index
            if isinstance(event, Resync):
                seen = dict(event.state)
            elif seen is not None:
                seen[event.key] = event.new
            if seen is not None:
                assert seen == states[event.index]


def test_events_are_frozen_and_equal_by_what_they_say():
    one, two = (MapEvent(["added", b"\xa1a", None, b"\x01"], 7) for _ in range(2))
    assert (one, hash(one)) == (two, hash(two))
    assert one != MapEvent(["added", b"\xa1a", None, b"\x01"], 8)
    assert repr(one) == "MapEvent(kind='added', key='a', new=1, index=7)"
    assert one.as_dict() == {"kind": "added", "key": "a", "old": None, "new": 1, "index": 7}
    for event in (one, Resync({}, 3)):
        with pytest.raises(AttributeError, match="frozen"):
            event.index = 9
        with pytest.raises(AttributeError):
            event.kind = "removed"


def test_an_event_decodes_only_what_is_looked_at():
    event = MapEvent(["updated", b"\xa1a", b"\xc1", b"\x01"], 7)
    assert (event.kind, event.key, event.new) == ("updated", "a", 1)
    with pytest.raises(errors.OcelogError, match="no value"):
        _ = event.old


def test_listening_keeps_nothing_alive_that_is_gone(rig):
    for _ in range(100):
        rig.listening.close(rig.resource, rig.stream())
        rig.sent()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, StreamListener)]
