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


class Holding(Rule):
    """What is held is held by those only who may hold it together; first come, first served; tokens are the grants' indexes.

    A kind of holding says which commands take (`wants` of their arguments), which give back, and what `fits`.
    """

    gives_back = "unlock"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self.holders: dict[int, dict[Holder, Any]] = defaultdict(dict)
        self._waiting: dict[int, dict[Holder, Any]] = defaultdict(dict)
        self._token: dict[int, int] = defaultdict(int)

    def wants(self, fact: Fact) -> Any:
        """What a command asks for; None if it is none that asks. What lets all in that fit is 0 or False, never None."""
        raise NotImplementedError

    def fits(self, resource: int, wants: Any) -> bool:
        """Whether this may be had beside what is held."""
        raise NotImplementedError

    def _grant(self, index: int, fact: Fact, number: int, wants: Any, grant: list[int]) -> None:
        resource, who = fact.resource, (fact.session, number)
        held = self.holders[resource]
        self.check(self.fits(resource, wants), f"{fact.resource} is granted to {grant} at {index}, and held by {held}")
        self.check((grant[1], grant[2]) == who, f"{fact} grants {grant} to somebody else")
        token = grant[0]
        self.check(
            self._token[resource] <= token == index, f"entry {index} grants {token} after {self._token[resource]}"
        )
        self._token[resource] = token
        held[who] = wants

    def _command(self, index: int, fact: Fact) -> None:
        who = (fact.session, fact.arguments[0] if fact.arguments else 0)
        waiting, held = self._waiting[fact.resource], self.holders[fact.resource]
        wants = self.wants(fact)
        if wants is not None and fact.value is None:
            waiting[who] = wants
        elif wants is not None and fact.value[0] is not None:
            self.check(not waiting, f"{fact} is granted at {index} at once, though {list(waiting)} wait")
            self._grant(index, fact, who[1], wants, fact.value[0])
        elif fact.name == self.gives_back:
            self.check((who in held) == fact.value, f"{fact} at {index}, and it is held by {held}")
            held.pop(who, None)
        elif fact.name == "cancel":
            waiting.pop(who, None) or held.pop(who, None)

    def _published(self, index: int, fact: Fact) -> None:
        if fact.name != "answer":
            return
        number, grant, *refused = fact.value
        waiting, who = self._waiting[fact.resource], (fact.session, number)
        if refused and who in self.holders[fact.resource]:
            return  # what was held is lost with the resource
        self.check(who in waiting, f"entry {index} answers {who}, who does not wait")
        first, wants = next(iter(waiting)), waiting.pop(who)
        if grant:
            self.check(first == who, f"entry {index} serves {who} before {first}")
            self._grant(index, fact, number, wants, grant)

    def _ended(self, index: int, fact: Fact) -> None:
        for requests in (self._waiting[fact.resource], self.holders[fact.resource]):
            for who in [who for who in requests if who[0] == fact.session]:
                del requests[who]

    def after(self, index: int) -> None:
        for resource, waiting in self._waiting.items():
            if waiting and resource in self.observer.model.machines.known:
                first = next(iter(waiting))
                served = not self.fits(resource, waiting[first])
                self.check(served, f"{first} waits for {resource} after entry {index}, and could have it")


class MutualExclusion(Holding):
    """A lock has one holder at a time, and each has a higher token than those before."""

    type_name = "lock"

    def wants(self, fact: Fact) -> Any:
        return False if fact.name == "lock" else None

    def fits(self, resource: int, wants: Any) -> bool:
        return not self.holders[resource]

    def _grant(self, index: int, fact: Fact, number: int, wants: Any, grant: list[int]) -> None:
        before = self._token[fact.resource]
        self.check(grant[0] > before, f"entry {index} grants token {grant[0]} behind token {before}")
        super()._grant(index, fact, number, wants, grant)


class ReadersOrOneWriter(Holding):
    """A writer has a read-write lock alone."""

    type_name = "read_write_lock"

    def wants(self, fact: Fact) -> Any:
        return {"read": False, "write": True}.get(fact.name)

    def fits(self, resource: int, wants: Any) -> bool:
        held = self.holders[resource]
        return not held if wants else True not in held.values()


class PermitsSuffice(Holding):
    """No more permits of a semaphore are granted than it has."""

    type_name = "semaphore"
    gives_back = "give_back"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._capacity: dict[int, int] = defaultdict(int)

    def wants(self, fact: Fact) -> Any:
        return fact.arguments[2] if fact.name == "acquire" else None

    def fits(self, resource: int, wants: Any) -> bool:
        return sum(self.holders[resource].values()) + wants <= self._capacity[resource]

    def _command(self, index: int, fact: Fact) -> None:
        capacity = {"acquire": fact.arguments[-1], "set_capacity": fact.arguments[0]}.get(fact.name)
        self._capacity[fact.resource] = capacity or self._capacity[fact.resource]
        super()._command(index, fact)


class OneLeaderPerTerm(Rule):
    """A term of an election has one leader, for ever; terms grow, and are the indexes at which they begin."""

    type_name = "election"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._leaders: dict[tuple[int, int], Any] = {}
        self._latest: dict[int, int] = defaultdict(int)
        self._ids: dict[tuple[int, Holder], bytes] = {}

    def _leads(self, index: int, fact: Fact, id: bytes | None, term: int) -> None:
        known = self._leaders.setdefault((fact.resource, term), id)
        self.check(known == id, f"term {term} of {fact.resource} is led by {known!r} and, at {index}, by {id!r}")
        latest = self._latest[fact.resource]
        # Who leads by `run` is told of it as a listener, if it listens; whoever asks may be told of an earlier entry's term.
        rises = latest <= term <= index if fact.name == "run" else latest <= term == index
        self.check(rises, f"entry {index} tells of term {term} behind {latest}")
        self._latest[fact.resource] = term

    def _command_run(self, index: int, fact: Fact, id: bytes) -> None:
        self._leads(index, fact, *fact.value)

    def _command_lead(self, index: int, fact: Fact, number: int, wait: int | None, id: bytes) -> None:
        if fact.value is None or fact.value[0] is not None:
            self._ids[fact.resource, (fact.session, number)] = id
        if fact.value is not None and fact.value[0] is not None:
            self._leads(index, fact, id, fact.value[0][0])

    def _published(self, index: int, fact: Fact) -> None:
        if fact.name == "answer" and fact.value[1] is not None:
            self._leads(index, fact, self._ids[fact.resource, (fact.session, fact.value[0])], fact.value[1][0])
        elif fact.name == "change" and fact.value[0] == "elected" and fact.value[3] is not None:
            self._leads(index, fact, *fact.value[3])


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


class MessagesInOrder(Rule):
    """A member of a group is given its messages in their order, each again until it is handled, and then no more."""

    type_name = "group"

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._attempts: dict[tuple[int, bytes], dict[int, int]] = defaultdict(dict)
        self._handled: dict[tuple[int, bytes], set[int]] = defaultdict(set)

    def _handles(self, index: int, fact: Fact, member: bytes, message: int, attempt: int, *more: Any) -> None:
        if fact.value:
            given = self._attempts[fact.resource, member].get(message)
            self.check(given == attempt, f"{fact} at {index} is taken, the attempt was {given}")
            handled = self._handled[fact.resource, member]
            self.check(message not in handled, f"{fact} at {index} is taken, and was handled before")
            handled.add(message)

    _command_ack = _command_fail = _command_reply = _handles

    def _published(self, index: int, fact: Fact) -> None:
        if fact.name != "change" or fact.value[0] != "message":
            return
        who = (fact.resource, fact.value[1])
        message, attempt, *_ = fact.value[3]
        given = self._attempts[who]
        text = f"entry {index} gives {fact.value}"
        self.check(message not in self._handled[who], f"{text}, which it has handled")
        self.check(attempt == given.get(message, 0) + 1, f"{text} after attempt {given.get(message, 0)}")
        self.check(attempt > 1 or message > max(given, default=0), f"{text} behind {max(given, default=0)}")
        given[message] = attempt


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


RULE_CHECKERS: tuple[type[Checker], ...] = (
    MutualExclusion,
    ReadersOrOneWriter,
    PermitsSuffice,
    OneLeaderPerTerm,
    QueueOrder,
    NoTaskLost,
    MessagesInOrder,
    LeavesNothing,
)
