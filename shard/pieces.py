"""The pieces in which a snapshot carries a shard's state: to the log they are opaque bytes, made and read here.

A piece is one byte, its kind, and msgpack rows. Pieces come in the order of the kinds, and rows in an order of the state's
own, so that equal states give equal pieces:

    HEAD       one row: [format version, index, log time, digest, sessions, resources, timers]; the last three are counts
    SESSIONS   by ascending id, each: [id, client id, key, timeout (ms), last, acknowledged], then rows of its results, at most
               RESULTS_PER_ROW in each: [[index, result], ...], one for every sequence above `acknowledged` up to `last`
    RESOURCES  by ascending index: [index, name, type, version, kept, released, state]; the state is the msgpack of what the
               machine's `snapshot` returned, as bytes, or nil for a machine without
    TIMERS     that no live entry owns, in the order in which they fire: [due, armed at, number, resource, method, arguments]
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgpack

from .errors import StateMismatch

FORMAT_VERSION = 1
KINDS = HEAD, SESSIONS, RESOURCES, TIMERS = range(4)
RESULTS_PER_ROW = 64
PIECE_BYTES = 64 * 1024
"""A piece is closed with the row that brings it to this size."""

INTEGER_MAX = (1 << 64) - 1

pack = msgpack.Packer(use_bin_type=True).pack
unpack = functools.partial(msgpack.unpackb, raw=False, strict_map_key=False)


class PieceWriter:
    """Puts rows, packed already, into pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._kind = HEAD
        self._rows: list[bytes] = []
        self._bytes = 0

    def add(self, kind: int, row: bytes) -> None:
        """Add a row; kinds never go back."""
        if kind != self._kind:
            self.close()
            self._kind = kind
        self._rows.append(row)
        self._bytes += len(row)
        if self._bytes >= PIECE_BYTES:
            self.close()

    def close(self) -> None:
        """Close the piece that is being filled."""
        if self._rows:
            self.pieces.append(bytes([self._kind]) + b"".join(self._rows))
            self._rows = []
            self._bytes = 0


def read_piece(piece: bytes | memoryview) -> tuple[int, Iterator[Any]]:
    """The kind of a piece and its rows. Raises StateMismatch, at once or while the rows are read."""
    if not len(piece) or piece[0] not in KINDS:
        raise StateMismatch(f"a piece of the snapshot begins with {bytes(piece[:8])!r}, not with its kind")
    return piece[0], _rows(piece[1:])


def _rows(data: bytes | memoryview) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        yield from unpacker
    except Exception as error:  # msgpack raises a dozen unrelated types on bad bytes
        raise StateMismatch(f"a piece of the snapshot is not msgpack: {type(error).__name__}: {error}") from error
    if unpacker.tell() != len(data):
        raise StateMismatch(f"a piece of the snapshot ends in the middle of a row, at byte {unpacker.tell()}")
