"""What one load process is asked to do, as a value that travels as JSON on its command line."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import asdict, dataclass

OPERATIONS_MAX = 50_000_000
"""Operations per run: the history is kept whole, at 40 bytes each."""

KEYS_MAX = 1_000_000
"""Keys per run: every key is read back at the end."""

SECONDS_MAX = 3600.0
"""A load stops by itself after this long, whatever else it was asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One process's share of a load. `seconds` bounds the load itself, `timeout` each call (both in seconds).

    `consistency` names the level of gets, empty for the client's own.
    `rate` is the operations a second that are offered at intended times; with 0 each begins when another is answered.
    """

    workload: str
    endpoints: tuple[str, ...] | None
    source: int
    names: tuple[str, ...]
    clients: int = 1
    inflight: int = 1
    operations: int = 1
    seconds: float = SECONDS_MAX
    keys: int = 1
    value_bytes: int = 100
    timeout: float = 10.0
    seed: int = 0
    rate: float = 0.0
    consistency: str = ""

    def to_json(self) -> str:
        """The plan as one command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        endpoints = fields["endpoints"]
        fields["endpoints"] = tuple(endpoints) if endpoints is not None else None
        fields["names"] = tuple(fields["names"])
        return cls(**fields)

    def key_names(self) -> list[str]:
        """The keys of the run: random UUIDs, as in Copycat's own test; equal seeds give equal keys in every process."""
        draw = random.Random(self.seed)
        return [str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(self.keys)]


def shares(total: int, parts: int) -> list[int]:
    """`total` in `parts` whole shares that differ by at most one."""
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]
