"""The order of keys: integers by value, then texts by code point, then binaries byte by byte.

It follows from the canonical bytes of a key alone, whoever sent them: each is read, checked and turned into its *place*,
bytes that are in the order in which the keys are to be. A place leads back to its key, so no list of keys has to be kept
beside them.
"""

from __future__ import annotations

import functools

import msgpack

from ...client.protocol.operations import no_extension

_pack = msgpack.Packer(use_bin_type=True).pack
_unpack = functools.partial(msgpack.unpackb, raw=False, max_ext_len=0, ext_hook=no_extension)

_INTEGER, _TEXT, _BINARY = b"\x00", b"\x01", b"\x02"
_LEAST = -(1 << 63)
_INTEGER_BYTES = 9
"""Room for what msgpack has, -2^63 to 2^64 - 1, counted from the least."""


def place_of(key: bytes) -> bytes:
    """The place of a key. Raises ValueError for bytes that are no canonical integer, text or binary."""
    try:
        value = _unpack(key)
        kind = type(value)
        if kind is str:
            place: bytes = _TEXT + value.encode()
        elif kind is int:
            place = _INTEGER + (value - _LEAST).to_bytes(_INTEGER_BYTES, "big")
        elif kind is bytes:
            place = _BINARY + value
        else:
            raise TypeError(f"a {kind.__name__} has no place in order")
        canonical = _pack(value)
    except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
        raise ValueError(
            f"a key in order is the msgpack of an integer, text or binary, not {key!r:.60}: {error}"
        ) from None
    if canonical != key:
        raise ValueError(f"a key in order is canonical msgpack, {canonical!r:.60}, not {key!r:.60}")
    return place


def key_at(place: bytes) -> bytes:
    """The key that has this place."""
    kind, value = place[:1], place[1:]
    if kind == _TEXT:
        return _pack(value.decode())  # type: ignore[no-any-return]
    return _pack(value if kind == _BINARY else int.from_bytes(value, "big") + _LEAST)  # type: ignore[no-any-return]
