"""Receipts: what the cluster tells of how a call was served, collected inside a `with`.

    with client.receipts() as receipts:
        users.put("ada", 1)
    print(receipts)

Collecting is a matter of the code inside the block: of the thread, or of the asyncio task and those it starts. Outside of any
block nothing is traced and nothing costs anything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, NamedTuple

from .calls import Call

_collecting: ContextVar[Mapping[Tracing, Receipts]] = ContextVar("ocelog_receipts")


_UNITS = dict.fromkeys(("queued", "synced", "replicated", "applied", "elapsed"), " us")


class Receipt(NamedTuple):
    """One call: which operation of which resource, its log index, and what the shard told; microseconds and words.

    `fields` may be empty: for a call that failed before a replica served it, or whose receipt was lost on its way.
    """

    operation: str
    resource: str
    shard: int
    index: int  # type: ignore[assignment]  # shadows tuple.index
    elapsed_us: int
    error: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        told = {"index": self.index, **self.fields, "elapsed": self.elapsed_us}
        text = ", ".join(f"{name} {value}{_UNITS.get(name, '')}" for name, value in told.items())
        failed = f" failed ({self.error})" if self.error else ""
        return f"{self.operation} {self.resource} on shard {self.shard}{failed}: {text}"

    def as_dict(self) -> dict[str, Any]:
        """All of it by name."""
        own = {name: value for name, value in self._asdict().items() if name not in ("fields", "error")}
        return {**own, **({"error": self.error} if self.error else {}), **self.fields}


class Receipts:
    """The receipts of the calls that were finished inside the block, in the order in which they were."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._receipts: list[Receipt] = []
        self._token: Token[Mapping[Tracing, Receipts]] | None = None
        self.collecting = False

    def add(self, call: Call, elapsed: float) -> None:
        """Keep the receipt of a finished call; `elapsed` in seconds."""
        if self.collecting:
            error = type(call.error).__name__ if call.error is not None else ""
            microseconds = round(elapsed * 1e6)
            name, shard = call.resource.name, call.resource.shard
            receipt = Receipt(call.parts[0], name, shard, call.index, microseconds, error, dict(call.receipt or {}))
            self._receipts.append(receipt)

    def __enter__(self) -> Receipts:
        self._token = _collecting.set({**_collecting.get({}), self._tracing: self})
        self.collecting = True
        self._tracing.began()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.collecting = False
        self._tracing.ended()
        if self._token is not None:
            _collecting.reset(self._token)

    def __iter__(self) -> Iterator[Receipt]:
        return iter(self._receipts)

    def __len__(self) -> int:
        return len(self._receipts)

    def __getitem__(self, position: int) -> Receipt:
        return self._receipts[position]

    def __str__(self) -> str:
        return "\n".join(map(str, self._receipts))


class Tracing:
    """Whether anybody collects receipts of one client; `on` is looked at by every call."""

    def __init__(self) -> None:
        self.on = 0
        self._lock = threading.Lock()

    def began(self) -> None:
        """A block was entered."""
        with self._lock:
            self.on += 1

    def ended(self) -> None:
        """A block was left."""
        with self._lock:
            self.on -= 1

    def current(self) -> Receipts | None:
        """Where the call that is being made shall leave its receipt."""
        collector = _collecting.get({}).get(self)
        return collector if collector is not None and collector.collecting else None
