"""The pieces in which a snapshot carries a shard's state: to the log they are opaque bytes, made and read here.

A piece is one byte, its kind, and msgpack rows. Pieces come in the order of the kinds, and rows in an order of the state's
own, so that equal states give equal pieces:

    HEAD       one row: [format version, index, log time, digest, sessions, resources, timers, ended, active]; four counts, then
               the version in force of every machine type that was ever opened, [[type, version], ...] by type
    SESSIONS   by ascending id, each: [id, client id, key, timeout (ms), last, acknowledged, event index, handled], then rows of
               its results, RESULTS_PER_ROW in each but the last: [[index, result], ...], one for every sequence above
               `acknowledged` up to `last`; then, if `handled` is below the event index, rows of its events, at most
               BATCHES_PER_ROW in each: [[index, previous, events, payload], ...], the last of them at the event index; a payload
               that came before, in whatever session, is [index, previous, place], its place among all payloads that came
    RESOURCES  by ascending index: [index, name, type, version, kept, released, state]; the state is the msgpack of what the
               machine's `snapshot` returned, as bytes, or nil for a machine without
    TIMERS     that no live entry owns, in the order in which they fire: [due, armed at, number, resource, method, arguments]
    ENDED      in the order in which they ended, each: [id, key, last, acknowledged, ended at], then rows of its results as above
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgpack

from .errors import StateMismatch

FORMAT_VERSION = 3
KINDS = HEAD, SESSIONS, RESOURCES, TIMERS, ENDED = range(5)
RESULTS_PER_ROW = 64
BATCHES_PER_ROW = 64
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


def fields_of(row: Any, what: str, *types: type | None) -> list[Any]:
    """The fields of a row: so many, of these types (None: any), integers neither negative nor over 64 bits."""
    if type(row) is not list or len(row) != len(types):
        raise StateMismatch(f"{what} of the snapshot has {len(types)} fields: {row!r:.60}")
    for value, wanted in zip(row, types, strict=True):
        if wanted is not None and type(value) is not wanted:
            raise StateMismatch(f"{what} of the snapshot holds {value!r:.60} where a {wanted.__name__} is: {row!r:.60}")
        if type(value) is int and not 0 <= value <= INTEGER_MAX:
            raise StateMismatch(f"{what} of the snapshot holds {value}: {row!r:.60}")
    return row
