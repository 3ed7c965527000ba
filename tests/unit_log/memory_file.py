"""A mapped file that is only memory."""

from __future__ import annotations


class MemoryFile:
    """Implements `ocelog.log.files.MappedFile` over a copy of `data`."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.size = len(data)
        self.buffer = memoryview(bytearray(data))

    def sync(self) -> None:
        """There is nothing to make durable."""
