"""Whose directory this is: written once, so that a directory from elsewhere is noticed before anything else is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .envelope import unwrap, wrap
from .errors import Corruption, IdentityMismatch
from .files import Disk

MAGIC = b"OCELOGID"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Cluster id (hex), shard, member, and the incarnation of the member (raised when its directory was lost)."""

    cluster_id: str
    shard: int
    member: int
    incarnation: int

    @classmethod
    def load_or_create(cls, disk: Disk, directory: str, expected: Identity) -> Identity:
        """Read the directory's identity, or write `expected` into an empty one.

        Raises IdentityMismatch when it belongs to another cluster, shard or member, and Corruption.
        """
        path = f"{directory}/identity"
        if not disk.exists(path):
            if disk.exists(f"{directory}/manifest") or disk.exists(f"{directory}/meta.0"):
                raise Corruption(path, "it is missing, but the directory holds a log")
            disk.replace(path, wrap(MAGIC, VERSION, asdict(expected)))
            return expected
        found = cls.decode(path, disk.read(path))
        for name in ("cluster_id", "shard", "member"):
            if getattr(found, name) != getattr(expected, name):
                raise IdentityMismatch(
                    f"{directory} belongs to {found.describe()}, not to {expected.describe()}: "
                    "start it with the cluster it belongs to, or use another directory"
                )
        return found

    @classmethod
    def decode(cls, path: str, data: bytes) -> Identity:
        """The identity that a file holds. Raises Corruption or UnknownFormat."""
        fields = unwrap(path, data, MAGIC, VERSION)
        if type(fields) is not dict or {name: type(value) for name, value in fields.items()} != _TYPES:
            raise Corruption(path, "its body is not an identity")
        return cls(**fields)

    def describe(self) -> str:
        """For people."""
        return f"cluster {self.cluster_id}, shard {self.shard}, replica {self.member}"


_TYPES = {"cluster_id": str, "shard": int, "member": int, "incarnation": int}
