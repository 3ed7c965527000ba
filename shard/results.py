"""A result in bytes: one code byte, then msgpack for a value or UTF-8 text for an error (docs/protocol.md, Results)."""

from __future__ import annotations

from typing import Any

import msgpack

from ..client.protocol import errors

OK_NIL = b"\x00\xc0"
ACKNOWLEDGED = bytes([errors.ACKNOWLEDGED])
ERROR_TEXT_BYTES_MAX = 1024

# One packer for all results: making one per call, as msgpack.packb does, costs several times the packing.
_pack = msgpack.Packer(use_bin_type=True).pack


def encode_result(value: Any) -> bytes:
    """Encode what a handler returned. Raises TypeError, ValueError or OverflowError for what msgpack cannot hold."""
    return b"\x00" + _pack(value)  # type: ignore[no-any-return]


def encode_error(code: int, text: str) -> bytes:
    """Encode an error; the text is cut at ERROR_TEXT_BYTES_MAX bytes."""
    return bytes([code]) + text.encode("utf-8", "replace")[:ERROR_TEXT_BYTES_MAX]
