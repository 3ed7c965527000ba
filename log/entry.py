"""The entry: 48-byte header and payload, the same bytes on disk and on the wire.

Knows nothing of files. See docs/log.md for the layout; the constants below are the format, a change is a new version.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

import numpy as np

HEADER = struct.Struct("<IIQIBBHQQQ")
HEADER_BYTES = HEADER.size
assert HEADER_BYTES == 48

NOOP, CONFIGURATION, REGISTER, KEEP_ALIVE, UNREGISTER, TICK, VOID, RESOURCE, COMMAND = range(9)
SNAPSHOT, RELEASE = 0, 1

Record = tuple[int, int, int, int, int, bytes]
"""What a leader logs: (kind, mode, window, session, sequence, payload)."""

_REST = struct.Struct("<IQIBBHQQQ")
_CRC = struct.Struct("<I")
_PADDING = [b"", b"\0" * 7, b"\0" * 6, b"\0" * 5, b"\0" * 4, b"\0" * 3, b"\0" * 2, b"\0"]


def encode(first_index: int, term: int, time_ms: int, records: Sequence[Record]) -> tuple[bytes, np.ndarray]:
    """Encode a turn's records as entries of one term and time, indexed from first_index: bytes, padded sizes (uint32)."""
    parts: list[bytes] = []
    sizes = []
    pack, pack_crc = _REST.pack, _CRC.pack
    index = first_index
    for kind, mode, window, session, sequence, payload in records:
        length = len(payload)
        rest = pack(length, index, term, kind, mode, window, time_ms, session, sequence)
        padding = _PADDING[length & 7]
        parts += (pack_crc(crc32(payload, crc32(rest))), rest, payload, padding)
        sizes.append(HEADER_BYTES + length + len(padding))
        index += 1
    return b"".join(parts), np.array(sizes, np.uint32)
