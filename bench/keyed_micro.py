"""What machines that hold things by key cost by themselves: `python -m ocelog.bench.keyed_micro`.

One machine in memory, with a million keys put in a random order: microseconds for each put of a new key, of one that is
there, and for a removal, and the longest of each; then everything read page by page, with the longest page; and what a
sorted map does at both ends and in the middle. As in a replica's process, what is there is left alone by the garbage
collector.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..client.protocol.values import encode_key
from ..shard.machines.base import Commit
from ..shard.machines.keyed import Keyed
from ..shard.machines.map import MapMachine
from ..shard.machines.multimap import MultimapMachine
from ..shard.machines.set import SetMachine
from ..shard.machines.sorted_map import SortedMapMachine
from ..shard.machines.sorted_set import SortedSetMachine

KEYS = 1_000_000
VALUE = b"v"
WRITES: dict[type[Keyed[Any, Any]], tuple[str, str]] = {
    MapMachine: ("put", "remove"),
    SortedMapMachine: ("put", "remove"),
    SetMachine: ("add", "remove"),
    SortedSetMachine: ("add", "remove"),
    MultimapMachine: ("put", "remove"),
}
"""How each machine writes and removes."""


class Driven:
    """One machine and the index of the last command."""

    def __init__(self, kind: type[Keyed[Any, Any]]) -> None:
        self.machine: Keyed[Any, Any] = kind()  # type: ignore[call-arg]
        self.index = 0

    def commands(self, operation: str, calls: Iterable[tuple[Any, ...]]) -> str:
        """Apply commands one by one; what one takes, and the longest."""
        function = self.machine.operations[operation].function
        machine, clock = self.machine, time.perf_counter
        count, longest = 0, 0.0
        began = before = clock()
        for arguments in calls:
            self.index += 1
            function(machine, Commit(self.index, 0, 1), *arguments)
            machine.forget_pending()
            count += 1
            now = clock()
            longest = max(longest, now - before)
            before = now
        return f"{(before - began) / count * 1e6:6.1f} us, longest {longest * 1e3:6.2f} ms"

    def ask(self, query: str, *arguments: Any) -> Any:
        """The answer to a query."""
        return self.machine.operations[query].function(self.machine, Commit(self.index, 0, 1), *arguments)

    def pages(self) -> str:
        """Read everything; what a row takes, and the longest page."""
        after, is_last, count, longest = 0, False, 0, 0.0
        began = time.perf_counter()
        while not is_last:
            before = time.perf_counter()
            is_last, after, rows = self.ask("page", after)
            longest = max(longest, time.perf_counter() - before)
            count += len(rows)
        return f"{(time.perf_counter() - began) / count * 1e6:6.1f} us, longest {longest * 1e3:6.2f} ms"

    def queries(self, query: str, calls: Sequence[tuple[Any, ...]]) -> str:
        """Ask many; what one takes."""
        began = time.perf_counter()
        for arguments in calls:
            self.ask(query, *arguments)
        return f"{(time.perf_counter() - began) / len(calls) * 1e6:6.1f} us"


def measure(kind: type[Keyed[Any, Any]], keys: list[bytes]) -> Iterable[str]:
    """Lines about one machine."""
    write, remove = WRITES[kind]
    has_value = kind not in (SetMachine, SortedSetMachine)
    written = [(key, VALUE) if has_value else (key,) for key in keys]
    driven = Driven(kind)
    yield f"a new key        {driven.commands(write, written)}"
    some = written[:: max(len(written) // 100_000, 1)]
    yield f"one that is there{driven.commands(write, some)}"
    yield f"a row of a page  {driven.pages()}"
    if kind in (SortedMapMachine, SortedSetMachine):
        bounds = [key for key, *_ in some[:1000]]
        yield f"range of 10      {driven.queries('range', [(key, None, True, True, False, 10) for key in bounds])}"
        yield f"the last         {driven.queries('range', [(None, None, True, True, True, 1)] * 1000)}"
        yield f"count            {driven.queries('count', [(key, None, True, True) for key in bounds])}"
        yield f"poll_first       {driven.commands('poll_first', [()] * min(1000, len(keys) // 4))}"
    yield f"removal          {driven.commands(remove, [(key,) for key, *_ in some])}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.keyed_micro", description=__doc__)
    parser.add_argument("--keys", type=int, default=KEYS, metavar="N", help=f"keys in each ({KEYS})")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the order of the keys (1)")
    options = parser.parse_args(argv)
    keys = [encode_key(f"user-{number}") for number in range(options.keys)]
    random.Random(options.seed).shuffle(keys)
    gc.collect()
    gc.freeze()
    gc.disable()
    for kind in WRITES:
        sys.stdout.write(f"{kind.type_name}, {len(keys)} keys\n")
        for line in measure(kind, keys):
            sys.stdout.write(f"  {line}\n")
            sys.stdout.flush()
    gc.enable()
    return 0


if __name__ == "__main__":
    sys.exit(main())
