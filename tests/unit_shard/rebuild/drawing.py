"""What can happen to a shard, for histories drawn at random: by hypothesis, or from a seed."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st
from ocelog.shard.ended import KEPT_MS

from .histories import Step

Choices = dict[str, tuple[tuple[Any, ...], ...]]

KEYS = ("a", "b", "c")
BYTES_KEYS = (b"a", b"b")
PLACED = (b"\x07", b"\xa1a", b"\xa1b")
"""Keys that have a place in order: 7, "a" and "b"."""
BOTH = (False, True)
SMALL = (0, 1, 2)
DELAYS = (1, 2, 3, 5)
VERSIONS = tuple(range(10, 40))

KEYED: Choices = {"clear": (), "listen": ((b"a", None),), "unlisten": ((b"a", None),)}


def map_of(keys: tuple[bytes, ...]) -> Choices:
    """The commands of a map with these keys."""
    return {
        "put": (keys, (b"0", b"1", b""), (0, 0, *DELAYS)),
        "put_if_absent": (keys, (b"0", b"1"), (0, 0, *DELAYS)),
        "replace": (keys, (b"2", b"3"), (0, 0, *DELAYS)),
        "replace_if": (keys, (b"0", b"1"), (b"1", b"2"), (0, *DELAYS)),
        "replace_if_version": (keys, VERSIONS, (b"4",), (0, *DELAYS)),
        "remove": (keys,),
        "remove_if": (keys, (b"0", b"1")),
        "remove_if_version": (keys, VERSIONS),
        **KEYED,
    }


def set_of(values: tuple[bytes, ...]) -> Choices:
    """The commands of a set of these values."""
    return {"add": (values, (0, 0, *DELAYS)), "remove": (values,), "remove_many": (values, values), **KEYED}


ENDS: Choices = {"poll_first": (), "poll_last": (), "remove_range": ((*PLACED, None), (*PLACED, None), BOTH, BOTH)}

OPERATIONS: dict[str, Choices] = {
    "map": map_of(BYTES_KEYS) | {"no such command": ()},
    "counter": {
        "set": ((0, 5, (1 << 63) - 1),),
        "get_and_set": ((0, 5),),
        "add": ((1, -1),),
        "compare_and_set": (SMALL, SMALL),
        "listen": ((None,),),
        "unlisten": ((None,),),
    },
    "set": set_of(BYTES_KEYS),
    "multimap": {
        "put": (BYTES_KEYS, (b"0", b"1"), (0, 0, *DELAYS)),
        "remove": (BYTES_KEYS,),
        "remove_entry": (BYTES_KEYS, (b"0", b"1")),
        "remove_value": ((b"0", b"1"),),
        **KEYED,
    },
    "sorted_map": map_of(PLACED) | ENDS,
    "sorted_set": set_of(PLACED) | ENDS,
    "queue": {
        "offer": ((b"0", b"1"),),
        "poll": (),
        "take": (SMALL, (0, 2, None), ([], [20, 21, 22, 23])),
        "cancel": (SMALL,),
        "remove": ((b"0", b"1"),),
        "clear": (),
        "listen": ((None,),),
        "unlisten": ((None,),),
    },
    "task_queue": {
        "submit": ((b"0", b"1"),),
        "submit_and_wait": (SMALL, (2, None), (b"2",)),
        "cancel": (SMALL,),
        "subscribe": ((b"w", b"x"), (1, 2)),
        "unsubscribe": ((b"w", b"x"),),
        "ack": (tuple(range(18, 30)), (1, 2)),
        "fail": (tuple(range(18, 30)), (1, 2), ("why",)),
        "give_back": (tuple(range(18, 30)), (1, 2)),
    },
    "election": {
        "run": ((b"a", b"b"),),
        "lead": (SMALL, (0, 2, None), (b"b", b"c")),
        "withdraw": ((b"a", b"b"),),
        "resign": (SMALL,),
        "cancel": (SMALL,),
        "anoint": ((b"a", b"b", b"c"),),
        "promote": ((b"b", b"c"),),
        "demote": ((b"a", b"b"),),
        "evict": ((b"a", b"b"),),
        "listen": ((None,),),
        "unlisten": ((None,),),
    },
    "group": {
        "join": ((b"a", b"b"), SMALL, (True, False), (b"m", None), (None, 0, 2), (0, 1, 2), (True, False)),
        "part": ((b"a", b"b"),),
        "leave": ((b"a", b"b"),),
        "remove": ((b"a", b"b"),),
        "set_metadata": ((b"a", b"b"), (b"n", None)),
        "post": (("random", "broadcast"), (None,), (b"0",)),
        "send": (SMALL, (0, 2, None), (True, False), ("direct",), (b"a", b"b"), (b"1",)),
        "cancel": (SMALL,),
        "ack": ((b"a", b"b"), tuple(range(18, 30)), (1, 2)),
        "fail": ((b"a", b"b"), tuple(range(18, 30)), (1, 2), ("why",)),
        "reply": ((b"a", b"b"), tuple(range(18, 30)), (1, 2), (b"2",)),
        "listen": ((None,),),
        "unlisten": ((None,),),
    },
    "set_partitioner": {
        "join": ((b"m", b"n"), SMALL),
        "part": ((b"m", b"n"),),
        "claim": (SMALL, (0, 2, None), (b"m", b"n"), tuple(range(18, 30)), ([b"a"], [b"a", b"b"], [])),
        "release_set": ((b"m", b"n"),),
        "cancel": (SMALL,),
    },
    "topic": {"send": ((b"0", b"1"),), "listen": ((None,),), "unlisten": ((None,),)},
    "value": {
        "set": ((b"0", b"1"), (0, 0, *DELAYS)),
        "get_and_set": ((b"0", b"1"), (0, *DELAYS)),
        "compare_and_set": ((b"0", None), (b"0", b"1"), (0, *DELAYS)),
        "clear": (),
        "listen": ((None,),),
        "unlisten": ((None,),),
    },
    "keyed": {
        "put": (KEYS, SMALL),
        "put_for": (KEYS, SMALL, DELAYS),
        "put_ephemeral": (KEYS, SMALL),
        "put_if_absent": (KEYS, SMALL),
        "replace": (KEYS, SMALL, SMALL),
        "put_or_raise": (KEYS, SMALL),
        "remove": (KEYS,),
        "remove_if": (KEYS, SMALL),
        "clear": (),
        "put_both": (KEYS, SMALL, KEYS, SMALL),
    },
    "lock": {"lock": ((1, 2), (0, 3, None)), "unlock": ((1, 2),), "cancel": ((1, 2),)},
    "barrier": {
        "wait": ((1, 2), (0, 3, None), (2, 2, 1)),
        "enter": ((1, 2, 3), (0, 3, None), (2, 2, 1)),
        "leave": ((4, 5), (0, 2, None), (1, 2, 3), (1, 2, 3)),
        "cancel": ((1, 2, 4),),
        "reset": ((None, 1, 2, 3),),
    },
    "latch": {
        "set_count": ((1, 2),),
        "reset": ((1, 2, None),),
        "count_down": ((1, 2),),
        "wait_open": ((1, 2), (0, 3, None)),
        "cancel": ((1, 2),),
    },
    "read_write_lock": {
        "read": ((1, 2), (0, 3, None)),
        "write": ((1, 2), (0, 3, None)),
        "unlock": ((1, 2),),
        "cancel": ((1, 2),),
    },
    "semaphore": {
        "acquire": ((1, 2), (0, 3, None), SMALL, (2, 2, 3, None)),
        "give_back": ((1, 2),),
        "cancel": ((1, 2),),
        "set_capacity": ((1, 2, 3),),
    },
    "turnstile": {"lock": (), "lock_for": (DELAYS,), "try_lock": (), "unlock": ()},
    "alarm": {
        "later": (DELAYS, ("x", 1), ("y", None)),
        "repeat": (DELAYS, (1, 2, 3)),
        "remind": (DELAYS, KEYS),
        "nag": (DELAYS, KEYS),
        "forget": (),
        "pointless": (DELAYS,),
    },
    "presence": {"listen": ()},
    "choir": {
        "join": (),
        "sing": (("la", "do"), ("re", "mi")),
        "sing_to_all": (),
        "sing_and_raise": (),
        "hold": (KEYS, (2, 50)),
        "sing_later": (DELAYS,),
    },
}
"""Per machine, the arguments that each command is called with."""

FRAMEWORK: tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...] = (
    ("again", ()),
    ("gap", ((0, 1), ("map",), ("put",), BYTES_KEYS, (b"9",))),
    ("nowhere", ((0, 1),)),
    ("void", ((0, 1),)),
    ("acknowledge", ((0, 1), SMALL)),
    ("handled", ((0, 1), SMALL)),
    ("close", ((0, 1),)),
    ("expire", ((0, 1),)),
    ("register", ((0, 1),)),
    ("noop", ()),
    ("wait", ((1, KEPT_MS // 2),)),
)


def steps_of(types: tuple[str, ...] = tuple(OPERATIONS)) -> st.SearchStrategy[Step]:
    """One step: mostly a command, now and then something that happens to sessions; often time passes before it."""
    commands = [
        st.tuples(
            st.just("command"), st.sampled_from((0, 1)), st.just(kind), st.just(name), *map(st.sampled_from, choices)
        )
        for kind in types
        for name, choices in OPERATIONS[kind].items()
    ]
    others = [st.tuples(st.just(name), *map(st.sampled_from, choices)) for name, choices in FRAMEWORK]
    waits = st.tuples(st.just("wait"), st.sampled_from(DELAYS))
    return st.one_of(st.one_of(commands), st.one_of(commands), waits, st.one_of(others))


def draw_steps(random: Random, count: int, types: tuple[str, ...] = tuple(OPERATIONS)) -> list[Step]:
    """The same from a seed, without hypothesis."""
    steps: list[Step] = []
    for _ in range(count):
        kind = random.choices(("command", "wait", "other"), (6, 3, 2))[0]
        if kind == "wait":
            steps.append(("wait", random.choice(DELAYS)))
        elif kind == "other":
            name, choices = random.choice(FRAMEWORK)
            steps.append((name, *map(random.choice, choices)))
        else:
            machine = random.choice(types)
            name, choices = random.choice(list(OPERATIONS[machine].items()))
            steps.append(("command", random.choice((0, 1)), machine, name, *map(random.choice, choices)))
    return steps
