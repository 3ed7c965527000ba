"""Every checker of histories is shown right ones, about which it has to be silent, and wrong ones, which it has to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ocelog.bench.checker import MODELS
from ocelog.bench.checker import Operation as Checked
from ocelog.bench.checker.reading import read_lines
from ocelog.bench.consistency.__main__ import main
from ocelog.bench.consistency.check import check
from ocelog.bench.consistency.reads import goes_back
from ocelog.bench.consistency.records import (
    CAUSAL,
    FAILED,
    NEVER,
    RESYNC,
    SEQUENTIAL,
    UNKNOWN,
    Given,
    History,
    Listener,
    Operation,
)
from ocelog.bench.consistency.registers import keep, not_linearizable
from ocelog.bench.consistency.streams import answered_early, broken_streams, out_of_order
from ocelog.bench.consistency.timeline import Timeline


def op(name: str, value: Any = None, result: Any = None, at: tuple[int, int] = (0, 1), **fields: Any) -> Operation:
    """On key k of map m, by session 1, unless `fields` say otherwise."""
    defaults = {"client": "c", "session": 1, "number": at[0], "resource": "m", "key": "k"}
    return Operation(name=name, value=value, result=result, invoked=at[0], returned=at[1], **{**defaults, **fields})


def put(value: Any, previous: Any, at: tuple[int, int], **fields: Any) -> Operation:
    return op("put", value, previous, at, **fields)


def get(result: Any, at: tuple[int, int], **fields: Any) -> Operation:
    return op("get", None, result, at, **fields)


def lost(name: str, value: Any, began: int, **fields: Any) -> Operation:
    return op(name, value, None, (began, NEVER), outcome=UNKNOWN, **fields)


LINEAR = {
    "a put and a get": [put(1, None, (1, 2)), get(1, (3, 4))],
    "a get beside a put sees the old value": [put(1, None, (1, 9)), get(None, (2, 3)), get(1, (4, 5))],
    "two puts at once, in either order": [put(1, 2, (1, 5)), put(2, None, (1, 5)), get(1, (6, 7))],
    "an unknown put that never was": [lost("put", 1, 1), get(None, (2, 3))],
    "an unknown put that was": [lost("put", 1, 1), get(1, (2, 3)), put(2, 1, (4, 5))],
    "an unknown put that took effect much later": [lost("put", 1, 1), put(2, None, (2, 3)), get(1, (4, 5))],
    "an unknown remove": [put(1, None, (1, 2)), lost("remove", None, 3), get(1, (4, 5)), get(None, (6, 7))],
    "a failed put": [op("put", 1, None, (1, 2), outcome=FAILED), get(None, (3, 4))],
    "conditions": [
        op("put_if_absent", 1, None, (1, 2)),
        op("put_if_absent", 2, 1, (3, 4)),
        op("replace", 3, 1, (5, 6)),
        op("remove", None, 3, (7, 8)),
        op("replace", 4, None, (9, 10)),
        get(None, (11, 12)),
    ],
    "clear": [put(1, None, (1, 2)), op("clear", None, None, (3, 4), key=None), get(None, (5, 6))],
    "a counter": [op("add", 2, 2, (1, 2), key=None), op("add", 1, 3, (2, 5), key=None), get(2, (3, 4), key=None)],
    "an unknown add": [lost("add", 2, 1, key=None), op("add", 1, 3, (2, 3), key=None)],
    "a stale read that was asked for": [put(1, None, (1, 2)), get(None, (3, 4), level=SEQUENTIAL)],
}
NOT_LINEAR = {
    "a stale read": [put(1, None, (1, 2)), get(None, (3, 4))],
    "a bounded read that is stale": [put(1, None, (1, 2)), get(None, (3, 4), level="bounded")],
    "a read of what nobody wrote": [get(1, (1, 2))],
    "reads that go back": [put(1, None, (1, 9)), get(1, (2, 3)), get(None, (4, 5))],
    "a lost put": [put(1, None, (1, 2)), put(2, None, (3, 4))],
    "a failed put that was": [op("put", 1, None, (1, 2), outcome=FAILED), get(1, (3, 4))],
    "an unknown put that was twice": [
        lost("put", 1, 1),
        get(1, (2, 3)),
        op("remove", None, 1, (4, 5)),
        get(1, (6, 7)),
    ],
    "put_if_absent twice": [op("put_if_absent", 1, None, (1, 2)), op("put_if_absent", 2, None, (3, 4))],
    "a removed value": [put(1, None, (1, 2)), op("remove", None, 1, (3, 4)), get(1, (5, 6))],
    "clear forgot a key": [put(1, None, (1, 2)), op("clear", None, None, (3, 4), key=None), get(1, (5, 6))],
    "a lost add": [op("add", 2, 2, (1, 2), key=None), op("add", 1, 1, (3, 4), key=None)],
    "an add twice": [op("add", 2, 2, (1, 2), key=None), get(4, (3, 4), key=None)],
}


@pytest.mark.parametrize("story", LINEAR)
def test_a_linearizable_history_is_explained(story: str) -> None:
    assert not_linearizable(History(operations=LINEAR[story])) == []


@pytest.mark.parametrize("story", NOT_LINEAR)
def test_what_no_order_explains_is_found(story: str) -> None:
    assert len(not_linearizable(History(operations=NOT_LINEAR[story]))) == 1


def test_locks_queues_and_sets_are_judged_with_them() -> None:
    taken = [
        Checked("offer", (5,), None, call=1, returned=2, process="c", resource="line", model="queue"),
        Checked("poll", (), 5, call=3, returned=4, process="c", resource="line", model="queue"),
    ]
    assert not_linearizable(History(operations=LINEAR["a put and a get"], objects=taken)) == []
    (found,) = not_linearizable(History(operations=LINEAR["a put and a get"], objects=[*taken, taken[1]]))
    assert found.startswith("line is not linearizable: nothing explains poll() = 5 by c")


def test_a_history_is_kept_with_a_page_when_it_is_wrong(tmp_path: Path) -> None:
    assert keep(History(operations=LINEAR["clear"]), tmp_path / "right.jsonl") is None
    shown = keep(History(operations=NOT_LINEAR["a stale read"]), tmp_path / "wrong.jsonl")
    assert shown == tmp_path / "wrong.jsonl.html" and "nothing explains get" in shown.read_text()
    assert main(["--judge", str(tmp_path / "right.jsonl")]) == 0
    assert main(["--judge", str(tmp_path / "wrong.jsonl")]) == 1


# -- sequential and causal reads -----------------------------------------------------------------------

WRITES = [
    put(1, None, (1, 2), session=9, index=5),
    put(2, 1, (3, 4), session=9, index=7),
    put(8, None, (5, 6), session=9, index=9, key="other"),
]


def reads(*operations: Operation, listeners: list[Listener] | None = None) -> list[str]:
    history = History(operations=[*WRITES, *operations], listeners=listeners or [])
    return goes_back(history, Timeline(history))


def read(result: Any, at: tuple[int, int], level: str = SEQUENTIAL, **fields: Any) -> Operation:
    return get(result, at, level=level, **fields)


@pytest.mark.parametrize("level", [SEQUENTIAL, CAUSAL])
def test_reads_may_be_old_but_never_go_back(level: str) -> None:
    assert reads(read(None, (20, 21), level), read(1, (22, 23), level), read(2, (24, 25), level)) == []
    assert len(reads(read(2, (20, 21), level), read(1, (22, 23), level))) == 1
    assert len(reads(read(8, (20, 21), level, key="other"), read(1, (22, 23), level))) == 1
    assert reads(read(2, (20, 21), level), read(1, (22, 23), level, session=2)) == [], "another session may be behind"


def test_a_sequential_read_sees_the_commands_sent_before_it() -> None:
    own = put(3, 2, (20, 40), index=11)
    assert len(reads(own, read(2, (21, 22)))) == 1
    assert reads(own, read(3, (21, 22))) == []
    assert reads(own, read(2, (21, 22), CAUSAL)) == [], "which a causal one need not wait for"
    assert len(reads(own, read(2, (41, 42), CAUSAL))) == 1, "but it knows what it was told"


def test_a_read_sees_what_the_session_was_told_by_an_event() -> None:
    event = Given(session=1, index=7, kind="updated", key="k", old=1, new=2, received=20, handled=21)
    listener = Listener(client="c", resource="m", since=0, given=[event])
    assert len(reads(read(1, (22, 23), CAUSAL), listeners=[listener])) == 1
    assert reads(read(1, (19, 30), CAUSAL), listeners=[listener]) == [], "submitted before the event came"


def test_a_read_with_an_index_is_held_to_it() -> None:
    assert reads(read(1, (20, 21), index=6)) == []
    assert len(reads(read(1, (20, 21), index=7))) == 1
    assert len(reads(read(2, (20, 21), index=8), read(2, (22, 23), index=7))) == 1


def test_an_unknown_write_excuses_its_value_only() -> None:
    unknown = lost("put", 4, 10, session=9)
    assert reads(unknown, read(4, (20, 21)), read(2, (22, 23))) == []
    assert len(reads(unknown, read(6, (20, 21)))) == 1


# -- streams of events ---------------------------------------------------------------------------------


def event(index: int, kind: str, old: Any, new: Any, **fields: Any) -> Given:
    defaults = {"session": 1, "key": "k", "received": 10 * index, "handled": 10 * index + 1}
    return Given(index=index, kind=kind, old=old, new=new, **{**defaults, **fields})


FIRST, SECOND = event(5, "added", None, 1), event(7, "updated", 1, 2)
OTHER = event(9, "added", None, 8, key="other")


def listener(*given: Given, **fields: Any) -> Listener:
    return Listener(**{"client": "l", "resource": "m", "since": 3, "given": list(given), **fields})


def streams(*listeners: Listener, operations: list[Operation] | None = None) -> list[str]:
    history = History(operations=operations or WRITES, listeners=list(listeners))
    return broken_streams(history, Timeline(history))


RIGHT_STREAMS = {
    "everything": listener(FIRST, SECOND, OTHER, until=9),
    "the end is not there yet": listener(FIRST),
    "one key": listener(FIRST, SECOND, key="k", until=9),
    "from the middle": listener(SECOND, OTHER, since=5, until=9),
    "a resync": listener(FIRST, Given(session=2, index=8, kind=RESYNC), replace(OTHER, session=2), until=9),
    "a resync behind its events": listener(FIRST, SECOND, Given(session=1, index=7, kind=RESYNC), OTHER, until=9),
}
WRONG_STREAMS = {
    "a gap": listener(FIRST, OTHER),
    "the first is missing": listener(SECOND),
    "the last is missing": listener(FIRST, SECOND, until=9),
    "a repeat": listener(FIRST, FIRST),
    "wrong order": listener(SECOND, FIRST, since=6),
    "older than the listener": listener(FIRST, since=5),
    "another value": listener(replace(FIRST, new=3)),
    "another old value": listener(FIRST, replace(SECOND, old=4)),
    "a gap behind a resync": listener(Given(session=2, index=5, kind=RESYNC), OTHER),
    "repeated behind a resync": listener(Given(session=2, index=8, kind=RESYNC), SECOND),
}


@pytest.mark.parametrize("story", RIGHT_STREAMS)
def test_a_whole_stream_is_left_alone(story: str) -> None:
    assert streams(RIGHT_STREAMS[story]) == []


@pytest.mark.parametrize("story", WRONG_STREAMS)
def test_a_broken_stream_is_found(story: str) -> None:
    assert streams(WRONG_STREAMS[story]) != []


def test_what_one_listener_was_told_the_others_have_to_be_told_too() -> None:
    unknown = [put(1, None, (1, 2), index=5), lost("put", 2, 3)]
    assert streams(listener(FIRST, SECOND), listener(FIRST, SECOND, until=9), operations=unknown) == []
    assert len(streams(listener(FIRST, SECOND), listener(FIRST, until=9), operations=unknown)) == 1


def test_an_event_is_of_a_command() -> None:
    assert len(streams(listener(FIRST, SECOND, OTHER, event(11, "updated", 2, 12)))) == 1
    assert (
        streams(listener(FIRST, SECOND, OTHER, event(11, "updated", 2, 12)), operations=[*WRITES, lost("put", 12, 9)])
        == []
    )
    assert streams(listener(FIRST, SECOND, OTHER, event(11, "removed", 2, None))) != []
    cleared = event(11, "cleared", None, None, key=None)
    clear = op("clear", None, None, (70, 71), key=None, index=11)
    assert streams(listener(FIRST, SECOND, OTHER, cleared), operations=[*WRITES, clear]) == []
    assert streams(listener(FIRST, SECOND, OTHER, cleared)) != []


def test_no_event_is_made_of_what_changed_nothing() -> None:
    refused = op("put_if_absent", 3, 2, (5, 6), index=8)
    told = event(8, "added", None, 3)
    assert streams(listener(FIRST, SECOND, told), operations=[*WRITES[:2], refused]) != []


# -- settled -------------------------------------------------------------------------------------------


def settled(returned: int, *listeners: Listener, **fields: Any) -> list[str]:
    command = put(2, 1, (60, returned), index=7, **fields)
    return answered_early(History(operations=[command], listeners=list(listeners)))


def test_a_linearizable_command_returns_after_its_event_was_handled() -> None:
    assert settled(71, listener(SECOND)) == []
    assert len(settled(70, listener(SECOND))) == 1
    assert len(settled(90, listener(replace(SECOND, handled=NEVER)))) == 1
    assert len(settled(90, listener())) == 1, "it was never given the event at all"
    assert settled(70, listener(SECOND), level=SEQUENTIAL) == []


def test_nobody_waits_for_those_that_are_gone() -> None:
    assert settled(70, listener(SECOND, expired=[1])) == []
    assert settled(90, listener(since=7)) == [], "it began to listen later"
    assert settled(90, listener(closed=80)) == []
    assert len(settled(90, listener(closed=95))) == 1
    assert settled(90, listener(Given(session=2, index=8, kind=RESYNC))) == []
    assert settled(90, listener(key="other")) == []


# -- order, and the record of it all -------------------------------------------------------------------


def test_results_and_events_come_in_the_order_of_the_log() -> None:
    assert out_of_order([(4, "put"), (5, "put"), (5, "added"), (7, "updated")]) == []
    assert len(out_of_order([(5, "put"), (7, "updated"), (6, "put")])) == 1


def test_a_history_survives_being_written_down() -> None:
    failed = op("put", 4, None, (1, 2), outcome=FAILED)
    operations = [
        *WRITES,
        lost("put", 3, 9),
        failed,
        op("add", 2, 2, (1, 2), key=None, resource="n"),
        get(1, (5, 6), level=CAUSAL),
    ]
    taken = Checked("poll", (), 5, call=1, returned=2, process="c", resource="line", model="queue")
    history = History(operations=operations, listeners=[listener(FIRST, SECOND, expired=[4])], objects=[taken])
    again = History.of_lines(history.lines())
    assert (again.operations, again.listeners) == (history.operations, history.listeners)
    assert list(again.lines()) == list(history.lines())
    models = {name: made() for name, made in MODELS.items()}
    recorded = read_lines([line.encode() for line in history.lines()], "here", None, models)
    assert len(recorded.operations) == len(WRITES) + 3, "the checker of histories reads it too"
    assert (recorded.failed, recorded.weaker, recorded.others) == (1, 1, 1)
    with pytest.raises(ValueError, match="unknown field"):
        History.of_lines(['{"something": 1}'])


def test_everything_is_looked_at() -> None:
    fine = [replace(each, handled=each.index) for each in (FIRST, SECOND, OTHER)]
    assert check(History(operations=[replace(each, returned=9) for each in WRITES], listeners=[listener(*fine)])) == []
    stale = read(1, (50, 51), index=7)
    wrong = History(operations=[*WRITES, stale, get(None, (60, 61))], listeners=[listener(SECOND)])
    found = check(wrong)
    assert {text.split()[0] for text in found} >= {"m['k']", "a", "l", "c/9"}, found
