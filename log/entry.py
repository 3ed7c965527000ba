"""The entry: a 48-byte header and a payload, the same bytes on disk and on the wire, padded with zeros to 8 bytes.

Knows nothing of files and of what a payload means. The constants are the format (docs/log.md): a change is a new version.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .errors import Corruption

HEADER = struct.Struct("<IIQIBBHQQQ")
"""crc32 of everything behind it, payload length, index, term, kind, mode, window, time (ms), session, sequence."""

HEADER_BYTES = HEADER.size
KIND_AT, MODE_AT = 20, 21
"""Positions of these two bytes in an entry."""

assert HEADER_BYTES == 48

NOOP, CONFIGURATION, REGISTER, KEEP_ALIVE, UNREGISTER, TICK, VOID, RESOURCE, COMMAND = range(9)
KINDS = ("noop", "configuration", "register", "keep-alive", "unregister", "tick", "void", "resource", "command")
SNAPSHOT, RELEASE = 0, 1
MODES = ("snapshot", "release")

Record = tuple[int, int, int, int, int, bytes]
"""What a leader logs: (kind, mode, window, session, sequence, payload). A plain tuple, since one is made per entry."""

Sizes = npt.NDArray[np.uint32]
"""Bytes of each entry of a batch, padding included."""

_REST = struct.Struct("<IQIBBHQQQ")
_CRC = struct.Struct("<I")
_PADDING = tuple(bytes(-length % 8) for length in range(8))


def encode(first_index: int, term: int, time_ms: int, records: Sequence[Record]) -> tuple[bytes, Sizes]:
    """Encode a turn's records as entries of one term and time, indexed from `first_index`: their bytes and sizes."""
    parts: list[bytes] = []
    sizes: list[int] = []
    pack, pack_crc, padding_of = _REST.pack, _CRC.pack, _PADDING
    index = first_index
    for kind, mode, window, session, sequence, payload in records:
        length = len(payload)
        rest = pack(length, index, term, kind, mode, window, time_ms, session, sequence)
        padding = padding_of[length & 7]
        parts += (pack_crc(crc32(payload, crc32(rest))), rest, payload, padding)
        sizes.append(HEADER_BYTES + length + len(padding))
        index += 1
    return b"".join(parts), np.array(sizes, np.uint32)


def padded(payload_bytes: int) -> int:
    """Bytes an entry takes, header and padding included."""
    return HEADER_BYTES + payload_bytes + -payload_bytes % 8


class Entry:
    """One decoded entry, for readers that are not hot; the apply loop reads headers in place."""

    __slots__ = ("index", "kind", "mode", "payload", "sequence", "session", "term", "time", "window")

    index: int
    kind: int
    mode: int
    payload: bytes
    sequence: int
    session: int
    term: int
    time: int
    window: int

    @classmethod
    def decode(cls, buffer: memoryview, offset: int, path: str = "(memory)") -> Entry:
        """Decode and verify the entry at `offset`. Raises Corruption naming `path`."""
        problem = damage(buffer, offset, len(buffer))
        if problem is not None:
            raise Corruption(path, problem, offset=offset)
        entry = cls()
        _, length, entry.index, entry.term, entry.kind, entry.mode, entry.window, entry.time, session, sequence = (
            HEADER.unpack_from(buffer, offset)
        )
        entry.session, entry.sequence = session, sequence
        entry.payload = bytes(buffer[offset + HEADER_BYTES : offset + HEADER_BYTES + length])
        return entry


def damage(buffer: memoryview, offset: int, end: int) -> str | None:
    """What is wrong with the entry at `offset` of a buffer that may be read up to `end`; None when nothing is."""
    if offset + HEADER_BYTES > end:
        return f"an entry header does not fit into the {end - offset} bytes that are left"
    checksum, length, _, _, kind, mode, *_ = HEADER.unpack_from(buffer, offset)
    stop = offset + HEADER_BYTES + length
    if stop > end:
        return f"a payload of {length} bytes does not fit into the {end - offset - HEADER_BYTES} bytes that are left"
    if crc32(buffer[offset + 4 : stop]) != checksum:
        return "the checksum does not fit the entry"
    if kind >= len(KINDS) or mode >= len(MODES):
        return f"kind {kind} or mode {mode} is not known"
    return None
