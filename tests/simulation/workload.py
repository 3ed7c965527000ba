"""What simulated clients do and what is remembered of it: operations, their mix, and the sessions there have been.

Every command that writes carries a serial number nobody else uses, so its effect can be recognised wherever it shows up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ocelog.client.calls import Call
from ocelog.client.protocol import frames
from ocelog.client.protocol.operations import DELETE

from .resources import QUERIES, TAME, WILD, draw_command, name_of
from .swarm import Plan

OPERATIONS = (
    "put",
    "put",
    "put",
    "put",
    "put_if_absent",
    "put_if_absent",
    "replace",
    "replace",
    "remove",
    "remove",
    "clear",
)
LEASE_OPERATIONS = ("put", "put", "put_if_absent", "hold", "put_both", "alarm", "remove", "clear")
TTLS = (0, 20, 50, 100, 100, 500, 3000)
"""In ms; often the same, so that timers fall due together."""

LEVELS = (
    frames.LINEARIZABLE,
    frames.BOUNDED_LINEARIZABLE,
    frames.BOUNDED_LINEARIZABLE,
    frames.SEQUENTIAL,
    frames.SEQUENTIAL,
    frames.CAUSAL,
)
LEVEL_NAMES = {
    frames.LINEARIZABLE: "LINEARIZABLE",
    frames.BOUNDED_LINEARIZABLE: "BOUNDED_LINEARIZABLE",
    frames.SEQUENTIAL: "SEQUENTIAL",
    frames.CAUSAL: "CAUSAL",
}
SELECTIONS = (0, 0, frames.TO_LEADER, frames.TO_FOLLOWERS)

BAD_PARTS = (
    ("frobnicate",),
    ("put", b"k0"),
    ("add", "one"),
    ("add", 1 << 63),
    ("put", b"k0", b"x" * 500),
)


@dataclass(eq=False)
class Operation:
    """One call and what is known of it.

    `serial` is 0 for a query; `known_index` is what everybody together knew of the log when it began; `behind` is the
    command that its client had submitted last; `session_over` whether its session had ended before it did. A question is about
    `asked`: session, key and sequence. `then` is called when it has ended. `reopened`: it runs for the second time, since its
    resource was gone; `given_up`: nobody waited for it any more.
    """

    client: str
    serial: int
    resource: str
    parts: tuple[Any, ...]
    known_index: int
    behind: Operation | None
    call: Call = field(init=False)
    session_id: int = 0
    session_over: bool = False
    reopened: bool = False
    given_up: bool = False
    asked: tuple[int, bytes, int] | None = None
    then: Callable[[], None] | None = None

    def __str__(self) -> str:
        return f"{self.client}: {self.parts} on {self.resource}, session {self.session_id} {self.call.sequence}"

    @property
    def is_read(self) -> bool:
        """Whether it asks a machine."""
        return self.call.is_query and self.asked is None

    @property
    def is_strong(self) -> bool:
        """Whether it is a read that has to be linearizable."""
        return self.is_read and self.call.level in (frames.LINEARIZABLE, frames.BOUNDED_LINEARIZABLE)


class Workload:
    """What all clients of a run share: serial numbers, and what is known to have happened.

    `sessions` are all that clients have had: id to key and how many sequences it may have used; `issued` counts what was drawn,
    `counts` what became of requests.
    """

    def __init__(self) -> None:
        self.serial = 0
        self.issued = 0
        self.counts: Counter[str] = Counter()
        self.known_index = 0
        self.open: set[Operation] = set()
        self.finished: list[Operation] = []
        self.sessions: dict[int, tuple[bytes, int]] = {}

    def next_serial(self) -> int:
        """A number for one command."""
        self.serial += 1
        return self.serial

    def note_session(self, session: int, key: bytes, sequence: int) -> None:
        """A client has this session, and has used this sequence of it."""
        self.sessions[session] = (key, max(sequence, self.sessions.get(session, (key, 0))[1]))


@dataclass(frozen=True)
class Drawn:
    """What to do next: arguments of `SimClient.submit`, or of `SimClient.ask`."""

    resource: str
    parts: tuple[Any, ...]
    is_command: bool = True
    level: int | None = None
    selection: int = 0


def draw_operation(rng: Random, plan: Plan, workload: Workload, query_share: float) -> Drawn:
    """One operation of the plan's mix; the serial of a command is the workload's newest."""
    if plan.resource_share and rng.random() < plan.resource_share:
        return _draw_of_machine(rng, plan, workload, query_share)
    resource = "leases" if rng.random() < plan.lease_share else rng.choice(("map", "counter"))
    key = b"k%d" % rng.randrange(plan.keys)
    if rng.random() < query_share:
        return _query(rng, plan, resource, ("get",) if resource == "counter" else ("get", key))
    serial = workload.next_serial()
    if rng.random() < plan.bad_share:
        return Drawn(resource, rng.choice(BAD_PARTS))
    level = None
    if plan.settle_share and rng.random() < plan.settle_share:
        level = frames.LINEARIZABLE
    if plan.listen_share and rng.random() < plan.listen_share:
        if resource == "leases":
            return Drawn(resource, ("watch",), level=level)
        what = rng.choice(("listen", "listen", "unlisten"))
        return Drawn(resource, (what, None if resource == "counter" or rng.random() < 0.5 else key), level=level)
    if resource == "counter":
        return Drawn(resource, ("add", serial), level=level)
    if resource == "leases":
        return Drawn(resource, _lease_parts(rng, plan, key, b"v%d" % serial))
    name = rng.choice(OPERATIONS)
    parts = {"clear": (), "remove": (key,)}.get(name, (key, b"v%d" % serial))
    return Drawn(resource, (name, *parts), level=level)


def _query(rng: Random, plan: Plan, resource: str, parts: tuple[Any, ...]) -> Drawn:
    level, selection = None, 0
    if plan.weak_share and rng.random() < plan.weak_share:
        level, selection = rng.choice(LEVELS), rng.choice(SELECTIONS)
    return Drawn(resource, parts, False, level, selection)


def _draw_of_machine(rng: Random, plan: Plan, workload: Workload, query_share: float) -> Drawn:
    """Something with one of the plan's machines: a query, any command at all, or that the resource is deleted."""
    machine = rng.choice(plan.machines)
    name = name_of(machine, rng.choice((WILD, WILD, TAME)))
    queries = QUERIES.get(machine, ())
    if queries and rng.random() < query_share:
        return _query(rng, plan, name, rng.choice(queries))
    serial = workload.next_serial()
    if plan.delete_share and rng.random() < plan.delete_share:
        return Drawn("shard", (DELETE, name))
    level = frames.LINEARIZABLE if plan.settle_share and rng.random() < plan.settle_share else None
    wild = name_of(machine, WILD)
    return Drawn(wild, draw_command(rng, machine, serial, workload.known_index), level=level)


def _lease_parts(rng: Random, plan: Plan, key: bytes, value: bytes) -> tuple[Any, ...]:
    name = rng.choice(LEASE_OPERATIONS)
    if name == "alarm":
        return name, rng.choice(TTLS), rng.randrange(3)
    if name == "put_both":
        return name, key, b"k%d" % rng.randrange(plan.keys), value
    if name in ("remove", "clear"):
        return (name, key) if name == "remove" else (name,)
    return (name, key, value) if name == "hold" else (name, key, value, rng.choice(TTLS))
