"""The same property for every short history over a small alphabet: nothing is left to luck.

At every index of every sequence a replica is rebuilt from a log without any dead entry; it equals the one that applied
everything, there and at every later index of the sequence.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ocelog.shard.ended import KEPT_MS
from ocelog.shard.machines.registry import registry

from .histories import History, Snapshot, Step, compacted, facts_of

Letter = tuple[Step, ...]


class Alphabet(NamedTuple):
    """What happens to one machine: the letters, and how long the words are with every run and with `-m slow`."""

    type_name: str
    length: int
    length_slow: int
    letters: tuple[Letter, ...]
    about: str = "state"


def spell(type_name: str, *commands: tuple[object, ...]) -> tuple[Letter, ...]:
    """Commands of session 0, each a millisecond after what came before."""
    return tuple((("wait", 1), ("command", 0, type_name, *command)) for command in commands)


def together(type_name: str, *commands: tuple[object, ...]) -> Letter:
    """The same as one letter."""
    return tuple(step for letter in spell(type_name, *commands) for step in letter)


AGAIN: Letter = (("wait", 1), ("again",))
PAUSE: Letter = (("wait", 3), ("noop",))
AN_HOUR: Letter = (("wait", KEPT_MS), ("noop",))
CLOSE: Letter = (("wait", 1), ("close", 1))
EXPIRE: Letter = (("wait", 1), ("expire", 1))
ACKNOWLEDGE: Letter = (("acknowledge", 0, 0),)
HANDLED: Letter = (("handled", 0, 0),)
HANDLED_BY_OTHER: Letter = (("handled", 1, 1),)


def by_other(type_name: str, *command: object) -> Letter:
    """A command of session 1, which may be closed."""
    return (("wait", 1), ("command", 1, type_name, *command))


BOTH_JOIN: Letter = (
    *spell("group", ("join", b"a", 1, True, None, None, 2, True))[0],
    *by_other("group", "join", b"b", 1, False, None, None, 1, True),
)

FIRST = 4
"""The index of the first entry behind two sessions and a resource: the version that it writes."""

ALPHABETS = (
    Alphabet(
        "map",
        4,
        5,
        (
            *spell(
                "map", ("put", b"a", b"1"), ("put", b"b", b"2"), ("put_if_absent", b"a", b"3"), ("replace", b"a", b"4")
            ),
            *spell("map", ("remove", b"a"), ("clear",)),
            AGAIN,
            by_other("map", "put", b"a", b"5"),
            CLOSE,
        ),
    ),
    Alphabet(
        "set",
        4,
        5,
        (
            *spell(
                "set", ("add", b"a"), ("add", b"b", 2), ("add", b"a", 1), ("remove", b"a"), ("remove_many", b"b", b"a")
            ),
            PAUSE,
        ),
    ),
    Alphabet(
        "set",
        4,
        5,
        (
            *spell("set", ("add", b"a"), ("clear",)),
            by_other("set", "listen"),
            by_other("set", "unlisten"),
            CLOSE,
        ),
        "events",
    ),
    Alphabet(
        "multimap",
        4,
        5,
        (
            *spell("multimap", ("put", b"a", b"1"), ("put", b"a", b"2", 2), ("put", b"b", b"1", 1), ("remove", b"a")),
            together("multimap", ("remove_entry", b"a", b"1"), ("remove_value", b"1")),
            PAUSE,
        ),
    ),
    Alphabet(
        "multimap",
        4,
        5,
        (
            *spell("multimap", ("put", b"a", b"1")),
            together("multimap", ("remove", b"a"), ("put", b"a", b"2"), ("clear",)),
            by_other("multimap", "listen", b"a"),
            by_other("multimap", "unlisten", b"a"),
            CLOSE,
        ),
        "events",
    ),
    Alphabet(
        "sorted_map",
        4,
        5,
        (
            *spell("sorted_map", ("put", b"\xa1a", b"1"), ("put", b"\x07", b"2", 2), ("poll_first",), ("poll_last",)),
            together("sorted_map", ("put", b"no place", b"1"), ("remove_range", b"\x07", b"\xa1a", False, True)),
            PAUSE,
        ),
        "order",
    ),
    Alphabet(
        "sorted_map",
        4,
        5,
        (
            *spell("sorted_map", ("put_if_absent", b"\xa1a", b"1", 2)),
            together("sorted_map", ("replace", b"\xa1a", b"1"), ("replace_if", b"\xa1a", b"1", b"2", 1)),
            together("sorted_map", ("replace_if_version", b"\xa1a", FIRST, b"3"), ("remove_if", b"\xa1a", b"2")),
            together("sorted_map", ("remove_if_version", b"\xa1a", FIRST), ("remove", b"\x07")),
            together("sorted_map", ("listen",), ("clear",), ("unlisten",)),
            PAUSE,
        ),
        "conditions",
    ),
    Alphabet(
        "sorted_set",
        4,
        5,
        (
            *spell("sorted_set", ("add", b"\xa1a"), ("add", b"\x07", 2)),
            together("sorted_set", ("poll_first",), ("remove_range", None, b"\xa1a", True, False)),
            together("sorted_set", ("poll_last",), ("remove_many", b"\xa1a", b"\x07"), ("clear",)),
            together("sorted_set", ("listen",), ("remove", b"\x07"), ("unlisten",)),
            PAUSE,
        ),
    ),
    Alphabet(
        "counter",
        4,
        6,
        (
            *spell("counter", ("add", 1), ("set", (1 << 63) - 1), ("compare_and_set", 1, 0), ("get_and_set", 2)),
            AGAIN,
            ACKNOWLEDGE,
            by_other("counter", "add", 2),
            CLOSE,
        ),
    ),
    Alphabet(
        "map",
        4,
        5,
        (
            *spell("map", ("listen", b"a"), ("put", b"a", b"1"), ("clear",)),
            by_other("map", "listen"),
            by_other("map", "unlisten"),
            AN_HOUR,
            HANDLED,
            HANDLED_BY_OTHER,
            CLOSE,
        ),
        "events",
    ),
    Alphabet(
        "counter",
        4,
        6,
        (
            *spell("counter", ("listen",), ("add", 1), ("unlisten",)),
            by_other("counter", "listen"),
            by_other("counter", "add", 1),
            HANDLED,
            EXPIRE,
        ),
        "events",
    ),
    Alphabet(
        "queue",
        4,
        5,
        (
            *spell("queue", ("offer", b"0"), ("offer", b"1"), ("poll",), ("remove", b"1"), ("clear",)),
            *spell("queue", ("take", 1, None, []), ("take", 2, 2, [4]), ("cancel", 1)),
            by_other("queue", "take", 1, 1, []),
            PAUSE,
            CLOSE,
        ),
    ),
    Alphabet(
        "queue",
        4,
        5,
        (
            *spell("queue", ("offer", b"0"), ("take", 1, None, []), ("cancel", 1)),
            by_other("queue", "listen"),
            by_other("queue", "unlisten"),
            HANDLED_BY_OTHER,
            EXPIRE,
        ),
        "events",
    ),
    Alphabet(
        "map",
        4,
        5,
        (
            *spell("map", ("put", b"a", b"1", 2), ("put_if_absent", b"a", b"2", 3), ("replace", b"a", b"1")),
            *spell("map", ("replace_if", b"a", b"1", b"2", 1), ("remove_if", b"a", b"2"), ("put", b"b", b"1", 2)),
            *spell("map", ("replace_if_version", b"a", FIRST, b"3", 2), ("remove_if_version", b"a", FIRST)),
            PAUSE,
        ),
        "times to live",
    ),
    Alphabet(
        "value",
        4,
        5,
        (
            *spell("value", ("set", b"1", 2), ("get_and_set", b"2"), ("compare_and_set", b"2", b"1", 3)),
            *spell("value", ("compare_and_set", None, b"2", 1), ("clear",)),
            PAUSE,
        ),
    ),
    Alphabet(
        "value",
        4,
        5,
        (
            *spell("value", ("set", b"1", 1), ("set", b"2"), ("clear",)),
            by_other("value", "listen"),
            by_other("value", "unlisten"),
            PAUSE,
            HANDLED_BY_OTHER,
            CLOSE,
        ),
        "events",
    ),
    Alphabet(
        "task_queue",
        4,
        5,
        (
            *spell("task_queue", ("submit", b"0"), ("subscribe", b"w", 1), ("ack", 4, 1), ("fail", 5, 1, "why")),
            *spell("task_queue", ("unsubscribe", b"w"), ("give_back", 4, 1), ("cancel", 1)),
            by_other("task_queue", "submit_and_wait", 1, 2, b"1"),
            by_other("task_queue", "subscribe", b"x", 2),
            PAUSE,
            CLOSE,
        ),
    ),
    Alphabet(
        "group",
        4,
        5,
        (
            *spell(
                "group", ("join", b"a", 1, True, b"m", 2, 1, True), ("part", b"a"), ("post", "broadcast", None, b"0")
            ),
            by_other("group", "join", b"b", 1, False, None, None, 1, True),
            by_other("group", "remove", b"a"),
            PAUSE,
            CLOSE,
        ),
        "members",
    ),
    Alphabet(
        "group",
        4,
        5,
        (
            BOTH_JOIN,
            *spell("group", ("send", 1, 3, True, "broadcast", None, b"1"), ("reply", b"a", 6, 1, b"r"), ("part", b"a")),
            by_other("group", "reply", b"b", 6, 1, b"s"),
            by_other("group", "ack", b"b", 7, 1),
            PAUSE,
            CLOSE,
        ),
        "messages",
    ),
    Alphabet(
        "group",
        4,
        5,
        (
            *spell(
                "group", ("join", b"a", 1, False, None, None, 1, True), ("leave", b"a"), ("set_metadata", b"a", b"n")
            ),
            *spell("group", ("send", 1, None, False, "random", None, b"1"), ("cancel", 1), ("fail", b"a", 5, 1, "why")),
            by_other("group", "listen"),
            by_other("group", "unlisten"),
        ),
        "events",
    ),
    Alphabet(
        "set_partitioner",
        4,
        5,
        (
            (
                *spell("set_partitioner", ("join", b"m", 1))[0],
                *by_other("set_partitioner", "join", b"n", 1),
            ),
            *spell("set_partitioner", ("claim", 1, 3, b"m", 5, [b"a", b"b"]), ("release_set", b"m"), ("part", b"m")),
            *spell("set_partitioner", ("cancel", 1)),
            by_other("set_partitioner", "claim", 1, 2, b"n", 5, [b"b"]),
            PAUSE,
            EXPIRE,
        ),
    ),
    Alphabet(
        "topic",
        4,
        5,
        (
            *spell("topic", ("send", b"0"), ("listen",), ("unlisten",)),
            by_other("topic", "listen"),
            HANDLED_BY_OTHER,
            CLOSE,
        ),
        "events",
    ),
    Alphabet(
        "election",
        4,
        5,
        (
            *spell("election", ("run", b"a"), ("lead", 1, 2, b"b"), ("lead", 2, None, b"c"), ("withdraw", b"a")),
            *spell("election", ("resign", 1), ("cancel", 2)),
            by_other("election", "lead", 1, 3, b"a"),
            PAUSE,
            CLOSE,
        ),
        "who stands",
    ),
    Alphabet(
        "election",
        4,
        5,
        (
            *spell("election", ("run", b"a"), ("lead", 3, 0, b"d"), ("listen", None), ("evict", b"b")),
            *spell("election", ("anoint", b"b"), ("promote", b"b"), ("demote", b"b")),
            *spell("election", ("unlisten", None)),
            by_other("election", "run", b"b"),
        ),
        "who is moved",
    ),
    Alphabet(
        "lock",
        4,
        5,
        (
            *spell("lock", ("lock", 1, None), ("lock", 2, 2), ("unlock", 1), ("cancel", 1)),
            by_other("lock", "lock", 1, 2),
            by_other("lock", "unlock", 1),
            by_other("lock", "cancel", 1),
            CLOSE,
        ),
    ),
    Alphabet(
        "barrier",
        4,
        5,
        (
            *spell("barrier", ("enter", 2, 2, 2), ("leave", 3, 2, 1, 2), ("cancel", 2), ("reset", None)),
            by_other("barrier", "wait", 1, 2, 2),
            by_other("barrier", "enter", 2, None, 2),
            PAUSE,
            CLOSE,
        ),
    ),
    Alphabet(
        "latch",
        4,
        5,
        (
            *spell("latch", ("set_count", 2), ("count_down", 1), ("reset", 1), ("wait_open", 1, 2), ("cancel", 1)),
            by_other("latch", "wait_open", 1, None),
            PAUSE,
            CLOSE,
        ),
    ),
    Alphabet(
        "read_write_lock",
        4,
        5,
        (
            *spell("read_write_lock", ("read", 1, None), ("write", 2, 2), ("unlock", 1), ("cancel", 2)),
            by_other("read_write_lock", "read", 1, 2),
            by_other("read_write_lock", "write", 2, None),
            by_other("read_write_lock", "unlock", 2),
            CLOSE,
        ),
    ),
    Alphabet(
        "semaphore",
        4,
        5,
        (
            *spell("semaphore", ("acquire", 1, None, 2, 2), ("acquire", 2, 2, 1, None), ("give_back", 1)),
            *spell("semaphore", ("set_capacity", 1), ("cancel", 2)),
            by_other("semaphore", "acquire", 1, None, 1, 2),
            by_other("semaphore", "give_back", 1),
            CLOSE,
        ),
    ),
    Alphabet(
        "keyed",
        3,
        4,
        (
            *spell("keyed", ("put", "a", 0), ("put", "b", 0), ("put_for", "a", 1, 2), ("put_if_absent", "a", 2)),
            *spell("keyed", ("replace", "a", 0, 1), ("replace", "a", 1, 2), ("put_or_raise", "a", 0)),
            *spell("keyed", ("remove", "a"), ("remove_if", "a", 0), ("remove_if", "a", 1), ("clear",)),
            *spell("keyed", ("put_both", "a", 0, "b", 1), ("put_both", "b", 0, "a", 1)),
            by_other("keyed", "put_ephemeral", "a", 1),
            AGAIN,
            PAUSE,
            CLOSE,
        ),
    ),
    Alphabet(
        "turnstile",
        4,
        5,
        (
            *spell("turnstile", ("lock",), ("lock_for", 2), ("try_lock",), ("unlock",)),
            by_other("turnstile", "lock"),
            by_other("turnstile", "lock_for", 3),
            by_other("turnstile", "unlock"),
            PAUSE,
            EXPIRE,
        ),
    ),
    Alphabet(
        "alarm",
        4,
        5,
        (
            *spell("alarm", ("later", 2, "x", "y"), ("repeat", 1, 3), ("remind", 2, "a"), ("nag", 1, "b"), ("forget",)),
            *spell("alarm", ("pointless", 1)),
            PAUSE,
            CLOSE,
        ),
    ),
    Alphabet(
        "presence",
        4,
        6,
        (*spell("presence", ("listen",)), by_other("presence", "listen"), AGAIN, CLOSE, EXPIRE, (("register", 1),)),
    ),
    Alphabet(
        "choir",
        3,
        4,
        (
            *spell("choir", ("join",), ("sing", "la", "do"), ("sing_to_all",), ("sing_and_raise",), ("hold", "mi", 2)),
            *spell("choir", ("sing_later", 2)),
            by_other("choir", "join"),
            HANDLED,
            HANDLED_BY_OTHER,
            PAUSE,
            CLOSE,
            EXPIRE,
            (("register", 1),),
        ),
        "events",
    ),
)


def explore(alphabet: Alphabet, length: int, word: tuple[Letter, ...] = (), known: tuple[Snapshot, ...] = ()) -> int:
    """All words of at most this many letters that begin with `word`; `known` are snapshots on the way. Returns how many."""
    history = History((alphabet.type_name,)).run(step for letter in word for step in letter)
    snapshot = history.snapshot()
    for older in (*known, snapshot):
        log = compacted(history.log, older, history.log)
        assert set(log) == set(older.live) | set(range(older.index + 1, history.last_index + 1))
        rebuilt = history.apply_rest(older.rebuild(log))
        assert facts_of(rebuilt) == snapshot.facts, f"{word}, rebuilt at {older.index}"
    history.executor.audit()
    if len(word) == length:
        return 1
    known = (*known, snapshot)
    return 1 + sum(explore(alphabet, length, (*word, letter), known) for letter in alphabet.letters)


@pytest.mark.parametrize("alphabet", ALPHABETS, ids=lambda alphabet: f"{alphabet.type_name}: {alphabet.about}")
def test_every_short_history_can_be_rebuilt(alphabet: Alphabet) -> None:
    """Every built-in machine up to four commands, and the test machines up to three or more."""
    words = sum(len(alphabet.letters) ** count for count in range(alphabet.length + 1))
    assert explore(alphabet, alphabet.length) == words


@pytest.mark.slow
@pytest.mark.parametrize("alphabet", ALPHABETS, ids=lambda alphabet: f"{alphabet.type_name}: {alphabet.about}")
def test_every_longer_history_can_be_rebuilt(alphabet: Alphabet) -> None:
    """The same, longer."""
    explore(alphabet, alphabet.length_slow)


def test_every_built_in_machine_has_an_alphabet() -> None:
    """A new machine needs one, with every command of its in it."""
    for name, machine in registry().items():
        commands = {name for name, operation in machine.operations.items() if operation.mode is not None}
        alphabets = [alphabet for alphabet in ALPHABETS if alphabet.type_name == name]
        steps = [step for alphabet in alphabets for letter in alphabet.letters for step in letter]
        assert {step[3] for step in steps if step[0] == "command"} == commands
        assert all(alphabet.length >= 4 for alphabet in alphabets)
