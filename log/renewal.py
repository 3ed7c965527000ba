"""How a member comes back whose directory was lost or damaged: as a new incarnation, with nothing, and in probation.

Such a member may have voted and acknowledged what it no longer knows. Under its old name it must do neither again, so
its files are set aside, and it begins with empty ones and a higher incarnation number that no configuration names yet:
the others have to admit it. *Probation* is the durable note that it has not yet caught up with all that was committed
when it asked; it lies beside the log, not in it.

A renewal may be cut off anywhere: its marker, which names the new incarnation, comes first and goes last, and every
step in between may be repeated. What an earlier renewal set aside is removed, since one damaged copy is enough for
whoever wants to look.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace

from .envelope import unwrap, wrap
from .errors import Corruption
from .files import Disk
from .identity import Identity

logger = logging.getLogger(__name__)

MAGIC = b"OCELOGRN"
VERSION = 1
MARKER = "renewal"
DAMAGED = "damaged"
PROBATION = "probation"
SET_ASIDE = "set-aside"
OURS = ("manifest", "meta.0", "meta.1", "log", "snapshots", "identity", PROBATION, DAMAGED)
"""What a renewal sets aside. The lock stays: this process holds it."""

_INCARNATION = re.compile(rb"incarnation (\d+)")


def write_witness(disk: Disk, witness: str, identity: Identity) -> None:
    """Note outside the directory that this incarnation of the member has run."""
    disk.make_directory(os.path.dirname(witness))
    disk.replace(witness, f"{identity.describe()}, incarnation {identity.incarnation}\n".encode())


def witnessed_incarnation(disk: Disk, witness: str | None) -> int:
    """The incarnation that the witness names; 0 without one."""
    if witness is None or not disk.exists(witness):
        return 0
    found = _INCARNATION.search(disk.read(witness))
    return int(found[1]) if found else 1


def mark_damaged(disk: Disk, directory: str, reason: str) -> None:
    """Note durably that the files cannot be trusted, so that the next start renews the member."""
    disk.replace(f"{directory}/{DAMAGED}", wrap(MAGIC, VERSION, reason))


def refuse_damaged(disk: Disk, directory: str) -> None:
    """Raises Corruption with the reason that `mark_damaged` noted, if it did."""
    path = f"{directory}/{DAMAGED}"
    if disk.exists(path):
        raise Corruption(directory, str(unwrap(path, disk.read(path), MAGIC, VERSION)))


def renew(disk: Disk, directory: str, expected: Identity, witness: str | None, *, reason: str) -> Identity:
    """Set the files aside and begin with empty ones, as the next incarnation of the member `expected`, in probation.

    Raises NoSpace or StorageFailed; it may be called again then.
    """
    disk.make_directory(directory)
    known = [expected.incarnation, witnessed_incarnation(disk, witness), _known_incarnation(disk, directory)]
    identity = replace(expected, incarnation=max(known) + 1)
    logger.error("%s; it is to come back as incarnation %d, by what its peers have", reason, identity.incarnation)
    disk.replace(f"{directory}/{MARKER}", wrap(MAGIC, VERSION, identity.incarnation))
    _carry_out(disk, directory, identity, witness)
    return identity


def finish_renewal(disk: Disk, directory: str, expected: Identity, witness: str | None) -> None:
    """Go on with a renewal that was cut off, if there is one."""
    path = f"{directory}/{MARKER}"
    if disk.exists(path):
        incarnation = unwrap(path, disk.read(path), MAGIC, VERSION)
        if type(incarnation) is not int:
            raise Corruption(path, "its body is not a number")
        _carry_out(disk, directory, replace(expected, incarnation=incarnation), witness)


def _carry_out(disk: Disk, directory: str, identity: Identity, witness: str | None) -> None:
    aside = f"{directory}/{SET_ASIDE}-{identity.incarnation}"
    for name in disk.list(directory):
        if name.startswith(SET_ASIDE) and f"{directory}/{name}" != aside:
            disk.remove_tree(f"{directory}/{name}")
    new_identity = f"{directory}/identity"
    if not (disk.exists(new_identity) and _incarnation_of(disk, new_identity) == identity.incarnation):
        disk.make_directory(aside)
        for name in OURS:
            if disk.exists(f"{directory}/{name}"):
                disk.rename(f"{directory}/{name}", f"{aside}/{name}")
        disk.sync_directory(aside)
        disk.sync_directory(directory)
        # Before the identity: from then on the directory looks like any other.
        disk.replace(f"{directory}/{PROBATION}", wrap(MAGIC, VERSION, identity.incarnation))
        if witness is not None:
            write_witness(disk, witness, identity)
        Identity.load_or_create(disk, directory, identity)
    disk.remove(f"{directory}/{MARKER}")
    disk.sync_directory(directory)
    logger.warning(
        "%s begins again as incarnation %d of %s; what was there is in %s",
        directory,
        identity.incarnation,
        identity.describe(),
        aside,
    )


def _known_incarnation(disk: Disk, directory: str) -> int:
    path = f"{directory}/identity"
    return _incarnation_of(disk, path) if disk.exists(path) else 0


def _incarnation_of(disk: Disk, path: str) -> int:
    """The incarnation in an identity file, 0 when it cannot be told."""
    try:
        return Identity.decode(path, disk.read(path)).incarnation
    except Corruption:
        return 0


def in_probation(disk: Disk, directory: str) -> bool:
    """Whether the member came back and has not yet caught up."""
    return disk.exists(f"{directory}/{PROBATION}")


def end_probation(disk: Disk, directory: str) -> None:
    """The member has caught up; durable when this returns."""
    if in_probation(disk, directory):
        disk.remove(f"{directory}/{PROBATION}")
        disk.sync_directory(directory)
