"""What the log means for the machines of the registry: each runs once, from the first entry on, and is never rebuilt.

The machines are the production ones; who calls them, when, and what becomes of what they ask for (releases, timers,
events) is written here a second time, without the executor. So a replica that compacted, was rebuilt or had its
snapshot sent has to be what one is that kept everything. What the machines themselves promise has rules of its own
(`rule_checkers.py`), which are told here what happened, as `facts` of the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

import msgpack
from ocelog.client.protocol import errors
from ocelog.log.entry import RELEASE
from ocelog.shard.machines.base import Commit, StateMachine
from ocelog.shard.unasked import UNASKED_TIMERS_FIRST

PENDING = ("pending_releases", "pending_timers", "pending_events")
"""What a machine has asked for and not got: nothing of its state."""

Publish = Callable[[int, list[int], str, Any], None]
"""Publishes for a resource, to these sessions as far as they are open."""


class Fact(NamedTuple):
    """Something that an entry did to a resource: `what` is "command", "published", "ended" or "deleted".

    A command has a name, its arguments and its value; what was published, and to each session its own, a name and a value.
    """

    what: str
    resource: int
    session: int = 0
    name: str = ""
    arguments: tuple[Any, ...] = ()
    value: Any = None


class Timer(NamedTuple):
    """As the order of timers goes: due time, the entry that armed it, its number there."""

    due: int
    armed_at: int
    number: int
    method: str
    arguments: tuple[Any, ...]
    owned: bool


class Known:
    """One resource: its machine, the entries its state lives in, and its timers. `changed` since its state was last asked for."""

    def __init__(self, name: str, machine: StateMachine) -> None:
        self.name = name
        self.machine = machine
        self.live: set[int] = set()
        self.timers: list[Timer] = []
        self.changed = True
        self._state = ""

    def state(self) -> str:
        """Everything it holds, in its order."""
        if self.changed:
            self.changed = False
            self._state = state_of(self.machine, [timer[:3] for timer in self.timers])
        return self._state


def state_of(machine: StateMachine, timers: list[tuple[Any, ...]]) -> str:
    """All that a machine holds, in its order, and the timers that are armed for it."""
    fields = sorted((name, value) for name, value in vars(machine).items() if name not in PENDING)
    return repr((fields, sorted(timers)))


class ModelMachines:
    """The resources by index. `facts` are those of the entry that is being read; whoever reads the next one empties them."""

    def __init__(self, publish: Publish) -> None:
        self.known: dict[int, Known] = {}
        self.facts: list[Fact] = []
        self.owners: dict[int, str] = {}
        self._publish = publish
        self._index = 0
        self._numbers: Iterator[int] = count()

    def begin(self, index: int) -> Iterator[int]:
        """The entry at `index` is read next; the numbers of what is armed there without a command asking for it."""
        self._index, self._numbers = index, count(UNASKED_TIMERS_FIRST)
        self.facts.clear()
        return self._numbers

    def open(self, name: str, kind: type[StateMachine]) -> None:
        """A new resource."""
        self.known[self._index] = Known(name, kind())
        self.owners[self._index] = kind.type_name

    def command(self, resource: int, session: int, time: int, name: str, arguments: tuple[Any, ...], mode: int) -> Any:
        """Run one command; returns its value as a client reads it. Raises Refused."""
        known = self.known[resource]
        operation = known.machine.operations.get(name)
        if operation is None or operation.mode is None:
            raise Refused(errors.UNKNOWN_OPERATION)
        known.changed = True
        try:
            value = operation.function(known.machine, Commit(self._index, time, session), *arguments)
            value = msgpack.unpackb(msgpack.packb(value), strict_map_key=False)
        except Exception:
            known.machine.forget_pending()
            raise Refused(errors.MACHINE_ERROR) from None
        self.facts.append(Fact("command", resource, session, name, arguments, value))
        if mode == RELEASE:
            known.live.add(self._index)
        self._take_effect(resource, known, time, count(), owned=mode == RELEASE)
        return value

    def first_timer(self) -> Timer | None:
        """The timer that comes first."""
        return min((timer for known in self.known.values() for timer in known.timers), default=None)

    def fire(self, timer: Timer, time: int) -> None:
        """Fire this timer: log time has reached it."""
        resource, known = next(item for item in self.known.items() if timer in item[1].timers)
        known.timers.remove(timer)
        known.changed = True
        self._unasked(resource, known, timer.method, Commit(self._index, time, 0), *timer.arguments)

    def session(self, resource: int, session: int, time: int, what: str) -> None:
        """A session has been opened, closed or expired: `what` is the listener for that."""
        known = self.known[resource]
        if what != "session_opened":
            self.facts.append(Fact("ended", resource, session))
        if hasattr(known.machine, what) and (what == "session_opened" or known.machine.watches(session)):
            self._unasked(resource, known, what, Commit(self._index, time, session))

    def delete(self, resource: int, time: int) -> bool:
        """The resource goes, with its entries and timers; False if it cannot, since it does not know its entries."""
        known = self.known[resource]
        releases = any(operation.mode == RELEASE for operation in known.machine.operations.values())
        if releases and not hasattr(known.machine, "live_entries"):
            return False
        self.facts.append(Fact("deleted", resource))
        if hasattr(known.machine, "deleted"):
            self._unasked(resource, known, "deleted", Commit(self._index, time, 0))
        del self.known[resource]
        return True

    def ask(self, known: Known, time: int, parts: tuple[Any, ...]) -> Any:
        """What a query answers now, as a client reads it."""
        name, *arguments = parts
        value = known.machine.operations[name].function(known.machine, Commit(self._index, time, 0), *arguments)
        return msgpack.unpackb(msgpack.packb(value), strict_map_key=False)

    def live(self) -> Iterator[int]:
        """The entries that state lives in."""
        for known in self.known.values():
            yield from known.live

    def _unasked(self, resource: int, known: Known, method: str, commit: Commit, *arguments: Any) -> None:
        known.changed = True
        try:
            getattr(known.machine, method)(commit, *arguments)
        except Exception:
            known.machine.forget_pending()
            return
        self._take_effect(resource, known, commit.time, self._numbers, owned=False)

    def _take_effect(self, resource: int, known: Known, time: int, numbers: Iterator[int], *, owned: bool) -> None:
        machine = known.machine
        for due, method, arguments in machine.pending_timers:
            number = next(numbers)
            known.timers.append(Timer(max(due, time + 1), self._index, number, method, arguments, owned))
        for sessions, content in machine.pending_events:
            name, value = _event_of(content)
            self._publish(resource, list(sessions), name, value)
            self.facts += [Fact("published", resource, session, name, (), value) for session in sessions]
        for index in machine.pending_releases:
            known.live.remove(index)
            known.timers = [timer for timer in known.timers if not (timer.owned and timer.armed_at == index)]
        machine.forget_pending()


class Refused(Exception):
    """The command has no effect; the argument is its error code."""


def _event_of(content: bytes) -> tuple[str, Any]:
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(content)
    return unpacker.unpack(), unpacker.unpack()


def machine_states(known: Mapping[int, Known]) -> list[tuple[int, str, str]]:
    """Of every resource its index, name and state."""
    return [(index, each.name, each.state()) for index, each in known.items()]
