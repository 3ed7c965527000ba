"""One operation in bytes: a msgpack array `[resource index, name, argument...]`.

Resource 0 is the shard itself, whose command `open` creates or finds a resource and answers its index. The bytes a
client sends are the payload of the log entry, so nothing is encoded twice. What comes from outside is decoded under
strict limits only: no extension types, no map keys but str, bytes and int, none twice, bounded nesting and item count.
"""

from __future__ import annotations

import functools
from typing import Any

import msgpack

from .limits import ITEMS_MAX

SHARD = 0
"""The resource index that names the shard itself."""

OPEN = "open"
"""`[0, "open", name, type]`: create the resource, or find it; answers its creation index.

In the log a version may follow, that of the machine if it is not 1: the leader knows which is in force or installed."""

DELETE = "delete"
"""`[0, "delete", name]`: delete the resource of that name; answers the index that created it, or nil when there is none."""

EXISTS = "exists"
"""The query `[0, "exists", name]`: the type of the resource of that name, or nil."""

NAMES = "names"
"""The query `[0, "names", after, type]`: `[[index, name, type], ...]` of the resources created after that index, in order.

An answer has at most 1000 of them; `type` may be nil. Whoever wants all asks again from the last index on.
"""

SWITCH = "switch"
"""`[0, "switch", type, version]`: put another version of a machine in force, for all its resources; answers that version."""

MACHINES = "machines"
"""The query `[0, "machines"]`: `[[type, version in force or nil, [version installed here, ...]], ...]`, by type."""

SCANNED_BYTES_MIN = 256
"""Smaller operations cannot expand to anything worth a scan before decoding."""

encode = functools.partial(msgpack.packb, use_bin_type=True)


class BadOperation(ValueError):
    """Bytes that are not an operation within the limits; the text says why."""


def _map(entries: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A map of an operation, its keys checked; called for maps only, which the common operations do not have."""
    for key, _ in entries:
        if type(key) not in (str, bytes, int):
            raise ValueError(f"a map key of type {type(key).__name__}")
    made = dict(entries)
    if len(made) != len(entries):
        raise ValueError("a map key that comes twice")
    return made


def no_extension(code: int, data: bytes) -> Any:
    """The `ext_hook` of every decoder: `max_ext_len=0` alone lets an empty extension through. Raises ValueError."""
    raise ValueError(f"extension type {code} of {len(data)} bytes")


_decode = functools.partial(
    msgpack.unpackb,
    raw=False,
    strict_map_key=False,
    use_list=True,
    max_ext_len=0,
    ext_hook=no_extension,
    object_pairs_hook=_map,
)


def decode(data: bytes, nesting_max: int | None = 32) -> list[Any]:
    """Decode one operation: `[resource, name, *arguments]`. Raises BadOperation.

    With None as `nesting_max` the limits are not checked: for bytes that were admitted under them before.
    """
    if nesting_max is not None and len(data) > SCANNED_BYTES_MIN:
        check_structure(data, nesting_max)
    try:
        operation = _decode(data)
    except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
        raise BadOperation(f"not msgpack: {type(error).__name__}: {error}") from None
    if type(operation) is not list or len(operation) < 2:
        raise BadOperation("an operation is an array [resource, name, argument...]")
    if type(operation[0]) is not int or operation[0] < 0:
        raise BadOperation(f"the resource must be an index, not {operation[0]!r:.40}")
    if type(operation[1]) is not str:
        raise BadOperation(f"the operation's name must be a string, not {type(operation[1]).__name__}")
    if nesting_max is not None and nesting_max < len(data) <= SCANNED_BYTES_MIN:
        for argument in operation:
            if type(argument) is list or type(argument) is dict:
                check_structure(data, nesting_max)
                break
    return operation


def check_structure(data: bytes, nesting_max: int, items_max: int = ITEMS_MAX) -> None:
    """Refuse nesting and item counts that would cost far more memory than the bytes sent. Raises BadOperation.

    Walks the markers without building objects, so the cost is per item; a payload inside one `bin` is one item.
    """
    position, end, items = 0, len(data), 0
    open_counts = [1]
    while open_counts:
        if open_counts[-1] == 0:
            open_counts.pop()
            continue
        open_counts[-1] -= 1
        if position >= end:
            raise BadOperation(f"the operation ends in the middle, at byte {position}")
        items += 1
        if items > items_max:
            raise BadOperation(f"more than {items_max} items in one operation")
        position, children = _step(data, position, end)
        if children:
            if len(open_counts) > nesting_max:
                raise BadOperation(f"containers nested deeper than {nesting_max}")
            if children > items_max:
                raise BadOperation(f"a container of {children} items; at most {items_max}")
            open_counts.append(children)
    if position != end:
        raise BadOperation(f"{end - position} bytes follow the operation")


# Marker -> (bytes of the fixed part behind it, bytes of its length field).
_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


def _step(data: bytes, position: int, end: int) -> tuple[int, int]:
    """One marker: the position behind it and its content, and how many items it opens."""
    marker = data[position]
    position += 1
    children = 0
    if marker < 0x80 or marker >= 0xE0:
        return position, 0
    if marker < 0x90:
        return position, 2 * (marker & 0x0F)
    if marker < 0xA0:
        return position, marker & 0x0F
    if marker < 0xC0:
        position += marker & 0x1F
    elif marker in _FIXED:
        position += _FIXED[marker]
    elif marker in _SIZED:
        width = _SIZED[marker]
        position += width + int.from_bytes(data[position : position + width], "big")
    elif marker in _ARRAYS:
        width = _ARRAYS[marker]
        children = int.from_bytes(data[position : position + width], "big")
        position += width
    elif marker in _MAPS:
        width = _MAPS[marker]
        children = 2 * int.from_bytes(data[position : position + width], "big")
        position += width
    else:
        raise BadOperation(f"marker 0x{marker:02x} at byte {position - 1}: extension types are not used")
    if position > end:
        raise BadOperation(f"a length points {position - end} bytes past the end")
    return position, children
