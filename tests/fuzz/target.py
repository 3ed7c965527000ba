"""What is fuzzed: a parser of bytes from outside, what it may raise, and samples of what it takes.

A target is a function of bytes that returns, or raises one of the errors that it declares. Anything else is a finding: another
exception (a failed assertion too), memory far beyond the input's size, or an input that it does not come back from.
"""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INPUT_BYTES_MAX = 64 * 1024
SECONDS_MAX = 20
"""CPU time after which an input counts as one that hangs: thousands of times what any should take."""
MEMORY_PER_BYTE = 80
"""Bytes of memory that a byte of input may cost: msgpack makes an empty map, of about 70 bytes, of one."""
MEMORY_BYTES = 4 << 20
"""What an input may cost besides: tables of fixed size, mappings, a replica's working room."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser. `run` takes an input; `repaired` gives back checksums that fit, so that mutations come past them.

    `accepted` are the errors that it may raise. `samples` are valid inputs, which mutations start from.
    """

    name: str
    run: Callable[[bytes], object]
    samples: Sequence[bytes]
    accepted: tuple[type[Exception], ...]
    repaired: Callable[[bytes], bytes] | None = None


class Hangs(BaseException):
    """An input took more than SECONDS_MAX of CPU time. No Exception, so that no handler on the way takes it for its own."""


class TakesMemory(Exception):
    """An input cost more memory than its size allows."""


def problem_of(target: Target, data: bytes, *, memory: bool = False) -> BaseException | None:
    """What is wrong with how the target takes this input, None when nothing is; with `memory`, its use is looked at too."""
    try:
        with _measured(len(data)) if memory else _bounded():
            target.run(data)
    except target.accepted:
        return None
    except (Exception, Hangs) as error:
        return error
    return None


@contextmanager
def _bounded() -> Iterator[None]:
    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise Hangs(f"no end after {SECONDS_MAX} s")

    before = signal.signal(signal.SIGVTALRM, hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _measured(size: int) -> Iterator[None]:
    with _bounded():
        tracemalloc.start()
        try:
            yield
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    allowed = MEMORY_BYTES + MEMORY_PER_BYTE * size
    if peak > allowed:
        raise TakesMemory(f"{size} bytes of input cost {peak} bytes of memory, more than {allowed}")
