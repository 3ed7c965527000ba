"""What applying costs without logs and sockets: `python -m ocelog.bench.executor_micro`.

One executor and entries in memory. Microseconds per entry for puts over a thousand keys and for counter adds, in batches
of several sizes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from ..client.protocol import operations
from ..log.entry import COMMAND, REGISTER, RELEASE, RESOURCE, SNAPSHOT, Record, encode
from ..shard.executor import Executor
from ..shard.machines.registry import registry

KEYS = 1000
VALUE = operations.encode(bytes(100))
TIME_MS = 1_700_000_000_000
SESSION, MAP, COUNTER = 1, 2, 3
"""Indexes of the first three entries: they open a session, a map and a counter."""


def opening() -> list[Record]:
    """The entries that everything else needs."""
    opened = [operations.encode([operations.SHARD, operations.OPEN, kind, kind]) for kind in ("map", "counter")]
    return [
        (REGISTER, SNAPSHOT, 0, 0, 0, msgpack.packb(["bench", bytes(16), 30_000])),
        (RESOURCE, SNAPSHOT, 1, SESSION, 1, opened[0]),
        (RESOURCE, SNAPSHOT, 1, SESSION, 2, opened[1]),
    ]


def puts(keys: int, first_sequence: int, count: int) -> Iterator[Record]:
    """So many puts over so many keys, each with all results but its own acknowledged."""
    for sequence in range(first_sequence, first_sequence + count):
        data = operations.encode([MAP, "put", operations.encode(f"key-{sequence % keys}"), VALUE])
        yield COMMAND, RELEASE, 1, SESSION, sequence, data


def adds(first_sequence: int, count: int) -> Iterator[Record]:
    """So many counter adds."""
    data = operations.encode([COUNTER, "add", 1])
    for sequence in range(first_sequence, first_sequence + count):
        yield COMMAND, SNAPSHOT, 1, SESSION, sequence, data


def entries(first_index: int, records: Sequence[Record]) -> tuple[memoryview, list[int]]:
    """Encoded as they stand in a segment, and where each begins."""
    data, sizes = encode(first_index, 1, TIME_MS, records)
    return memoryview(data), [0, *itertools.accumulate(sizes.tolist())][:-1]


def opened() -> Executor:
    """An executor with a session, a map and a counter."""
    executor = Executor(registry())
    executor.apply(*entries(1, opening()))
    return executor


def applying(name: str, records: list[Record], batch: int) -> str:
    """Apply records in batches; a line of figures."""
    executor = opened()
    buffer, offsets = entries(executor.applied_index + 1, records)
    begin = time.perf_counter()
    for start in range(0, len(offsets), batch):
        executor.apply(buffer, offsets[start : start + batch])
        executor.take_released()
        executor.forget_moved()
    return _line(f"{name}, {batch} at a time", len(records), time.perf_counter() - begin)


def _line(name: str, count: int, seconds: float) -> str:
    return f"{name:<40} {count:>9,} in {seconds:6.3f} s {seconds / count * 1e6:8.3f} us each"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.executor_micro", description=__doc__.split("\n")[0])
    parser.add_argument("--entries", type=int, default=200_000, metavar="N", help="per line (default %(default)s)")
    count = parser.parse_args(arguments).entries
    loads: dict[str, list[Any]] = {"put": list(puts(KEYS, 3, count)), "counter add": list(adds(3, count))}
    for name, records in loads.items():
        for batch in (1, 64, 1000):
            sys.stdout.write(applying(name, records, batch) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
