"""A second implementation of the checker, as plain as can be: try every order, on real Python objects.

It shares nothing with the one it is compared with but the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import chain, combinations, permutations
from typing import Any

from ocelog.bench.checker import Operation

ANYTHING = object()
"""What an operation returns about whose result nothing is said."""


class Register:
    def __init__(self) -> None:
        self.value: Any = None

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> Any:
        self.value = value
        return ANYTHING

    def get_and_set(self, value: Any) -> Any:
        before, self.value = self.value, value
        return before

    def compare_and_set(self, old: Any, new: Any) -> bool:
        if self.value != old:
            return False
        self.value = new
        return True


class Counter(Register):
    def __init__(self) -> None:
        self.value = 0

    def add(self, number: int) -> int:
        self.value += number
        return int(self.value)

    def increment(self, number: int = 1) -> int:
        return self.add(number)

    def decrement(self, number: int = 1) -> int:
        return self.add(-number)


class Map:
    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        return self.values.get(key)

    def contains(self, key: Any) -> bool:
        return key in self.values

    def put(self, key: Any, value: Any) -> Any:
        before = self.values.get(key)
        self.values[key] = value
        return before

    def put_if_absent(self, key: Any, value: Any) -> Any:
        return self.values[key] if key in self.values else self.put(key, value)

    def replace(self, key: Any, value: Any) -> Any:
        return self.put(key, value) if key in self.values else None

    def remove(self, key: Any) -> Any:
        return self.values.pop(key, None)

    def clear(self) -> Any:
        self.values.clear()
        return ANYTHING

    def size(self) -> int:
        return len(self.values)


class Set:
    def __init__(self) -> None:
        self.elements: list[Any] = []

    def add(self, element: Any) -> bool:
        if element in self.elements:
            return False
        self.elements.append(element)
        return True

    def remove(self, element: Any) -> bool:
        there = element in self.elements
        if there:
            self.elements.remove(element)
        return there

    def contains(self, element: Any) -> bool:
        return element in self.elements

    def clear(self) -> Any:
        self.elements = []
        return ANYTHING

    def size(self) -> int:
        return len(self.elements)


class Queue:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def offer(self, item: Any) -> Any:
        self.items.append(item)
        return ANYTHING

    def poll(self) -> Any:
        return self.items.pop(0) if self.items else None

    take = poll

    def peek(self) -> Any:
        return self.items[0] if self.items else None

    def size(self) -> int:
        return len(self.items)

    def contains(self, item: Any) -> bool:
        return item in self.items

    def remove(self, item: Any) -> bool:
        if item not in self.items:
            return False
        self.items.remove(item)
        return True

    def clear(self) -> Any:
        self.items = []
        return ANYTHING


class Lock:
    """Takes the result along: a token is whatever the lock says, as long as it grows."""

    def __init__(self) -> None:
        self.holder: Any = None
        self.token: Any = None
        self.highest = 0

    def apply(self, operation: Operation) -> bool:
        if operation.name in ("lock", "try_lock"):
            return self._lock(operation)
        if operation.name == "holder":
            if self.holder is not None and self.token == "unknown":
                return not operation.known or operation.result is not None
            return not operation.known or operation.result == self.token
        held = self.holder == operation.process
        if held and operation.arguments and self.token != "unknown":
            held = operation.arguments[0] == self.token
        if held:
            self.holder = self.token = None
        return not operation.known or operation.result == held

    def _lock(self, operation: Operation) -> bool:
        free = self.holder is None
        if not operation.known:
            if free:
                self.holder, self.token = operation.process, "unknown"
            return True
        if operation.result is None:
            return operation.name == "lock" or not free
        if not free or operation.result <= self.highest:
            return False
        self.holder, self.token = operation.process, operation.result
        self.highest = operation.result
        return True


OBJECTS: dict[str, Any] = {
    "register": Register,
    "counter": Counter,
    "map": Map,
    "set": Set,
    "queue": Queue,
    "lock": Lock,
}


def _apply(thing: Any, operation: Operation) -> bool:
    """Do it; whether it returned what the history says."""
    if isinstance(thing, Lock):
        return thing.apply(operation)
    key = () if operation.key is None else (operation.key,)
    result = getattr(thing, operation.name)(*key, *operation.arguments)
    return not operation.known or result is ANYTHING or result == operation.result


def linearizable(operations: Sequence[Operation], model: str) -> bool:
    """Whether any order of the known operations and some of the unknown ones explains every result."""
    known = [each for each in operations if each.known]
    unknown = [each for each in operations if not each.known]
    chosen = chain.from_iterable(combinations(unknown, size) for size in range(len(unknown) + 1))
    return any(_explains(order, model) for some in chosen for order in permutations([*known, *some]))


def _explains(order: Sequence[Operation], model: str) -> bool:
    latest = 0
    for operation in order:
        if operation.returned < latest:
            return False  # it had returned before one that comes earlier in the order was called
        latest = max(latest, operation.call)
    thing = deepcopy(OBJECTS[model]())
    return all(_apply(thing, operation) for operation in order)
