"""What can go wrong with a replica's files, each with the exit code its process ends with (sysexits(3))."""

from __future__ import annotations


class LogError(Exception):
    """Base: the text names the file, what is wrong and what to do."""

    exit_code = 74


class Corruption(LogError):
    """A file does not hold what was written to it; nothing is guessed and nothing dropped. `summary` gives no advice."""

    exit_code = 65

    def __init__(self, path: str, reason: str, *, offset: int | None = None, index: int | None = None) -> None:
        self.path, self.offset, self.index, self.reason = path, offset, index, reason
        where = path
        if offset is not None:
            where += f" at offset {offset}"
        if index is not None:
            where += f", entry {index}"
        self.summary = f"{where} is damaged: {reason}"
        super().__init__(
            f"{self.summary}. This replica does not start with it, since it may have promised what is lost; "
            "put the undamaged file back (`ocelog log verify` checks all of them)"
        )


class UnknownFormat(LogError):
    """A file of another format version."""

    exit_code = 65

    def __init__(self, path: str, found: int, known: int) -> None:
        self.path, self.found, self.known = path, found, known
        age = "a newer" if found > known else "an older"
        super().__init__(f"{path} has format version {found}, of {age} Ocelog; this one reads version {known}")


class DirectoryInUse(LogError):
    """Another process holds the directory; `pid` is its, or None when it cannot be told."""

    exit_code = 73

    def __init__(self, path: str, pid: int | None) -> None:
        self.path, self.pid = path, pid
        super().__init__(f"{path} is in use by process {pid if pid else '(unknown)'}; stop it first")


class IdentityMismatch(LogError):
    """The directory belongs to another cluster, shard or member."""

    exit_code = 78


class NoSpace(LogError):
    """The disk has no room for a file; nothing was changed."""

    exit_code = 75


class StorageFailed(LogError):
    """A write or sync failed: what the files hold is unknown, so the replica must stop."""

    exit_code = 74
