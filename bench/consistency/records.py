"""The history of a run: one record per operation, per listener and per thing that a listener was given.

Pure values: nothing here judges. Times are nanoseconds of one clock that all clients share (CLOCK_MONOTONIC of a
host). Indexes are log indexes of the one shard that a resource lives on; 0 where the client was not told.
Every value is written once in a run, so that a value seen says which command wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ..checker import MODELS
from ..checker import Operation as Checked
from ..checker.operation import frozen
from ..checker.reading import as_line, read_lines

NEVER = 1 << 62
"""The return time of what had not ended when the history was closed, or whose fate is unknown."""

OK = "ok"
FAILED = "failed"
UNKNOWN = "unknown"

LINEARIZABLE = "linearizable"
BOUNDED_LINEARIZABLE = "bounded"
SEQUENTIAL = "sequential"
CAUSAL = "causal"

QUERIES = frozenset(("get",))


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One command or query of one client.

    `number` is its place in the order in which its session submitted; `outcome` OK, FAILED (surely without effect) or
    UNKNOWN; `index` where a command was applied, or the state that a query was answered from. Of a map `value` is what a
    write writes, of a counter the number it adds.
    """

    client: str
    session: int
    number: int
    resource: str
    name: str
    key: str | None = None
    value: Any = None
    level: str = LINEARIZABLE
    invoked: int
    returned: int = NEVER
    outcome: str = OK
    result: Any = None
    index: int = 0

    @property
    def is_query(self) -> bool:
        """Whether it changes nothing."""
        return self.name in QUERIES

    @property
    def model(self) -> str:
        """What it is an operation of: a counter has no keys, and of a map only `clear` has none."""
        return "map" if self.key is not None or self.name == "clear" else "counter"

    def checked(self) -> Checked:
        """The same as the checker of histories takes it."""
        return Checked(
            self.name,
            () if self.value is None or self.name in ("get", "remove", "clear") else (frozen(self.value),),
            frozen(self.result),
            call=self.invoked,
            returned=self.returned if self.outcome == OK else NEVER,
            process=self.client,
            key=self.key,
            resource=self.resource,
            model=self.model,
            index=self.index,
        )

    def line(self) -> str:
        """The line of it in a file, which `ocelog check` reads too."""
        more: dict[str, Any] = {"outcome": self.outcome, "session": self.session, "number": self.number}
        if self.outcome == OK:
            more["result"] = self.result
        elif self.returned < NEVER:
            more["return"] = self.returned
        # A command is linearizable at every level; of a read the level says what it promises.
        more["level" if self.is_query else "waited"] = self.level
        return as_line(self.checked(), **more)

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Operation:
        """Read what `line` wrote."""
        arguments = record["arguments"]
        return cls(
            client=record["process"],
            session=record["session"],
            number=record["number"],
            resource=record["resource"],
            name=record["operation"],
            key=record.get("key"),
            value=arguments[0] if arguments else None,
            level=record["level"] if "level" in record else record["waited"],
            invoked=record["call"],
            returned=NEVER if record["return"] is None else record["return"],
            outcome=record["outcome"],
            result=record.get("result"),
            index=record.get("index", 0),
        )

    def __str__(self) -> str:
        told = f"{self.result!r}" if self.outcome == OK else self.outcome
        what = ", ".join(str(part) for part in (self.key, self.value) if part is not None)
        return (
            f"{self.client}/{self.session} #{self.number} {self.resource}.{self.name}({what}) = {told} at {self.index}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What a listener was given: the event of one index, or (`kind` "resync") the state as of that index.

    `received` is when it was handed over, `handled` when the listener was done with it (NEVER: it was not).
    """

    session: int
    index: int
    kind: str
    key: str | None = None
    old: Any = None
    new: Any = None
    received: int = 0
    handled: int = NEVER


RESYNC = "resync"


@dataclass(kw_only=True, slots=True)
class Listener:
    """One subscription: all changes of `resource`, or those of `key`, with an index above `since`.

    `until` is the last index by which it had certainly been given everything (0: nobody waited for that); `closed` is when
    it stopped to listen; `expired` are the sessions that it lost, whose events nobody has to wait for.
    """

    client: str
    resource: str
    key: str | None = None
    since: int
    until: int = 0
    closed: int = NEVER
    expired: list[int] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)

    def wants(self, key: str | None) -> bool:
        """Whether changes of this key are for it; `clear` (None) is for everybody."""
        return self.key is None or key is None or key == self.key


@dataclass(kw_only=True, slots=True)
class History:
    """All of it; `objects` are operations on locks, queues and sets, of which only the order is judged."""

    operations: list[Operation] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    objects: list[Checked] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """As text, one JSON object per line, in the format of `ocelog check`."""
        for operation in self.operations:
            yield operation.line()
        for each in self.objects:
            yield as_line(each)
        for listener in self.listeners:
            yield json.dumps({"record": "listener"} | asdict(listener))

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> History:
        """Read what `lines` wrote. Raises ValueError for anything else."""
        history = cls()
        models = {name: made() for name, made in MODELS.items()}
        for line in lines:
            record = json.loads(line)
            if record.get("record") == "listener":
                del record["record"]
                record["given"] = [Given(**each) for each in record["given"]]
                history.listeners.append(Listener(**record))
            elif "session" in record:
                history.operations.append(Operation.of_record(record))
            else:
                history.objects += read_lines([line.encode()], "a history", None, models).operations
        return history
