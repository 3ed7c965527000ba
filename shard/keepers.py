"""Who keeps the live entries of a log: which resource and which session, and how many each.

For looking into files (`ocelog log inspect --why`), not for a running replica. Reads the live entries' headers and the first
two items of their payloads, whole segments at a time; names come from the snapshot, where there is one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..log.entry import HEADER_BYTES
from ..log.inspect import LogView
from ..log.segment import Segment
from .errors import StateMismatch
from .pieces import RESOURCES, SESSIONS, read_piece

SESSION_AT = 32
UNKNOWN = -1
"""The resource of an entry whose payload is no operation."""

Numbers = npt.NDArray[np.int64]
Keepers = dict[str, list[dict[str, Any]]]


class _Tally:
    """Entries and bytes by number: of a resource, or of a session."""

    def __init__(self) -> None:
        self._found: dict[int, list[int]] = {}

    def add(self, numbers: Numbers, sizes: Numbers) -> None:
        """Count entries of these sizes to these numbers."""
        distinct, place = np.unique(numbers, return_inverse=True)
        entries, total = np.bincount(place), np.bincount(place, sizes)
        for number, count, size in zip(distinct.tolist(), entries.tolist(), total.tolist(), strict=True):
            before = self._found.setdefault(number, [0, 0])
            before[0] += count
            before[1] += int(size)

    def most_first(self) -> list[tuple[int, int, int]]:
        """(number, entries, bytes), those with the most entries first."""
        rows = [(number, entries, size) for number, (entries, size) in self._found.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))


class _Names(NamedTuple):
    """Name and type of each resource, client id of each open session."""

    resources: dict[int, tuple[str, str]]
    sessions: dict[int, str]


def keepers(view: LogView) -> Keepers:
    """The live entries at S by `resource` and by `session`; nothing without a snapshot. Raises Corruption."""
    by_resource, by_session = _Tally(), _Tally()
    for segment in view.segments:
        rows = np.flatnonzero(view.live_rows(segment))
        if len(rows):
            at, sizes = segment.offset[rows].astype(np.int64), segment.sizes(rows).astype(np.int64)
            by_resource.add(resources_of(segment, at), sizes)
            by_session.add(_sessions_of(segment, at), sizes)
    names = _names(view)
    resources = [
        {"resource": number, **_named(names.resources.get(number)), "live entries": entries, "live bytes": size}
        for number, entries, size in by_resource.most_first()
    ]
    sessions = [
        {
            "session": number,
            "client": names.sessions.get(number, "(ended)"),
            "live entries": entries,
            "live bytes": size,
        }
        for number, entries, size in by_session.most_first()
    ]
    return {"resource": resources, "session": sessions}


def _named(found: tuple[str, str] | None) -> dict[str, str]:
    name, type_name = found or ("(not in the snapshot)", "")
    return {"name": name, "type": type_name}


def resources_of(segment: Segment, at: Numbers) -> Numbers:
    """Which resource the command at each of these offsets is for; UNKNOWN where that cannot be read.

    A payload is a msgpack array whose first item is the index that created the resource (`client/protocol/operations.py`).
    """
    # Behind the last entry there is the footer, so the bytes that are looked at are there in every case.
    raw = np.frombuffer(segment.buffer, np.uint8)
    first = at + HEADER_BYTES
    array = raw[first]
    short, long = (array & 0xF0) == 0x90, array == 0xDC
    first = first + np.where(long, 3, 1)
    marker = raw[first].astype(np.int64)
    found = np.where(marker < 0x80, marker, UNKNOWN)
    for number, width in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        chosen = marker == number
        value = np.zeros(int(chosen.sum()), np.int64)
        for place in range(width):
            value = value << 8 | raw[first[chosen] + 1 + place]
        found[chosen] = value
    return np.where(short | long, found, UNKNOWN)


def _sessions_of(segment: Segment, at: Numbers) -> Numbers:
    words = np.frombuffer(segment.buffer, "<i8", segment.end // 8)
    found: Numbers = words[at + SESSION_AT >> 3]
    return found


def _names(view: LogView) -> _Names:
    names = _Names({}, {})
    pieces = view.snapshot.pieces() if view.snapshot is not None else iter(())
    try:
        for piece in pieces:
            kind, rows = read_piece(piece)
            if kind == RESOURCES:
                names.resources.update((row[0], (row[1], row[2])) for row in rows)
            elif kind == SESSIONS:
                # A session's own row begins with its id, those of its results with the first of them.
                names.sessions.update((row[0], row[1]) for row in rows if type(row[0]) is int)
    except (StateMismatch, IndexError, TypeError):
        pass  # of another version: the numbers alone tell something too
    return names
