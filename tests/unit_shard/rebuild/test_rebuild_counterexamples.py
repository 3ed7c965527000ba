"""The histories behind the rules: each broke an earlier idea of how a log may be cleaned.

`rebuilt` removes from the log all that is dead at the snapshot and starts a replica from the rest, at the end of the history
and, where a story goes on, before its last steps.
"""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from ocelog.shard.errors import StateMismatch
from ocelog.shard.machines.base import RELEASE, Commit, StateMachine, command
from ocelog.shard.machines.map import MapMachine
from ocelog.shard.machines.registry import registry

from .histories import AuditedExecutor, History, Step, compacted, facts_of
from .machines import MACHINES


def rebuilt(history: History, *afterwards: Step, gone: Any = None) -> AuditedExecutor:
    """The state out of what is left, equal now and after some more; returns the replica as it was before that."""
    snapshot = history.snapshot()
    log = compacted(history.log, snapshot, history.log if gone is None else gone)
    executor = snapshot.rebuild(log, machines=history.executor.machines)
    assert facts_of(executor) == snapshot.facts
    executor.audit()
    history.run(afterwards)
    later = history.apply_rest(snapshot.rebuild(log, machines=history.executor.machines))
    assert facts_of(later) == history.facts()
    return executor


def machine_of(executor: AuditedExecutor, name: str) -> Any:
    """The machine of a resource."""
    return executor.by_name[name].machine


def result_of(executor: AuditedExecutor, index: int) -> Any:
    """The pending result of the entry at `index`."""
    (found,) = [result for s in executor.sessions for at, result in s.results.values() if at == index]
    return msgpack.unpackb(found[1:])


def test_a_replace_whose_predecessor_is_gone() -> None:
    """Re-executed, it finds nothing to replace; its entry is live, so its condition was met."""
    history = History().run(
        [("command", 0, "map", "put", b"a", b"1"), ("command", 0, "map", "replace", b"a", b"2")],
    )
    executor = rebuilt(history, ("command", 1, "map", "replace", b"a", b"3"))
    assert history.last_index - 1 in executor.owners
    assert machine_of(executor, "map").live[b"a"][1] == b"2"


def test_a_conditional_replace_whose_expected_value_is_gone() -> None:
    """The same where the condition is a value."""
    history = History().run(
        [("command", 0, "keyed", "put", "a", 1), ("command", 0, "keyed", "replace", "a", 1, 2)],
    )
    executor = rebuilt(history, ("command", 1, "keyed", "replace", "a", 2, 0))
    assert machine_of(executor, "keyed").entries["a"].value == 2


def test_a_refused_put_if_absent_beside_an_expired_key() -> None:
    """The key that stood in its way has expired and is gone: re-executed, the refused command would take effect."""
    history = History().run(
        [
            ("command", 0, "keyed", "put_for", "a", 1, 2),
            ("wait", 1),
            ("command", 0, "keyed", "put_if_absent", "a", 2),
            ("wait", 5),
            ("noop",),
        ]
    )
    executor = rebuilt(history, ("command", 1, "keyed", "put_if_absent", "a", 0))
    assert machine_of(executor, "keyed").entries == {}
    assert not executor.owners


def test_a_repeated_command() -> None:
    """A repetition in the log is released by the framework; live, it would be restored after what has overwritten it."""
    history = History().run(
        [
            ("command", 0, "map", "put", b"a", b"1"),
            ("again",),
            ("command", 1, "map", "put", b"a", b"2"),
            ("command", 0, "map", "put", b"b", b"3"),
            ("again",),
        ]
    )
    executor = rebuilt(history, ("again",), ("command", 0, "map", "remove", b"a"))
    assert len(executor.owners) == 2
    assert machine_of(executor, "map").live[b"a"][1] == b"2"


@pytest.mark.parametrize("end", ["close", "expire"])
def test_an_ephemeral_keys_end(end: str) -> None:
    """It goes with its session, by no command's hand; the entry that ended the session need not stay for it."""
    history = History().run(
        [
            ("command", 1, "keyed", "put_ephemeral", "a", 1),
            ("command", 1, "keyed", "put_ephemeral", "b", 2),
            ("command", 0, "keyed", "put", "b", 3),
            (end, 1),
        ]
    )
    executor = rebuilt(history, ("command", 0, "keyed", "put_if_absent", "a", 0))
    assert list(machine_of(executor, "keyed").entries) == ["b"]


def test_an_ephemeral_key_ends_after_the_rebuild_too() -> None:
    """Whose key it is comes back with its entry."""
    history = History().run([("command", 1, "keyed", "put_ephemeral", "a", 1)])
    assert machine_of(rebuilt(history, ("close", 1)), "keyed").entries
    assert machine_of(history.executor, "keyed").entries == {}


def test_a_put_of_several_keys_partly_removed() -> None:
    """It is SNAPSHOT: what is left of it is in the snapshot, between the keys that are in live entries, in their order."""
    history = History().run(
        [
            ("command", 0, "keyed", "put", "c", 0),
            ("command", 0, "keyed", "put_both", "a", 1, "b", 2),
            ("command", 0, "keyed", "put", "d", 0),
            ("command", 0, "keyed", "remove", "a"),
        ]
    )
    executor = rebuilt(history, ("command", 1, "keyed", "clear"))
    assert list(machine_of(executor, "keyed").entries) == ["c", "b", "d"]


class Pairs(StateMachine):
    """Writes two keys with a RELEASE command, and releases its entry once neither is its own: what the rules forbid."""

    type_name = "pairs"

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, int] = {}

    def _unset(self, key: str) -> None:
        index = self.entries.pop(key)
        if index not in self.entries.values():
            self.release(index)

    @command(mode=RELEASE)
    def put_two(self, commit: Commit, one: str, two: str) -> None:
        for key in (one, two):
            if key in self.entries:
                self._unset(key)
            self.entries[key] = commit.index

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> None:
        self._unset(key)
        self.release(commit.index)


def test_why_a_put_of_several_keys_is_not_a_release_command() -> None:
    """A half-obsolete entry brings its dead half back."""
    history = History(("pairs",), machines=registry([Pairs]))
    history.run([("command", 0, "pairs", "put_two", "a", "b"), ("command", 0, "pairs", "remove", "a")])
    executor = history.snapshot().rebuild(history.log, machines=history.executor.machines)
    assert list(machine_of(history.executor, "pairs").entries) == ["b"]
    assert list(machine_of(executor, "pairs").entries) == ["a", "b"]


def test_timers_of_equal_due_time() -> None:
    """They fire by the index that armed them and their number within it, wherever each was kept meanwhile."""
    history = History().run(
        [
            ("command", 0, "alarm", "remind", 4, "first, in a live entry"),
            ("command", 0, "alarm", "later", 4, "second, in the snapshot", "third"),
            ("command", 1, "alarm", "remind", 4, "fourth"),
            ("wait", 1),
            ("command", 1, "alarm", "later", 3, "fifth"),
        ]
    )
    rebuilt(history, ("wait", 3), ("noop",))
    words = [told[2] for told in machine_of(history.executor, "alarm").told]
    assert words == ["first, in a live entry", "second, in the snapshot", "third", "fourth", "fifth"]


def test_a_timer_that_has_fired_does_not_fire_again() -> None:
    """Of three timers of one live entry two have fired: restoring arms the third only, under its own number."""
    history = History().run([("command", 0, "alarm", "nag", 2, "x"), ("wait", 2), ("noop",)])
    assert len(machine_of(history.executor, "alarm").told) == 2
    executor = rebuilt(history, ("wait", 2), ("noop",))
    assert [timer.number for timer in executor.timers.owned()] == [0]
    assert len(machine_of(history.executor, "alarm").told) == 3


def test_the_timers_of_a_released_entry_are_dropped() -> None:
    """A replica that starts without the entry cannot arm them, so they may not fire on any other either."""
    history = History().run(
        [
            ("command", 0, "alarm", "nag", 2, "x"),
            ("command", 0, "alarm", "pointless", 1),
            ("command", 0, "alarm", "forget"),
        ]
    )
    assert history.executor.timers.next_due is None
    rebuilt(history, ("wait", 9), ("noop",))
    assert machine_of(history.executor, "alarm").told == []


def test_timers_that_timers_and_listeners_armed() -> None:
    """Nobody's entry owns them: they are in the snapshot, and numbered behind the timers of the entry at their index."""
    history = History().run(
        [
            ("command", 0, "alarm", "repeat", 1, 3),
            ("wait", 1),
            ("command", 0, "alarm", "later", 1, "at the index at which the repeated one was armed again"),
            ("close", 1),
        ]
    )
    executor = rebuilt(history, ("wait", 1), ("noop",), ("wait", 1), ("noop",))
    assert len(executor.timers.unowned()) == 4


def test_a_time_to_live_counts_from_the_entrys_own_time() -> None:
    """Restored long after, it ends when it would have ended."""
    history = History().run([("command", 0, "keyed", "put_for", "a", 1, 5), ("wait", 4), ("noop",)])
    executor = rebuilt(history, ("wait", 1), ("noop",))
    assert [timer.due for timer in executor.timers.owned()] == [executor.time + 1]
    assert machine_of(history.executor, "keyed").entries == {}


def test_an_overwrite_moves_its_key_to_the_end() -> None:
    """Order that clients can see is the order of live indexes; another one would come back changed."""
    history = History().run([("command", 0, "map", "put", key, b"1") for key in (b"a", b"b", b"a")])
    assert list(machine_of(rebuilt(history, ("command", 0, "map", "clear")), "map").live) == [b"b", b"a"]


def test_a_command_that_raises_keeps_nothing_alive() -> None:
    """Its own entry is released, what it released itself is not."""
    history = History().run(
        [
            ("command", 0, "keyed", "put", "a", 1),
            ("command", 0, "keyed", "put_or_raise", "a", 2),
            ("wait", 2),
            ("noop",),
        ]
    )
    executor = rebuilt(history, ("command", 0, "keyed", "remove", "a"))
    assert list(executor.owners) == [history.last_index - 3]


def test_commands_without_effect_keep_nothing_alive() -> None:
    """Of a closed session, of a gap, for no resource and of no command: all are released."""
    history = History().run(
        [
            ("close", 1),
            ("command", 1, "map", "put", b"a", b"1"),
            ("gap", 0, "map", "put", b"a", b"1"),
            ("nowhere", 0),
            ("command", 0, "map", "no such command"),
        ]
    )
    assert not rebuilt(history, ("command", 0, "map", "put", b"a", b"2")).owners


def test_results_that_nobody_has_acknowledged_come_back() -> None:
    """A client that repeats its command after the rebuild gets the first result, also of a command whose entry is gone."""
    history = History().run(
        [
            ("command", 0, "counter", "add", 5),
            ("command", 0, "map", "put", b"a", b"1"),
            ("command", 0, "map", "put", b"a", b"2"),
            ("command", 1, "counter", "add", 7),
        ]
    )
    executor = rebuilt(history, ("again",), ("acknowledge", 0, 0))
    assert result_of(executor, history.last_index - 2) == 12
    assert result_of(executor, history.last_index - 3) == b"1"


def test_any_dead_entries_may_be_missing() -> None:
    """In any order, on any replica: which of them were removed makes no difference."""
    steps = [("command", 0, "map", "put", key, b"1") for key in (b"a", b"b", b"a", b"b")]
    for gone in ([], [5], range(1, 8), range(6, 99), range(99)):
        rebuilt(History().run(steps), ("command", 0, "map", "remove", b"b"), gone=gone)


def test_a_live_entry_that_is_missing_cannot_go_unnoticed() -> None:
    """What compaction may never remove."""
    history = History().run([("command", 0, "map", "put", b"a", b"1")])
    snapshot = history.snapshot()
    assert set(compacted(history.log, snapshot, history.log)) == set(snapshot.live)


# -- what restore may not do ---------------------------------------------------------------------------


def test_a_live_set_with_a_released_entry_is_noticed() -> None:
    """The map has one live entry for each key; a released one among them is a second."""
    history = History().run([("command", 0, "map", "put", b"a", b"1"), ("command", 0, "map", "put", b"a", b"2")])
    snapshot = history.snapshot()
    snapshot.live.add(history.last_index - 1)
    with pytest.raises(StateMismatch, match="second live entry"):
        snapshot.rebuild(history.log)


class Releasing(MapMachine):
    """Restores a put by doing it again: what it overwrites is released."""

    type_name = "releasing"

    @command(mode=RELEASE)
    def write(self, commit: Commit, key: bytes) -> None:
        if key in self.live:
            self.release(self.live[key][0])
        self.live[key] = (commit.index, b"")


def test_releasing_during_restore_is_noticed() -> None:
    """It would be one release more than the snapshot knows."""
    machines = registry([Releasing])
    history = History(("releasing",), machines=machines)
    history.run([("command", 0, "releasing", "write", b"a"), ("command", 0, "releasing", "write", b"a")])
    snapshot = history.snapshot()
    snapshot.live.add(history.last_index - 1)
    with pytest.raises(StateMismatch, match=r"restoring write releases \[4\]"):
        snapshot.rebuild(history.log, machines=machines)


def test_the_audit_sees_what_a_machine_may_not_release() -> None:
    """Tests of machines stop at an entry that is released twice, or that is another's."""

    class Careless(StateMachine):
        type_name = "careless"

        @command(mode=RELEASE)
        def drop(self, commit: Commit, index: int) -> None:
            self.release(index)
            self.release(commit.index)

    for index, owner in ((3, None), (6, None), (5, 3)):
        history = History(("map", "careless"), machines=registry([MapMachine, Careless]))
        history.step(("command", 0, "map", "put", b"a", b"1"))
        with pytest.raises(AssertionError, match=f"careless releases {index}, live for {owner}"):
            history.step(("command", 0, "careless", "drop", index))


def test_the_machines_of_these_tests_are_known() -> None:
    """All of them are in every history of the property."""
    assert set(History().resources) == set(MACHINES)


# -- events --------------------------------------------------------------------------------------------


def test_the_last_acknowledged_events_index() -> None:
    """Every event was handled and nothing is left of it but its index, which the next batch must name: a client that has
    the old one would otherwise wait for ever for what lies between, or take a gap for none.
    """
    history = History(("map",)).run(
        [("command", 1, "map", "listen"), ("command", 0, "map", "put", b"a", b"1"), ("handled", 1, 0)],
    )
    executor = rebuilt(history, ("command", 0, "map", "put", b"a", b"2"))
    (_, listener) = executor.sessions
    assert (list(listener.events), listener.handled, listener.event_index) == ([], listener.event_index, 5)
    (_, listener) = history.executor.sessions
    assert [(batch.index, batch.previous) for batch in listener.events] == [(7, 5)]


def test_events_that_were_not_handled() -> None:
    """They come again byte for byte, though the entries that published them are gone and could not be run again."""
    history = History(("map",)).run(
        [
            ("command", 1, "map", "listen"),
            ("command", 0, "map", "put", b"a", b"1"),
            ("command", 0, "map", "put", b"a", b"2"),
            ("command", 0, "map", "remove", b"a"),
            ("handled", 1, 2),
        ],
    )
    (_, before) = history.executor.sessions
    batches = list(before.events)
    assert [batch.previous for batch in batches] == [5, 6]
    executor = rebuilt(history, ("command", 0, "map", "put", b"a", b"3"))
    (_, listener) = executor.sessions
    assert list(listener.events) == batches
    assert not executor.live


def test_a_listener_whose_session_ended() -> None:
    """It is dropped with its session, and stays dropped."""
    history = History().run([("command", 1, "map", "listen"), ("command", 0, "map", "listen"), ("close", 1)])
    executor = rebuilt(history, ("command", 0, "map", "put", b"a", b"1"))
    assert list(machine_of(executor, "map").listeners.sessions) == [1]


def test_an_entry_that_published_is_restored() -> None:
    """Restored by the command itself, it publishes again, and nobody hears of it."""
    history = History().run([("command", 1, "choir", "join"), ("command", 0, "choir", "hold", "a", 5)])
    executor = rebuilt(history, ("wait", 9), ("noop",))
    assert machine_of(executor, "choir").held
    assert [session.event_count for session in executor.sessions] == [1, 1]


def test_the_results_of_a_session_that_ended() -> None:
    """They outlive it, so that its client learns what became of its last commands."""
    history = History().run([("command", 1, "map", "put", b"a", b"1"), ("void", 1), ("expire", 1)])
    executor = rebuilt(history, ("wait", 3_600_000), ("noop",))
    record = executor.ended_records.get(2)
    assert record is not None and sorted(record.results) == [2]
    assert history.executor.ended_records.get(2) is None
