"""What the entry being applied publishes, until all that it publishes to a session can be put into one batch.

An entry's events come from its command, from the timers that fire before it and from session listeners. They are gathered
here by session and queued at the sessions when the entry is over, at the latest with the next entry that publishes: so an
entry that publishes nothing costs nothing.

Whether a session is open is asked when the event is published, since what is gathered may wait while later entries are
applied; so whoever changes which sessions are open, or what they have handled, has what is gathered queued before.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING
from zlib import crc32

import msgpack

from .machines.base import Published
from .sessions import Session, SessionTable

if TYPE_CHECKING:
    from .capture import Capture

_packer = msgpack.Packer(autoreset=True)
_id_of = operator.attrgetter("id")


class Publishing:
    """`gathered` are the events of the entry at `index`, by session; `marks` are for the digest, of all that was queued."""

    __slots__ = ("_open", "gathered", "index", "marks")

    def __init__(self, sessions: SessionTable) -> None:
        self._open = sessions.get
        self.index = 0
        self.gathered: dict[Session, list[bytes]] = {}
        self.marks: list[int] = []

    def gather(self, index: int, resource: int, events: Iterable[Published]) -> None:
        """Events of a resource, by the entry at `index`; to sessions that are not open they are nothing."""
        assert index == self.index or not self.gathered, (
            f"events of entry {index} before those of {self.index} are queued"
        )
        self.index = index
        gathered = self.gathered
        for session_ids, content in events:
            event = b"\x93" + _packer.pack(resource) + content
            for session_id in session_ids:
                session = self._open(session_id)
                if session is None:
                    continue
                if session in gathered:
                    gathered[session].append(event)
                else:
                    gathered[session] = [event]

    def queue(self, capture: Capture | None) -> list[Session]:
        """Queue what is gathered as one batch for each session; returns those sessions, in the order of their ids.

        Sessions that get the same events share the bytes: publishing to a thousand encodes once and keeps one payload.
        """
        index, gathered = self.index, self.gathered
        same: list[bytes] = []
        payload, checksum = b"", 0
        sessions = sorted(gathered, key=_id_of)
        for session in sessions:
            events = gathered[session]
            if events != same:
                same = events
                payload = _packer.pack_array_header(len(events)) + b"".join(events)
                checksum = crc32(payload)
            if capture is not None:
                capture.before_session(session)
            session.publish(index, payload, len(events))
            self.marks += (index, session.id, checksum)
        gathered.clear()
        return sessions
