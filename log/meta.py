"""Term, vote and configuration: what a member must never forget, in two copies.

Every store writes both copies, one after the other, each durable before the next: whichever single copy is damaged, the other
holds everything that was ever reported stored. Both damaged, or both missing beside a log: the member may have voted
and must not vote again, so it refuses to start.
"""

from __future__ import annotations

import logging

from .envelope import unwrap, wrap
from .errors import Corruption
from .files import Disk
from .reserve import Reserve

logger = logging.getLogger(__name__)

MAGIC = b"OCELOGMT"
VERSION = 1
COPIES = ("meta.0", "meta.1")


class Meta:
    """`term`, `voted_for` (None: nobody) and `configuration` as last stored; `counter` counts the stores.

    `reserve` is the log's, whose room a vote may take on a full disk; None until the log is open.
    """

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self.counter = 0
        self.term = 0
        self.voted_for: int | None = None
        self.configuration = b""
        self.reserve: Reserve | None = None

    @classmethod
    def load(cls, disk: Disk, directory: str) -> Meta:
        """Read the newest valid copy, or begin at term 0 in a directory without a log. Raises Corruption, UnknownFormat."""
        meta = cls(disk, directory)
        damaged: list[Corruption] = []
        copies: list[bytes] = []
        for name in COPIES:
            path = f"{directory}/{name}"
            if not disk.exists(path):
                continue
            try:
                data = disk.read(path)
                meta._adopt(path, unwrap(path, data, MAGIC, VERSION))
                copies.append(data)
            except Corruption as error:
                damaged.append(error)
        if copies:
            for damage in damaged:
                logger.warning("%s; the other copy is used, and this one rewritten from it", damage)
            if len(set(copies)) > 1 or len(copies) < len(COPIES):
                # The member acts on what it loads here: from now on either copy may be lost, so both must hold it.
                meta._write()
            return meta
        if damaged:
            raise damaged[0]
        if disk.exists(f"{directory}/manifest"):
            raise Corruption(f"{directory}/{COPIES[0]}", "it is missing, but the directory holds a log")
        meta.store(0, None)
        return meta

    def _adopt(self, path: str, body: object) -> None:
        if type(body) is not list or len(body) != 4:
            raise Corruption(path, "its body is not [counter, term, vote, configuration]")
        counter, term, voted_for, configuration = body
        if (
            type(counter) is not int
            or type(term) is not int
            or not (voted_for is None or type(voted_for) is int)
            or type(configuration) is not bytes
        ):
            raise Corruption(path, "its body has fields of wrong types")
        if counter > self.counter:
            self.counter, self.term, self.voted_for = counter, term, voted_for
            self.configuration = configuration

    def store(self, term: int, voted_for: int | None) -> None:
        """Make term and vote durable; returns when they are. Runs on the sync thread. Raises StorageFailed."""
        self.counter += 1
        self.term, self.voted_for = term, voted_for
        self._write()

    def _write(self) -> None:
        data = wrap(MAGIC, VERSION, [self.counter, self.term, self.voted_for, self.configuration])
        replace = self._disk.replace if self.reserve is None else self.reserve.replace
        for name in COPIES:
            replace(f"{self._directory}/{name}", data)
