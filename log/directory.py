"""Opens the directory of one replica: identity, then term and vote, then the log, each only if what comes before it is sound."""

from __future__ import annotations

import os

from .errors import Corruption
from .files import Disk
from .identity import Identity
from .log import Log, LogConfig
from .manifest import NAME
from .meta import Meta


def open_directory(
    disk: Disk, directory: str, *, expected: Identity, config: LogConfig, witness: str | None = None
) -> tuple[Identity, Meta, Log]:
    """Open or create a replica's files. Raises LogError.

    They are created in this order, so one that is missing while a later one is there was lost. The last is `witness`, a
    file outside the directory: once it is there, an empty directory was lost too, and with it the vote and what was
    acknowledged. Such a member must not vote as if it were new.
    """
    if witness is not None and disk.exists(witness):
        for path in (f"{directory}/identity", f"{directory}/{NAME}"):
            if not disk.exists(path):
                raise Corruption(path, f"it is missing, but {witness} says that this replica has run before")
    disk.make_directory(directory)
    identity = Identity.load_or_create(disk, directory, expected)
    meta = Meta.load(disk, directory)
    if meta.counter > 1 and not disk.exists(f"{directory}/{NAME}"):
        raise Corruption(f"{directory}/{NAME}", "it is missing, but this member has stored votes")
    log = Log.open(disk, directory, shard=expected.shard, config=config)
    if witness is not None and not disk.exists(witness):
        disk.make_directory(os.path.dirname(witness))
        disk.replace(witness, f"{identity.describe()}\n".encode())
    return identity, meta, log
