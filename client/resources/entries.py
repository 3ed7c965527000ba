"""Keys and entries as the resources that have keys take and give them, and what of an operation they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..protocol.values import encode_key, encode_value, ttl_ms

Key = str | bytes | int

Entries = Mapping[Key, Any] | Iterable[tuple[Key, Any]]


REMOVED_MAX = 1000
REMOVED_BYTES_MAX = 256 * 1024
"""What one command that removes many takes, in number and bytes."""


class Versioned(NamedTuple):
    """A value and its version, the log index of the command that wrote it: higher than that of any earlier value."""

    value: Any
    version: int


def pairs_of(entries: Entries) -> Iterable[tuple[Key, Any]]:
    """The entries as pairs."""
    return entries.items() if isinstance(entries, Mapping) else entries


def put_parts(key: Key, value: Any, ttl: float | None) -> tuple[Any, ...]:
    """The operation that puts a key. Raises BadArgument."""
    return living(("put", encode_key(key), encode_value(value)), ttl)


def living(parts: tuple[Any, ...], ttl: float | None) -> tuple[Any, ...]:
    """An operation of something that may have a time to live. Raises BadArgument."""
    return parts if ttl is None else (*parts, ttl_ms(ttl))


def portions_of(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """So many together as one command takes."""
    some: list[bytes] = []
    size = 0
    for value in values:
        if some and (len(some) >= REMOVED_MAX or size + len(value) > REMOVED_BYTES_MAX):
            yield some
            some, size = [], 0
        some.append(value)
        size += len(value)
    if some:
        yield some
