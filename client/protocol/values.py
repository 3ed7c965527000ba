"""Keys and values in canonical msgpack, so that equal ones have equal bytes.

Machines compare bytes and never look inside. Canonical: map entries sorted by their encoded keys, integers in their
shortest form, floats as 64 bits, tuples as arrays. None is not a value: it means absent.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import msgpack

from .errors import BadArgument, OcelogError
from .operations import no_extension

_pack = functools.partial(msgpack.packb, use_bin_type=True)
# One Packer for all threads: packing a scalar runs no Python code, so nothing can come between (0.1 against 0.8 us).
_pack_scalar = msgpack.Packer(use_bin_type=True).pack
_unpack = functools.partial(msgpack.unpackb, raw=False, strict_map_key=False, max_ext_len=0, ext_hook=no_extension)
_SCALARS = frozenset((str, bytes, int, bool, float))
_LEAVES = (str, bytes, bytearray, memoryview, int, float, type(None))

NESTING_MAX = 32
"""Containers inside each other that a value may hold."""

TTL_SECONDS_MAX = 100 * 365 * 24 * 3600
"""The longest time to live, a century."""


def encode_key(key: str | bytes | int) -> bytes:
    """Encode a key: str, bytes or an integer of 64 bits. Raises BadArgument for anything else (bool included)."""
    kind = type(key)
    if kind is not str and kind is not bytes and kind is not int:
        raise BadArgument(f"a key is a str, bytes or int, not {kind.__name__}: {key!r:.60}")
    return _packed(key)


def checked_int(value: int) -> int:
    """The number itself, if it is an integer of 64 bits with sign. Raises BadArgument (bool included)."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise BadArgument(f"expected an integer from -2**63 to 2**63 - 1, not {value!r:.60}")
    return value


def ttl_ms(ttl: float | None) -> int:
    """A time to live in seconds as whole ms, rounded up; 0 for None, which means for ever. Raises BadArgument."""
    if ttl is None:
        return 0
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= TTL_SECONDS_MAX:
        raise BadArgument(f"a ttl is a number of seconds above 0 and up to {TTL_SECONDS_MAX}, not {ttl!r:.60}")
    return math.ceil(ttl * 1000)


def encode_value(value: Any) -> bytes:
    """Encode a value canonically. Raises BadArgument for None and for what msgpack cannot hold."""
    if type(value) in _SCALARS:
        return _packed(value)
    if value is None:
        raise BadArgument("None is not a value: it means absent. Use remove to make a key absent")
    return _packed(_canonical(value, 0))


def decode(data: bytes) -> Any:
    """Decode a key or a value that `encode_key` or `encode_value` made. Raises OcelogError for any other bytes."""
    try:
        return _unpack(data)
    except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
        raise OcelogError(f"these bytes are no value: {type(error).__name__}: {error}") from None


def _packed(value: Any) -> bytes:
    pack = _pack_scalar if type(value) in _SCALARS else _pack
    try:
        return pack(value)  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError, UnicodeError) as error:
        raise BadArgument(f"cannot be encoded: {value!r:.60}: {error}") from None


def _canonical(value: Any, depth: int) -> Any:
    """The same value with its maps sorted and tuples as lists; `depth` containers are around it."""
    if not isinstance(value, (dict, list, tuple)):
        if not isinstance(value, _LEAVES):  # msgpack would pack its own extension types, and refuse to read them back
            raise BadArgument(f"cannot be encoded: {value!r:.60}: a value holds no {type(value).__name__}")
        return value
    if depth >= NESTING_MAX:
        raise BadArgument(f"a value may nest at most {NESTING_MAX} containers")
    if isinstance(value, dict):
        entries = [(_packed_map_key(key), key, _canonical(item, depth + 1)) for key, item in value.items()]
        entries.sort(key=lambda entry: entry[0])
        return {key: item for _, key, item in entries}
    return [_canonical(item, depth + 1) for item in value]


def _packed_map_key(key: Any) -> bytes:
    if type(key) not in (str, bytes, int):
        raise BadArgument(f"a map key inside a value is a str, bytes or int, not {type(key).__name__}: {key!r:.60}")
    return _packed(key)
