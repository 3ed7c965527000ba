"""What maps, sets and values answer, read a second time: plain dictionaries in log time, with times to live and versions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from .model_machines import Fact
from .observer import Observer
from .rule_checkers import Rule


class Held(NamedTuple):
    """A value, the index of the entry that wrote it, and when its time to live ends: at the first entry of that time."""

    value: bytes
    version: int
    due: int | None


class Answers(Rule):
    """Keeps `held` by resource and key. What a command must be answered is what the method of its name says."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self.held: dict[int, dict[Any, Held]] = defaultdict(dict)

    def _command(self, index: int, fact: Fact) -> None:
        held = self._now(fact.resource)
        method = getattr(self, f"_answer_{fact.name}", None)
        if method is not None:
            expected = method(held, index, *fact.arguments)
            self.check(fact.value == expected, f"{fact} at {index} should have been answered {expected!r}")

    def _now(self, resource: int) -> dict[Any, Held]:
        """What is held, without that whose time is over."""
        held, time = self.held[resource], self.observer.model.time
        for key in [key for key, each in held.items() if each.due is not None and each.due <= time]:
            del held[key]
        return held

    def _write(self, held: dict[Any, Held], index: int, key: Any, value: bytes, ttl_ms: int) -> bytes | None:
        previous = held.pop(key, None)
        held[key] = Held(value, index, self.observer.model.time + ttl_ms if ttl_ms else None)
        return None if previous is None else previous.value

    def after(self, index: int) -> None:
        machines = self.observer.model.machines
        for resource, known in machines.known.items():
            if machines.owners[resource] == self.type_name and known.changed:
                mine = {each.version for each in self._now(resource).values()}
                self.check(mine == known.live, f"{known.name} lives in {known.live} after entry {index}, not in {mine}")


class MapAnswers(Answers):
    """A map answers what was there, writes what fits its condition, and forgets what has lived long enough."""

    type_name = "map"

    def _answer_put(self, held: dict[Any, Held], index: int, key: bytes, value: bytes, ttl_ms: int) -> bytes | None:
        return self._write(held, index, key, value, ttl_ms)

    def _answer_put_if_absent(self, held: dict[Any, Held], index: int, key: bytes, *written: Any) -> bytes | None:
        return held[key].value if key in held else self._write(held, index, key, *written)

    def _answer_replace(self, held: dict[Any, Held], index: int, key: bytes, *written: Any) -> bytes | None:
        return self._write(held, index, key, *written) if key in held else None

    def _answer_replace_if(self, held: dict[Any, Held], index: int, key: bytes, expected: bytes, *written: Any) -> bool:
        fits = key in held and held[key].value == expected
        if fits:
            self._write(held, index, key, *written)
        return fits

    def _answer_replace_if_version(
        self, held: dict[Any, Held], index: int, key: bytes, version: int, *written: Any
    ) -> bool:
        fits = key in held and held[key].version == version
        if fits:
            self._write(held, index, key, *written)
        return fits

    def _answer_remove(self, held: dict[Any, Held], index: int, key: bytes) -> bytes | None:
        return held.pop(key).value if key in held else None

    def _answer_remove_if(self, held: dict[Any, Held], index: int, key: bytes, expected: bytes) -> bool:
        return key in held and held[key].value == expected and bool(held.pop(key))

    def _answer_remove_if_version(self, held: dict[Any, Held], index: int, key: bytes, version: int) -> bool:
        return key in held and held[key].version == version and bool(held.pop(key))

    def _answer_clear(self, held: dict[Any, Held], index: int) -> None:
        held.clear()


class SetAnswers(Answers):
    """A set says whether a value is new, and whether it was there; one that is there keeps its time to live."""

    type_name = "set"

    def _answer_add(self, held: dict[Any, Held], index: int, value: bytes, ttl_ms: int) -> bool:
        if value in held:
            return False
        self._write(held, index, value, value, ttl_ms)
        return True

    def _answer_remove(self, held: dict[Any, Held], index: int, value: bytes) -> bool:
        return held.pop(value, None) is not None

    def _answer_remove_many(self, held: dict[Any, Held], index: int, *values: bytes) -> int:
        return sum(held.pop(value, None) is not None for value in values)

    def _answer_clear(self, held: dict[Any, Held], index: int) -> None:
        held.clear()


class MultimapAnswers(Answers):
    """A multimap is a set of keys with values, and lets go of all of a key or all of a value."""

    type_name = "multimap"

    def _answer_put(self, held: dict[Any, Held], index: int, key: bytes, value: bytes, ttl_ms: int) -> bool:
        if (key, value) in held:
            return False
        self._write(held, index, (key, value), value, ttl_ms)
        return True

    def _answer_remove(self, held: dict[Any, Held], index: int, key: bytes) -> list[Any]:
        gone = [entry for entry in held if entry[0] == key]
        return [True, [held.pop(entry).value for entry in gone]]

    def _answer_remove_entry(self, held: dict[Any, Held], index: int, key: bytes, value: bytes) -> bool:
        return held.pop((key, value), None) is not None

    def _answer_remove_value(self, held: dict[Any, Held], index: int, value: bytes) -> list[Any]:
        gone = [entry for entry in held if entry[1] == value]
        versions = [held.pop(entry).version for entry in gone]
        return [True, max(versions, default=0), len(gone)]

    def _answer_clear(self, held: dict[Any, Held], index: int) -> None:
        held.clear()


class Ends(Answers):
    """What has an order besides: its ends and ranges. The keys that are used here are in the order of their bytes."""

    def row(self, key: bytes, held: Held) -> Any:
        """What is told of a key."""
        return key

    def _answer_poll_first(self, held: dict[Any, Held], index: int) -> Any:
        return self.row(min(held), held.pop(min(held))) if held else None

    def _answer_poll_last(self, held: dict[Any, Held], index: int) -> Any:
        return self.row(max(held), held.pop(max(held))) if held else None

    def _answer_remove_range(
        self,
        held: dict[Any, Held],
        index: int,
        low: bytes | None,
        high: bytes | None,
        low_is_in: bool,
        high_is_in: bool,
    ) -> list[Any]:
        above = [key for key in held if low is None or key > low or (low_is_in and key == low)]
        gone = [key for key in above if high is None or key < high or (high_is_in and key == high)]
        for key in gone:
            del held[key]
        return [True, len(gone)]


class SortedMapAnswers(Ends, MapAnswers):
    """A sorted map is a map."""

    type_name = "sorted_map"

    def row(self, key: bytes, held: Held) -> Any:
        return [key, held.value]


class SortedSetAnswers(Ends, SetAnswers):
    """A sorted set is a set."""

    type_name = "sorted_set"


class ValueAnswers(Answers):
    """A value answers what was there, and is there as long as it was to live."""

    type_name = "value"

    def _answer_set(self, held: dict[Any, Held], index: int, value: bytes, ttl_ms: int) -> None:
        self._write(held, index, None, value, ttl_ms)

    def _answer_get_and_set(self, held: dict[Any, Held], index: int, value: bytes, ttl_ms: int) -> bytes | None:
        return self._write(held, index, None, value, ttl_ms)

    def _answer_compare_and_set(
        self, held: dict[Any, Held], index: int, expected: bytes | None, value: bytes, ttl_ms: int
    ) -> bool:
        fits = (held[None].value if held else None) == expected
        if fits:
            self._write(held, index, None, value, ttl_ms)
        return fits

    def _answer_clear(self, held: dict[Any, Held], index: int) -> bytes | None:
        return held.pop(None).value if held else None


KEYED_CHECKERS = (MapAnswers, SetAnswers, MultimapAnswers, SortedMapAnswers, SortedSetAnswers, ValueAnswers)
