"""Opens the directory of one replica: identity, then term and vote, then the log, each only if what comes before it is sound."""

from __future__ import annotations

from . import renewal
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
    acknowledged. Such a member must not vote as if it were new; nor must one whose directory is of an earlier
    incarnation than the witness, which is an old copy.
    """
    renewal.finish_renewal(disk, directory, expected, witness)
    if witness is not None and disk.exists(witness):
        for path in (f"{directory}/identity", f"{directory}/{NAME}"):
            fresh = path.endswith(NAME) and renewal.in_probation(disk, directory)
            if not disk.exists(path) and not fresh:
                raise Corruption(path, f"it is missing, but {witness} says that this replica has run before")
    disk.make_directory(directory)
    renewal.refuse_damaged(disk, directory)
    identity = Identity.load_or_create(disk, directory, expected)
    if identity.incarnation < renewal.witnessed_incarnation(disk, witness):
        text = f"it is of incarnation {identity.incarnation}, an old copy: {witness} names a later one"
        raise Corruption(f"{directory}/identity", text)
    meta = Meta.load(disk, directory)
    if meta.counter > 1 and not disk.exists(f"{directory}/{NAME}"):
        raise Corruption(f"{directory}/{NAME}", "it is missing, but this member has stored votes")
    log = Log.open(disk, directory, shard=expected.shard, config=config)
    meta.reserve = log.reserve
    if witness is not None and not disk.exists(witness):
        renewal.write_witness(disk, witness, identity)
    return identity, meta, log


def open_or_renew(
    disk: Disk, directory: str, *, expected: Identity, config: LogConfig, witness: str, alone: bool
) -> tuple[Identity, Meta, Log, bool]:
    """Open a replica's files; a member with peers whose files are lost or damaged begins again as a new incarnation.

    The last of what is returned tells whether it is in probation. A member that is `alone` has nobody to get anything
    back from, so it refuses. Raises LogError.
    """
    try:
        opened = open_directory(disk, directory, expected=expected, config=config, witness=witness)
    except Corruption as damage:
        if alone:
            raise
        renewal.renew(disk, directory, expected, witness, reason=damage.summary)
        opened = open_directory(disk, directory, expected=expected, config=config, witness=witness)
    return *opened, renewal.in_probation(disk, directory)
