"""What applying costs without logs and sockets: `python -m ocelog.bench.executor_micro`.

One executor and entries in memory. Microseconds per entry for puts over a thousand keys and for counter adds, in batches
of several sizes; puts that a thousand sessions listen to; a capture of ten thousand sessions, at rest and while puts are
applied, with the longest pause it makes; and a million live map entries restored. As in a replica's process, what is there
is left alone by the garbage collector.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from ..client.protocol import operations
from ..log.entry import COMMAND, REGISTER, RELEASE, RESOURCE, SNAPSHOT, Record, encode
from ..shard.capture import Capture
from ..shard.executor import Executor
from ..shard.machines.registry import registry
from ..shard.restoring import install_state

KEYS = 1000
SESSIONS = 10_000
RESULTS = 20
"""Unacknowledged results of each session that is captured."""
TURN = 1000
LISTENERS = 1000
SLICE = 4000
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


def many_sessions(sessions: int) -> tuple[Executor, list[Record]]:
    """An executor with so many sessions, each with RESULTS results that it may ask for again, and a turn's puts of them."""
    executor = Executor(registry())
    records: list[Record] = [
        (REGISTER, SNAPSHOT, 0, 0, 0, msgpack.packb([f"client-{number}", number.to_bytes(16, "big"), 30_000]))
        for number in range(sessions + 1)
    ]
    opening = operations.encode([operations.SHARD, operations.OPEN, "map", "map"])
    records.append((RESOURCE, SNAPSHOT, 1, sessions + 1, 1, opening))
    put = operations.encode([sessions + 2, "put", operations.encode("key"), VALUE])
    for sequence in range(1, RESULTS + 1):
        records += [(COMMAND, RELEASE, sequence, session, sequence, put) for session in range(1, sessions + 1)]
    executor.apply(*entries(1, records))
    executor.take_released()
    last = RESULTS + 1
    return executor, [(COMMAND, RELEASE, last, session, last, put) for session in range(sessions - TURN, sessions)]


def heard(listeners: int, count: int = 100) -> str:
    """Apply puts, one at a time, that so many sessions listen to."""
    executor = Executor(registry())
    records: list[Record] = [
        (REGISTER, SNAPSHOT, 0, 0, 0, msgpack.packb([f"client-{number}", number.to_bytes(16, "big"), 30_000]))
        for number in range(listeners + 1)
    ]
    writer = listeners + 1
    things = writer + 1
    records.append(
        (RESOURCE, SNAPSHOT, 1, writer, 1, operations.encode([operations.SHARD, operations.OPEN, "map", "map"]))
    )
    listen = operations.encode([things, "listen", None])
    records += [(COMMAND, SNAPSHOT, 1, session, 1, listen) for session in range(1, writer)]
    put = operations.encode([things, "put", operations.encode("key"), VALUE])
    records += [(COMMAND, RELEASE, 1, writer, sequence, put) for sequence in range(2, count + 2)]
    buffer, offsets = entries(1, records)
    executor.apply(buffer, offsets[:-count])
    begin = time.perf_counter()
    for offset in offsets[-count:]:
        executor.apply(buffer, [offset])
        executor.take_released()
        executor.forget_moved()
    return _line(f"put, 1 at a time, heard by {listeners}", count, time.perf_counter() - begin)


def capturing(sessions: int, *, busy: bool) -> str:
    """Capture many sessions; after the first step a turn's puts may be applied, each of another session."""
    executor, records = many_sessions(sessions)
    buffer, offsets = entries(executor.applied_index + 1, records)
    begin = time.perf_counter()
    capture = Capture(executor)
    pauses = [time.perf_counter() - begin]
    done = False
    while not done:
        if busy and len(pauses) == 2:
            executor.apply(buffer, offsets)
        start = time.perf_counter()
        done = capture.step()
        pauses.append(time.perf_counter() - start)
    line = _line(f"capture of sessions{', puts between' if busy else ''}", sessions, time.perf_counter() - begin)
    size = sum(map(len, capture.pieces)) / 1e6
    return f"{line}, {len(pauses)} pauses, the longest {max(pauses) * 1e3:.1f} ms, {size:.1f} MB"


def restoring(live: int) -> str:
    """Restore so many live map entries, in slices as a replica does."""
    executor = opened()
    buffer, offsets = entries(executor.applied_index + 1, list(puts(live, 3, live)))
    executor.apply(buffer, offsets)
    capture = Capture(executor)
    while not capture.step():
        pass
    del executor
    gc.collect()
    begin = time.perf_counter()
    restored = install_state(Executor(registry()), capture.index, capture.pieces)
    longest = 0.0
    for start in range(0, len(offsets), SLICE):
        at = time.perf_counter()
        restored.restore(buffer, offsets[start : start + SLICE])
        longest = max(longest, time.perf_counter() - at)
    restored.finish()
    line = _line(f"restore of live entries, {SLICE} at a time", live, time.perf_counter() - begin)
    return f"{line}, the longest slice {longest * 1e3:.1f} ms"


def _line(name: str, count: int, seconds: float) -> str:
    return f"{name:<42} {count:>9,} in {seconds:6.3f} s {seconds / count * 1e6:8.3f} us each"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.executor_micro", description=__doc__.split("\n")[0])
    parser.add_argument("--entries", type=int, default=200_000, metavar="N", help="per line (default %(default)s)")
    count = parser.parse_args(arguments).entries
    loads: dict[str, list[Any]] = {"put": list(puts(KEYS, 3, count)), "counter add": list(adds(3, count))}
    for name, records in loads.items():
        for batch in (1, 64, 1000):
            sys.stdout.write(applying(name, records, batch) + "\n")
    for listeners in (1, LISTENERS):
        sys.stdout.write(heard(listeners) + "\n")
    # As the replica's process does; untuned, the collector takes as long again.
    gc.set_threshold(100_000, 50, 1000)
    for busy in (False, True):
        sys.stdout.write(capturing(SESSIONS, busy=busy) + "\n")
    sys.stdout.write(restoring(5 * count) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
