"""A leader's installs: what it sends to members that lack entries which compaction has removed here.

A transfer is one stream of bytes: a snapshot file, then the entries of (m, S] that live in it, ascending. It pins
that snapshot and those segments, so compaction goes on beside it. Parts leave as far as a window allows, and from
where the member says it has got to when nothing came back for a while: any of them may be lost.

Invariants: the stream of a transfer never changes; one part of each transfer a turn, so that no loop is held up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np

from ..log.entry import Sizes
from ..log.errors import Corruption
from ..log.log import Log
from ..log.snapshot import Snapshot
from ..log.transfer import PinnedEntries
from .raft.messages import Install, InstallResponse

logger = logging.getLogger(__name__)

PART_BYTES = 256 * 1024
WINDOW_BYTES = 16 * PART_BYTES
MEASURED_PER_TURN = 128 * 1024
"""Entries whose sizes are looked at in one turn, before a transfer begins."""

REPEAT_TICKS = 10
"""A transfer that heard nothing for so long goes on from where the member said it was."""

NO_SIZES = np.zeros(0, np.uint32)


class Part:
    """A piece of a transfer's stream: bytes of the snapshot file (no sizes), or whole entries with the size of each."""

    __slots__ = ("data", "sizes")

    def __init__(self, data: memoryview | bytes, sizes: Sizes = NO_SIZES) -> None:
        self.data = data
        self.sizes = sizes


class Transfer:
    """One member's install, from the entry behind `from_index` on. Positions are bytes of the stream.

    Before the first part the entries are measured, some in each turn, since the member is told how much is to come.
    It is `held` while the snapshot is checked, of which a member that had all of it said that it is no good.
    """

    __slots__ = (
        *("damaged_tick", "entries", "from_index", "heard_tick", "held", "measured"),
        *("part_start", "received", "sent", "snapshot"),
    )

    def __init__(self, snapshot: Snapshot, entries: PinnedEntries, from_index: int, tick: int) -> None:
        self.snapshot = snapshot
        self.entries = entries
        self.measured = False
        self.held = False
        self.from_index = from_index
        self.sent = 0
        self.received = 0
        self.part_start = 0
        self.heard_tick = tick
        self.damaged_tick: int | None = None  # when the next entry was found damaged: it is tried again every tick

    @property
    def total(self) -> int:
        """Bytes of the stream, once it is measured."""
        return self.snapshot.bytes + self.entries.total_bytes

    @property
    def ready(self) -> bool:
        """Whether there is something to do now: to measure, or to send, if it is sound and the window has room for it."""
        if self.held or self.damaged_tick is not None:
            return False
        return not self.measured or (self.sent < self.total and self.sent - self.received < WINDOW_BYTES)

    def next_part(self) -> tuple[int, Part] | None:
        """The position and the bytes of the part to send now, if `ready`; None while the entries are measured.

        Raises Corruption when an entry to be sent is damaged or missing here.
        """
        if not self.measured:
            self.measured = self.entries.measure(MEASURED_PER_TURN)
            return None
        start = self.part_start = self.sent
        in_entries = start - self.snapshot.bytes
        if in_entries < 0:
            part = Part(self.snapshot.file.buffer[start : min(start + PART_BYTES, self.snapshot.bytes)])
        else:
            data, sizes, _ = self.entries.read(in_entries, PART_BYTES)
            part = Part(data, sizes)
        self.sent = start + len(part.data)
        return start, part

    def answered(self, position: int, tick: int) -> None:
        """The member has the stream up to `position`.

        That may be less than before, if it was started again, or more than was sent, by a transfer that was begun anew.
        """
        self.heard_tick = tick
        if not self.measured or position > self.total:
            return
        if not self.received <= position <= self.sent:
            self.sent = position
        self.received = position

    def repeat(self, tick: int) -> None:
        """Nothing was heard for a while: go on from what the member has, or ask it again with the last part."""
        self.heard_tick = tick
        if self.measured:
            self.sent = self.received if self.received < self.total else self.part_start


class Transfers:
    """The transfers of one leader. `damaged` is told of an entry that cannot be sent as it is.

    `doubted` is told of a snapshot that has to be checked, and calls `checked` then: nothing else would ever stop a
    snapshot that rotted here from being sent again and again.
    """

    def __init__(self, log: Log, damaged: Callable[[Corruption], None], doubted: Callable[[Snapshot], None]) -> None:
        self.log = log
        self._damaged = damaged
        self._doubted = doubted
        self.bytes_sent = 0
        self._by_member: dict[int, Transfer] = {}

    @property
    def under_way(self) -> bool:
        """Whether there is any."""
        return bool(self._by_member)

    @property
    def snapshot_indexes(self) -> list[int]:
        """For each transfer, up to where its member will have the log when it is over."""
        return [transfer.snapshot.head.index for transfer in self._by_member.values()]

    def follow(self, wanted: Mapping[int, int], tick: int) -> None:
        """Begin and end transfers, so that there is one for each member that needs the entries behind the index m."""
        for member in [member for member in self._by_member if member not in wanted]:
            del self._by_member[member]
        for member, from_index in wanted.items():
            transfer = self._by_member.get(member)
            if transfer is None or transfer.from_index != from_index:
                self._begin(member, from_index, tick)

    def _begin(self, member: int, from_index: int, tick: int) -> None:
        snapshot = self.log.snapshot
        assert snapshot is not None, f"member {member} needs entries that were compacted, and there is no snapshot"
        entries = self.log.pin(from_index, snapshot.live)
        self._by_member[member] = Transfer(snapshot, entries, from_index, tick)
        logger.info(
            "install for replica %d: the snapshot at %d and %d live entries behind %d",
            member,
            snapshot.head.index,
            entries.entries,
            from_index,
        )

    def answered(self, message: InstallResponse, tick: int) -> None:
        """A member said how far it has got. One that needs all entries after all is `follow`ed from 0 the next turn."""
        transfer = self._by_member.get(message.sender)
        if (
            transfer is None
            or message.snapshot_index != transfer.snapshot.head.index
            or message.from_index != transfer.from_index
        ):
            return
        if message.restart:
            return
        if message.position == 0 and transfer.measured and transfer.received == transfer.total:
            transfer.held = True
            self._doubted(transfer.snapshot)
        transfer.answered(message.position, tick)

    def checked(self, snapshot: Snapshot, *, sound: bool) -> None:
        """A snapshot that was doubted can be sent again, or what sent it begins anew with the one that counts by now."""
        for member, transfer in list(self._by_member.items()):
            if transfer.snapshot is snapshot:
                transfer.held = False
                if not sound:
                    del self._by_member[member]

    def messages(self, *, term: int, sender: int, tick: int) -> list[Install]:
        """This turn's parts, at most one for each member."""
        messages = []
        for member, transfer in list(self._by_member.items()):
            if tick - transfer.heard_tick >= REPEAT_TICKS:
                transfer.repeat(tick)
            if transfer.damaged_tick != tick:
                transfer.damaged_tick = None
            if not transfer.ready:
                continue
            try:
                next_part = transfer.next_part()
            except Corruption as damage:
                if transfer.snapshot is self.log.snapshot:
                    transfer.damaged_tick = tick
                    self._damaged(damage)
                else:
                    # It may be in a segment that nothing but this transfer holds on to; the newer snapshot need not name it.
                    logger.warning("%s; the install for replica %d begins anew", damage.summary, member)
                    del self._by_member[member]
                continue
            if next_part is None:
                continue
            position, part = next_part
            head = transfer.snapshot.head
            self.bytes_sent += len(part.data)
            messages.append(
                Install(
                    term=term,
                    sender=sender,
                    to=member,
                    snapshot_index=head.index,
                    snapshot_term=head.term,
                    from_index=transfer.from_index,
                    position=position,
                    snapshot_bytes=transfer.snapshot.bytes,
                    entry_bytes=transfer.entries.total_bytes,
                    entries=part,
                )
            )
        return messages

    def has_work(self) -> bool:
        """Whether another part could leave at once."""
        return bool(self._by_member) and any(transfer.ready for transfer in self._by_member.values())
