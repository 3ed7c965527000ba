"""What maps and values answer, read a second time: plain dictionaries in log time, with times to live and versions."""

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


KEYED_CHECKERS = (MapAnswers, ValueAnswers)
