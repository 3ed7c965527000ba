"""Opens the directory of one replica: identity, then term and vote, then the log, each only if what comes before it is sound."""

from __future__ import annotations

from .errors import Corruption
from .files import Disk
from .identity import Identity
from .log import Log, LogConfig
from .manifest import NAME
from .meta import Meta


def open_directory(disk: Disk, directory: str, *, expected: Identity, config: LogConfig) -> tuple[Identity, Meta, Log]:
    """Open or create a replica's files. Raises LogError.

    They are created in this order, so one that is missing while a later one is there was lost.
    """
    disk.make_directory(directory)
    identity = Identity.load_or_create(disk, directory, expected)
    meta = Meta.load(disk, directory)
    if meta.counter > 1 and not disk.exists(f"{directory}/{NAME}"):
        raise Corruption(f"{directory}/{NAME}", "it is missing, but this member has stored votes")
    return identity, meta, Log.open(disk, directory, shard=expected.shard, config=config)
