"""Requests that may have to wait, as an application makes them: taken, held, given back, or left to the end of the session.

It does what `Client.request` does, with the production book of requests: who waits is known before the command leaves, an
answer comes as an event, and whoever waits no longer takes the request back. So it is known what must not be left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from ocelog.client.calls import ClientState, EventBatch, Resource
from ocelog.client.protocol import errors
from ocelog.client.requests import ANSWER, GRACE_SECONDS, Request, Requests, command_timeout, wait_ms
from ocelog.shard.machines.base import StateMachine

from .resources import TAME, fresh, name_of, type_of
from .scheduler import MS, SECOND

if TYPE_CHECKING:
    from .client import SimClient
    from .workload import Operation

WAITS = (0.0, 0.05, 1.0, 5.0, 5.0, inf)
HOLD_MAX = 100 * MS

ASKED_MAX = 6
"""So much does one client ask for at once: more would only ever lose patience."""

HELD = 0.05
"""What is granted is never given back, with this probability."""

WILD_NUMBERS = 10
"""Requests on the wild resources have numbers below."""

Parts = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How a machine is asked for something that one may have to wait for.

    `ask(rng, serial)` is the command and its arguments behind number and wait; `give_back(number, answer)` the command that
    ends what was granted, None if nothing has to be; `others` are commands that clients send besides. `left(machine, session)`
    is whether a session has left anything in the machine. `arrived`: the command tells first what has come.
    """

    ask: Callable[[Random, int], Parts]
    give_back: Callable[[int, Any], Parts] | None = None
    others: Callable[[Random, int], Parts] | None = None
    left: Callable[[StateMachine, int], bool] = lambda machine, session: machine.watches(session)
    arrived: bool = False


_NOTHING = Resource("", "", 0)


def _nobody() -> None:
    """Nobody waits."""


def _waits(machine: Any, session: int) -> bool:
    return session in machine.waiters


REQUESTS: Mapping[str, Waiting] = {
    "lock": Waiting(
        ask=lambda rng, serial: ("lock",),
        give_back=lambda number, answer: ("unlock", number),
    ),
    "read_write_lock": Waiting(
        ask=lambda rng, serial: (rng.choice(("read", "write")),),
        give_back=lambda number, answer: ("unlock", number),
    ),
    "semaphore": Waiting(
        ask=lambda rng, serial: ("acquire", rng.randint(1, 3), 3),
        give_back=lambda number, answer: ("give_back", number),
    ),
    "election": Waiting(
        ask=lambda rng, serial: ("lead", fresh(serial)),
        give_back=lambda number, answer: ("resign", number),
    ),
    "barrier": Waiting(ask=lambda rng, serial: ("wait", 2)),
    "latch": Waiting(
        ask=lambda rng, serial: ("wait_open",),
        others=lambda rng, serial: rng.choice((("set_count", 3), ("count_down", 1), ("reset", 2))),
        left=_waits,
    ),
    "group": Waiting(
        ask=lambda rng, serial: ("send", rng.random() < 0.5, rng.choice(("random", "broadcast")), None, fresh(serial)),
        others=lambda rng, serial: ("join", b"m%d" % rng.randrange(3), 0, rng.random() < 0.7, None, None, 2, True),
        left=_waits,
    ),
    "queue": Waiting(
        ask=lambda rng, serial: ("take",),
        others=lambda rng, serial: rng.choice((("offer", fresh(serial)), ("offer", fresh(serial)), ("poll",))),
        left=_waits,
        arrived=True,
    ),
    "task_queue": Waiting(
        ask=lambda rng, serial: ("submit_and_wait", fresh(serial)),
        others=lambda rng, serial: rng.choice((("submit", fresh(serial)), ("subscribe", b"w", rng.randint(1, 3)))),
        left=_waits,
    ),
}
"""By type of machine. A new one at which clients wait joins with its row."""


class Asked:
    """A request and where it stands: the command that was `sent`, whether it still `waits`; `held` from its grant on."""

    def __init__(self, resource: str, request: Request) -> None:
        self.resource = resource
        self.request = request
        self.sent: Operation | None = None
        self.waits = True
        self.held = False


class Requester:
    """The requests of one client, in one life of its application."""

    def __init__(self, client: SimClient) -> None:
        self.client = client
        self.book = Requests()
        self.asked: dict[int, Asked] = {}
        for _ in range(WILD_NUMBERS):  # what comes for those on the wild resources is nobody's answer
            self.book.forget(self.book.expect(_NOTHING, _nobody))
        self._names = [name_of(machine, TAME) for machine in client.plan.machines if machine in REQUESTS]

    # -- asking --------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Ask for something, or do what keeps others going; False if the plan has no machine for that, or enough is asked."""
        if not self._names or len(self.asked) >= ASKED_MAX:
            return False
        scheduler = self.client.scheduler
        name = scheduler.rng.choice(self._names)
        row = REQUESTS[type_of(name)]
        if row.others is not None and scheduler.chance(0.6):
            serial = self.client.workload.next_serial()
            self._send(name, row.others(scheduler.rng, serial), serial)
        else:
            self._ask(name, row)
        return True

    def _ask(self, name: str, row: Waiting) -> None:
        scheduler = self.client.scheduler
        wait = scheduler.rng.choice(WAITS)
        serial = self.client.workload.next_serial()
        operation, *arguments = row.ask(scheduler.rng, serial)
        request = self.book.expect(self.client.resource(name), lambda: self._woken(request.number))
        asked = self.asked[request.number] = Asked(name, request)
        if row.arrived:
            arguments.append(self.book.take_arrived(0, name))
        parts = (operation, request.number, wait_ms(wait), *arguments)
        sent = asked.sent = self.client.submit(name, parts, serial=serial, timeout=command_timeout(wait, 1000.0))
        sent.then = lambda: self._answered(asked, sent.call.result, sent.call.error)
        if wait < inf:
            delay = int((wait + GRACE_SECONDS) * SECOND)
            scheduler.after(delay, self._out_of_patience, request.number)

    def _send(self, name: str, parts: Parts, serial: int = 0) -> None:
        self.client.submit(name, parts, serial=serial, timeout=1000.0)
        self.client.act_soon()

    # -- answers -------------------------------------------------------------------------------------

    def _answered(self, asked: Asked, result: Any, error: Exception | None) -> None:
        """The command has ended."""
        if not asked.waits:
            return
        if error is not None:
            self._take_back(asked)
        elif result is not None:
            self._granted(asked, result[0])

    def _woken(self, number: int) -> None:
        """An event has brought the answer, or the session is over."""
        asked = self.asked.get(number)
        if asked is None or not asked.waits:
            return
        if isinstance(asked.request.error, errors.SessionExpired):
            # As `Client.request` does: the command may have been sent in the next session, and wait there.
            self._take_back(asked)
        elif asked.request.error is not None:
            self._over(asked)
        else:
            self.client.workload.counts["requests that waited"] += asked.request.result is not None
            self._granted(asked, asked.request.result)

    def _granted(self, asked: Asked, answer: Any) -> None:
        row = REQUESTS[type_of(asked.resource)]
        asked.waits = False
        self.book.forget(asked.request)
        if row.arrived and answer is not None:
            self.book.arrived(0, asked.resource, answer[0])
        if answer is None or row.give_back is None:
            self._over(asked)
            return
        asked.held = True
        scheduler = self.client.scheduler
        if not scheduler.chance(HELD):  # or it is held until the session ends, or to the end of the run
            scheduler.after(scheduler.between(0, HOLD_MAX), self._give_back, asked, answer)

    def _give_back(self, asked: Asked, answer: Any) -> None:
        give_back = REQUESTS[type_of(asked.resource)].give_back
        if asked.held and give_back is not None:
            self._over(asked)
            self._send(asked.resource, give_back(asked.request.number, answer))

    def _out_of_patience(self, number: int) -> None:
        asked = self.asked.get(number)
        if asked is not None and asked.waits:
            self._take_back(asked)

    def _take_back(self, asked: Asked) -> None:
        self._over(asked)
        self.client.workload.counts["requests taken back"] += 1
        if asked.sent is not None:
            self.client.give_up(asked.sent)
        self._send(asked.resource, ("cancel", asked.request.number))

    def _over(self, asked: Asked) -> None:
        asked.waits = asked.held = False
        self.book.forget(asked.request)
        self.asked.pop(asked.request.number, None)

    # -- events and ends -----------------------------------------------------------------------------

    def given(self, batch: EventBatch) -> None:
        """Events have come: answers, tasks for this client's worker, and messages for the members that it is."""
        for event in batch.events:
            if event.name == ANSWER:
                self.book.answered(0, event.value)
            elif event.name == "change" and event.value[0] == "task":
                index, attempt, _ = event.value[3]
                parts = [("ack", index, attempt), ("give_back", index, attempt), ("fail", index, attempt, "no")]
                self._after(name_of("task_queue", TAME), parts)
            elif event.name == "change" and event.value[0] == "message":
                who, (index, attempt, *_) = event.value[1], event.value[3]
                parts = [(name, who, index, attempt) for name in ("ack", "reply", "fail")]
                self._after(name_of("group", TAME), [parts[0], (*parts[1], b"yes"), (*parts[2], "no")])

    def _after(self, name: str, ways: list[Parts]) -> None:
        """A task or a message is done with after a while, in one of these ways, mostly the first."""
        scheduler = self.client.scheduler
        parts = ways[0] if scheduler.chance(0.7) else scheduler.rng.choice(ways)
        scheduler.after(scheduler.between(0, HOLD_MAX), self._done, name, parts)

    def _done(self, name: str, parts: Parts) -> None:
        if self.client.requests is self:
            self._send(name, parts)

    def session_over(self, state: ClientState) -> None:
        """Nothing comes any more for what waits, and what was held is gone."""
        self.count_held()
        expired = state is ClientState.EXPIRED
        self.book.fail(0, (errors.SessionExpired if expired else errors.Closed)("the session is over"))
        for asked in list(self.asked.values()):
            if asked.held:
                self._over(asked)

    def count_held(self) -> None:
        """The session is left with what it holds."""
        held = sum(asked.held for asked in self.asked.values())
        self.client.workload.counts["held to the end of a session"] += held

    def finish(self) -> None:
        """Give everything back that is held, and take back what waits."""
        for asked in list(self.asked.values()):
            if asked.held:
                self._give_back(asked, None)
            else:
                self._take_back(asked)
