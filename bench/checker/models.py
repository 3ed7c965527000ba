"""The built-in models: register, counter, map, set, queue and lock, with the operations of the resources of those names.

Each says in its docstring what its operations return. A result that nobody was told is never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .model import IMPOSSIBLE, Model, by_key, told
from .operation import Operation

COUNTER_MIN, COUNTER_MAX = -(1 << 63), (1 << 63) - 1


class Register(Model):
    """A value: `get()` the value, `set(v)` whatever, `get_and_set(v)` the one before, `compare_and_set(old, new)` whether.

    null is the value of a register that holds nothing.
    """

    operations = {"get": 0, "set": 1, "get_and_set": 1, "compare_and_set": 2}

    def is_silent(self, operation: Operation) -> bool:
        return operation.name == "get" or (operation.name == "compare_and_set" and operation.result is False)

    def step(self, state: Any, operation: Operation) -> Any:
        name, arguments = operation.name, operation.arguments
        if name == "get":
            return told(operation, state, state)
        if name == "set":
            return arguments[0]
        if name == "get_and_set":
            return told(operation, state, arguments[0])
        was = state == arguments[0]
        return told(operation, was, arguments[1] if was else state)


class Counter(Model):
    """A signed integer of 64 bits, 0 at first.

    `add(n)` the new value, `increment()` and `decrement()` too (by 1 or by their argument), `get()` the value,
    `get_and_set(v)` the one before, `compare_and_set(old, new)` whether it was.
    """

    operations = {"add": 1, "increment": (0, 1), "decrement": (0, 1), "get": 0, "get_and_set": 1, "compare_and_set": 2}
    initial = 0
    is_silent = Register.is_silent

    def step(self, state: Any, operation: Operation) -> Any:
        name, arguments = operation.name, operation.arguments
        if name == "get":
            return told(operation, state, state)
        if name == "get_and_set":
            return told(operation, state, arguments[0])
        if name == "compare_and_set":
            was = state == arguments[0]
            return told(operation, was, arguments[1] if was else state)
        delta = arguments[0] if arguments else 1
        after = state - delta if name == "decrement" else state + delta
        if not COUNTER_MIN <= after <= COUNTER_MAX:
            return state if not operation.known else IMPOSSIBLE
        return told(operation, after, after)


class Map(Model):
    """Keys and values: `get(k)`, `put(k, v)`, `put_if_absent(k, v)`, `replace(k, v)` and `remove(k)` tell what was there before.

    `contains(k)` whether the key is there, `size()` the number of keys, `clear()` whatever. null means absent. Keys are judged
    one by one, with `clear` in each of them, unless there is a `size`: then the whole map has to have one order.
    """

    operations = {
        "get": 0,
        "contains": 0,
        "put": 1,
        "put_if_absent": 1,
        "replace": 1,
        "remove": 0,
        "clear": 0,
        "size": 0,
    }
    keyed = frozenset(("get", "contains", "put", "put_if_absent", "replace", "remove"))
    initial: Any = frozenset()

    def is_silent(self, operation: Operation) -> bool:
        name, result = operation.name, operation.result
        if name in ("remove", "replace"):
            return result is None
        return name in ("get", "contains", "size") or (name == "put_if_absent" and result is not None)

    def parts(self, operations: Sequence[Operation]) -> Iterable[tuple[Any, Model, list[Operation]]]:
        if any(operation.name == "size" for operation in operations):
            yield None, self, list(operations)
            return
        clears = [operation for operation in operations if operation.name == "clear"]
        for key, group in by_key(operation for operation in operations if operation.name != "clear"):
            yield key, _ONE_KEY, group + clears

    def step(self, state: Any, operation: Operation) -> Any:
        if operation.name == "clear":
            return frozenset()
        if operation.name == "size":
            return told(operation, len(state), state)
        key = operation.key
        before = dict(state).get(key)
        after = _ONE_KEY.step(before, operation)
        if after is IMPOSSIBLE or after == before:
            return after if after is IMPOSSIBLE else state
        # States share their pairs: those of a large map differ in one, and a search remembers many of them.
        rest = state if before is None else state - {(key, before)}
        return rest if after is None else rest | {(key, after)}


class _OneKey(Model):
    """One key of a map; its state is the value, None when it is absent."""

    is_silent = Map.is_silent

    def step(self, state: Any, operation: Operation) -> Any:
        name = operation.name
        if name == "clear":
            return None
        if operation.known and operation.result != (state if name != "contains" else state is not None):
            return IMPOSSIBLE
        if name == "put":
            return operation.arguments[0]
        if name == "get" or name == "contains":
            return state
        if name == "remove":
            return None
        writes = state is None if name == "put_if_absent" else state is not None
        return operation.arguments[0] if writes else state


_ONE_KEY = _OneKey()


class Set(Model):
    """Elements, each the `key` of its operations: `add(e)` and `remove(e)` tell whether that changed the set, `contains(e)`.

    `size()` the number of elements, `clear()` whatever. Elements are judged one by one, with `clear` in each of them, unless
    there is a `size`: then the whole set has to have one order.
    """

    operations = {"add": 0, "remove": 0, "contains": 0, "clear": 0, "size": 0}
    keyed = frozenset(("add", "remove", "contains"))
    initial: Any = frozenset()

    def is_silent(self, operation: Operation) -> bool:
        name = operation.name
        return name in ("contains", "size") or (name in ("add", "remove") and operation.result is False)

    def parts(self, operations: Sequence[Operation]) -> Iterable[tuple[Any, Model, list[Operation]]]:
        if any(operation.name == "size" for operation in operations):
            yield None, self, list(operations)
            return
        clears = [operation for operation in operations if operation.name == "clear"]
        for key, group in by_key(operation for operation in operations if operation.name != "clear"):
            yield key, self, group + clears

    def step(self, state: Any, operation: Operation) -> Any:
        name, element = operation.name, operation.key
        if name == "clear":
            return frozenset()
        if name == "size":
            return told(operation, len(state), state)
        there = element in state
        if name == "contains":
            return told(operation, there, state)
        if name == "add":
            return told(operation, not there, state | {element})
        return told(operation, there, state - {element})


class Queue(Model):
    """First in, first out: `offer(x)` whatever, `poll()` the head or null and takes it, `take()` the same after waiting.

    `peek()` the head or null, `size()`, `contains(x)`, `remove(x)` whether there was one, `clear()` whatever.
    """

    operations = {"offer": 1, "poll": 0, "take": 0, "peek": 0, "size": 0, "contains": 1, "remove": 1, "clear": 0}
    initial = ()

    def is_silent(self, operation: Operation) -> bool:
        name, result = operation.name, operation.result
        if name in ("poll", "take"):
            return result is None
        return name in ("peek", "size", "contains") or (name == "remove" and result is False)

    def step(self, state: Any, operation: Operation) -> Any:
        name, arguments = operation.name, operation.arguments
        if name == "offer":
            return (*state, arguments[0])
        if name in ("poll", "take", "peek"):
            head = state[0] if state else None
            return told(operation, head, state if name == "peek" else state[1:])
        if name == "size":
            return told(operation, len(state), state)
        if name == "clear":
            return ()
        there = arguments[0] in state
        if name == "contains" or not there:
            return told(operation, there, state)
        position = state.index(arguments[0])
        return told(operation, True, state[:position] + state[position + 1 :])


class Lock(Model):
    """A lock with fencing tokens: `lock()` and `try_lock()` the token, or null when it was not had; tokens grow.

    `unlock(token)` (or `unlock()`) whether the process held the lock; `holder()` the token of who holds it, or null. Who holds
    it is the `process`. A session that may have been lost is an `unlock` with an unknown outcome, and a request that may
    have been granted and given back is a `lock` and an `unlock()`, both with an unknown outcome.
    """

    operations = {"lock": 0, "try_lock": 0, "unlock": (0, 1), "holder": 0}
    by_process = True
    initial = (None, None, 0)
    """(process that holds it, its token if anybody was told, the highest token so far)"""

    def is_silent(self, operation: Operation) -> bool:
        name, result = operation.name, operation.result
        return name == "holder" or (result is False if name == "unlock" else result is None)

    def step(self, state: Any, operation: Operation) -> Any:
        holder, token, highest = state
        name = operation.name
        if name == "holder":
            if holder is not None and token is None:
                # Nobody was told this token, so any answer but "nobody" will do.
                return IMPOSSIBLE if operation.known and operation.result is None else state
            return told(operation, token, state)
        if name == "unlock":
            mine = operation.arguments[0] if operation.arguments else None
            held = holder == operation.process and (mine is None or token is None or mine == token)
            return told(operation, held, (None, None, highest) if held else state)
        if not operation.known:
            return state if holder is not None else (operation.process, None, highest)
        if operation.result is None:
            # `lock` without a grant is one that gave up, which it may do whoever holds it.
            return state if name == "lock" or holder is not None else IMPOSSIBLE
        free = holder is None and operation.result > highest
        return (operation.process, operation.result, operation.result) if free else IMPOSSIBLE


MODELS: dict[str, type[Model]] = {
    "register": Register,
    "value": Register,
    "counter": Counter,
    "map": Map,
    "set": Set,
    "queue": Queue,
    "lock": Lock,
}
"""By the name that a history gives them."""
