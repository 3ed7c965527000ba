"""Snapshots and installs of a test member: the stream that a leader sends, and what a follower stages of it.

A snapshot's file has FILE_BYTES, an entry one byte; a part is one byte. `entries` of an Install is what the byte means:
the whole snapshot and its configuration for one of the file, (index, entry) for an entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ocelog.shard.raft.messages import Install, InstallResponse

from .raft_disk import Entry, Files

FILE_BYTES = 2


@dataclass
class Transfer:
    """What one member is being sent, pinned when it began."""

    to: int
    from_index: int
    snapshot: list[Entry]
    configuration: bytes
    live: list[tuple[int, Entry]]
    position: int = 0

    @classmethod
    def of(cls, files: Files, to: int, from_index: int) -> Transfer:
        live: list[tuple[int, Entry]] = []
        for index in sorted(files.live):
            if index > from_index:
                entry = files.entries[index - 1]
                assert entry is not None, f"live entry {index} is missing"
                live.append((index, entry))
        return cls(to, from_index, files.snapshot, files.configuration, live)

    def part(self, term: int, sender: int) -> Install:
        """The part that is to be sent next, or again."""
        position = self.position
        total = FILE_BYTES + len(self.live)
        position = min(position, total - 1)
        return Install(
            term=term,
            sender=sender,
            to=self.to,
            snapshot_index=len(self.snapshot),
            snapshot_term=self.snapshot[-1][0],
            from_index=self.from_index,
            position=position,
            snapshot_bytes=FILE_BYTES,
            entry_bytes=len(self.live),
            entries=(self.snapshot, self.configuration) if position < FILE_BYTES else self.live[position - FILE_BYTES],
        )

    def answered(self, response: InstallResponse) -> bool:
        """Whether the answer asks for another part than the one that was sent last: the next, or, after a crash, 0."""
        if response.snapshot_index != len(self.snapshot) or response.restart or response.position == self.position:
            return False
        self.position = response.position
        return True


@dataclass
class Staging:
    """What has arrived of one stream."""

    stream: tuple[int, int, int, int]
    snapshot: list[Entry] = field(default_factory=list)
    configuration: bytes = b""
    live: list[tuple[int, Entry]] = field(default_factory=list)
    position: int = 0
    complete: bool = False

    @staticmethod
    def stream_of(message: Install) -> tuple[int, int, int, int]:
        return (message.term, message.sender, message.snapshot_index, message.from_index)

    def take(self, message: Install) -> None:
        """A part; it counts if it is the next one."""
        if message.position == self.position:
            self.position += 1
            if message.position < message.snapshot_bytes:
                self.snapshot, self.configuration = message.entries
            else:
                self.live.append(message.entries)
            self.complete = self.position == message.snapshot_bytes + message.entry_bytes

    def published(self, own: Files) -> Files:
        """Our files when all of it has come: what we had through from_index, then what was sent."""
        from_index = self.stream[3]
        assert from_index <= len(own.entries), f"misses entries through {from_index}"
        entries: list[Entry | None] = own.entries[:from_index] + [None] * (len(self.snapshot) - from_index)
        for index, entry in self.live:
            entries[index - 1] = entry
        return Files(entries, self.snapshot, len(self.snapshot), self.configuration)
