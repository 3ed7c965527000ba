"""What the resources promise, one class per promise, read from what the log's commands were answered and what they published.

Who holds, waits or is next follows here from answers and events alone, as a user would work it out; no machine is looked
into but to ask it, at the end, whether it has forgotten anybody. `facts` of an entry are in the order in which they happened.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from .client import SimClient
from .model_machines import Fact
from .observer import Checker, Observer
from .requests import REQUESTS
from .resources import TAME, type_of

Holder = tuple[int, int]
"""A session and the number of its request."""


class Rule(Checker):
    """A promise of the machines of one type; `type_name` says of which. One method per kind of fact, by its name."""

    type_name = ""

    def entered(self, index: int) -> None:
        machines = self.observer.model.machines
        for fact in machines.facts:
            if machines.owners[fact.resource] == self.type_name:
                getattr(self, f"_{fact.what}")(index, fact)
        self.after(index)

    def after(self, index: int) -> None:
        """The entry is over."""

    def _command(self, index: int, fact: Fact) -> None:
        handler = getattr(self, f"_command_{fact.name}", None)
        if handler is not None:
            handler(index, fact, *fact.arguments)

    def _published(self, index: int, fact: Fact) -> None:
        """It published something."""

    def _ended(self, index: int, fact: Fact) -> None:
        """A session is over."""

    def _deleted(self, index: int, fact: Fact) -> None:
        """The resource is gone."""


class MutualExclusion(Rule):
    """A lock has one holder at a time; who waits longest is next; tokens grow strictly and are the index of the grant."""

    type_name = "lock"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._holder: dict[int, Holder | None] = defaultdict(lambda: None)
        self._token: dict[int, int] = defaultdict(int)
        self._waiting: dict[int, list[Holder]] = defaultdict(list)

    def _grant(self, index: int, fact: Fact, number: int, grant: Any) -> None:
        token, session, granted = grant[0], grant[1], grant[2]
        held = self._holder[fact.resource]
        self.check(held is None, f"lock {fact.resource} is granted to {grant} at {index} while {held} holds it")
        self.check((session, granted) == (fact.session, number), f"{fact} grants {grant} to somebody else")
        newer = self._token[fact.resource] < token == index
        self.check(newer, f"entry {index} grants token {token} behind token {self._token[fact.resource]}")
        self._token[fact.resource] = token
        self._holder[fact.resource] = (session, granted)

    def _command_lock(self, index: int, fact: Fact, number: int, wait: int | None) -> None:
        if fact.value is None:
            self._waiting[fact.resource].append((fact.session, number))
        elif fact.value[0] is not None:
            waiting = self._waiting[fact.resource]
            self.check(not waiting, f"{fact} is granted at {index} at once, though {waiting} wait")
            self._grant(index, fact, number, fact.value[0])

    def _command_unlock(self, index: int, fact: Fact, number: int) -> None:
        holds = self._holder[fact.resource] == (fact.session, number)
        self.check(holds == fact.value, f"{fact} at {index}, and {self._holder[fact.resource]} holds the lock")
        if holds:
            self._holder[fact.resource] = None

    def _command_cancel(self, index: int, fact: Fact, number: int) -> None:
        self._leave(fact.resource, (fact.session, number))

    def _leave(self, resource: int, who: Holder) -> None:
        if who in self._waiting[resource]:
            self._waiting[resource].remove(who)
        elif self._holder[resource] == who:
            self._holder[resource] = None

    def _published(self, index: int, fact: Fact) -> None:
        if fact.name != "answer":
            return
        number, grant = fact.value[:2]
        waiting = self._waiting[fact.resource]
        who = (fact.session, number)
        if len(fact.value) > 2 and who == self._holder[fact.resource]:
            return  # the lock is deleted, and its holder is told that it is lost
        self.check(who in waiting, f"entry {index} answers {who}, who does not wait")
        if grant:
            self.check(waiting[0] == who, f"entry {index} serves {who} before {waiting[0]}")
            self._grant(index, fact, number, grant)
        waiting.remove(who)

    def _ended(self, index: int, fact: Fact) -> None:
        waiting = self._waiting[fact.resource]
        waiting[:] = [who for who in waiting if who[0] != fact.session]
        held = self._holder[fact.resource]
        if held is not None and held[0] == fact.session:
            self._holder[fact.resource] = None

    def after(self, index: int) -> None:
        for resource, waiting in self._waiting.items():
            idle = waiting and self._holder[resource] is None
            there = resource in self.observer.model.machines.known
            self.check(not (idle and there), f"nobody holds lock {resource} after entry {index}, and {waiting} wait")


class QueueOrder(Rule):
    """A queue gives each item once, the oldest first; who waits longest gets it; what is taken back is the head again."""

    type_name = "queue"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._items: dict[int, deque[tuple[int, bytes]]] = defaultdict(deque)
        self._given: dict[int, dict[Holder, tuple[int, bytes]]] = defaultdict(dict)

    def _take(self, index: int, fact: Fact) -> tuple[int, bytes]:
        items = self._items[fact.resource]
        self.check(bool(items), f"{fact} at {index} gives an item, and there is none")
        return items.popleft()

    def _give(self, index: int, fact: Fact, number: int, given: list[Any]) -> None:
        head = self._take(index, fact)
        self.check(list(head) == given, f"entry {index} gives {given}, the head is {head}")
        self._given[fact.resource][fact.session, number] = head

    def _command_offer(self, index: int, fact: Fact, item: bytes) -> None:
        self._items[fact.resource].append((index, item))

    def _command_poll(self, index: int, fact: Fact) -> None:
        if fact.value is None:
            self.check(not self._items[fact.resource], f"{fact} at {index} finds nothing, and there are items")
        else:
            head = self._take(index, fact)
            self.check(head[1] == fact.value, f"{fact} at {index}, the head is {head}")

    def _command_take(self, index: int, fact: Fact, number: int, wait: int | None, arrived: list[int]) -> None:
        given = self._given[fact.resource]
        for who in [who for who, (item, _) in given.items() if item in arrived and who[0] == fact.session]:
            del given[who]
        if fact.value is not None and fact.value[0] is not None:
            self._give(index, fact, number, fact.value[0])

    def _command_cancel(self, index: int, fact: Fact, number: int) -> None:
        back = self._given[fact.resource].pop((fact.session, number), None)
        if back is not None:
            items = self._items[fact.resource]
            self._items[fact.resource] = deque(sorted([back, *items]))

    def _command_remove(self, index: int, fact: Fact, item: bytes) -> None:
        items = self._items[fact.resource]
        first = next((each for each in items if each[1] == item), None)
        self.check((first is not None) == fact.value, f"{fact} at {index}, and the first such item is {first}")
        if first is not None:
            items.remove(first)

    def _command_clear(self, index: int, fact: Fact) -> None:
        self._items[fact.resource].clear()

    def _published(self, index: int, fact: Fact) -> None:
        if fact.name == "answer" and fact.value[1] is not None:
            self._give(index, fact, *fact.value[:2])

    def _ended(self, index: int, fact: Fact) -> None:
        given = self._given[fact.resource]
        for who in [who for who in given if who[0] == fact.session]:
            del given[who]

    def after(self, index: int) -> None:
        for resource, known in self.observer.model.machines.known.items():
            if self.observer.model.machines.owners[resource] == self.type_name and known.changed:
                mine = sorted(
                    [at for at, _ in self._items[resource]] + [at for at, _ in self._given[resource].values()]
                )
                self.check(mine == sorted(known.live), f"queue {resource} at {index} keeps {known.live}, not {mine}")


class NoTaskLost(Rule):
    """A task is done once: until it is acknowledged or failed it is there; each time it is handed out it is counted."""

    type_name = "task_queue"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._tasks: dict[int, dict[int, int]] = defaultdict(dict)

    def _command_submit(self, index: int, fact: Fact, *arguments: Any) -> None:
        self._tasks[fact.resource][index] = 0

    _command_submit_and_wait = _command_submit

    def _finish(self, index: int, fact: Fact, task: int, attempt: int, *why: str) -> None:
        known = self._tasks[fact.resource]
        if fact.value:
            self.check(known.get(task) == attempt, f"{fact} at {index} is taken, the attempt was {known.get(task)}")
            del known[task]

    _command_ack = _command_fail = _finish

    def _published(self, index: int, fact: Fact) -> None:
        if fact.name == "change":
            task, attempt, _ = fact.value[3]
            known = self._tasks[fact.resource]
            self.check(task in known, f"entry {index} hands out {fact.value}, which is done or was never submitted")
            self.check(attempt == known[task] + 1, f"entry {index} hands out {fact.value} after attempt {known[task]}")
            known[task] = attempt

    def after(self, index: int) -> None:
        for resource, known in self.observer.model.machines.known.items():
            if self.observer.model.machines.owners[resource] == self.type_name and known.changed:
                mine = self._tasks[resource].keys()
                self.check(mine == known.live, f"task queue {resource} at {index} keeps {known.live}, not {set(mine)}")


class LeavesNothing(Checker):
    """When everything was given back and taken back, no open session has anything left where applications asked."""

    def finished(self, clients: Sequence[SimClient]) -> None:
        model = self.observer.model
        for known in model.machines.known.values():
            row = REQUESTS.get(type_of(known.name))
            if row is None or not known.name.endswith(TAME):
                continue
            for client in clients:
                session = client.session.envelope.session
                if session in model.sessions and not client.handler.stuck:
                    left = row.left(known.machine, session)
                    self.check(not left, f"session {session} of {client.name} is still known to {known.name}")


RULE_CHECKERS: tuple[type[Checker], ...] = (MutualExclusion, QueueOrder, NoTaskLost, LeavesNothing)
