"""Small files that are replaced whole: magic, format version, checksum, length, then a msgpack body.

Read as hostile input: every length is checked and the body decoded under strict limits.
"""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

import msgpack

from .errors import Corruption, UnknownFormat

_HEAD = struct.Struct("<8sIII")
ITEMS_MAX = 1 << 20


def wrap(magic: bytes, version: int, body: object) -> bytes:
    """The bytes of a small file."""
    data: bytes = msgpack.packb(body)
    return _HEAD.pack(magic, version, crc32(data, version), len(data)) + data


def unwrap(path: str, data: bytes, magic: bytes, version: int) -> Any:
    """The body of a small file. Raises Corruption or UnknownFormat, naming `path`."""
    if len(data) < _HEAD.size:
        raise Corruption(path, f"it has {len(data)} bytes, fewer than its header's {_HEAD.size}")
    found_magic, found_version, checksum, length = _HEAD.unpack_from(data)
    if found_magic != magic:
        raise Corruption(path, f"it begins with {found_magic!r} and not with {magic!r}", offset=0)
    body = data[_HEAD.size :]
    if len(body) != length:
        raise Corruption(path, f"its body has {len(body)} bytes and should have {length}", offset=_HEAD.size)
    if crc32(body, found_version) != checksum:
        raise Corruption(path, "the checksum does not fit the body", offset=_HEAD.size)
    if found_version != version:
        raise UnknownFormat(path, found_version, version)
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=True, max_array_len=ITEMS_MAX, max_ext_len=0)
    except Exception as error:
        raise Corruption(path, f"its body cannot be read: {error}", offset=_HEAD.size) from None
