"""`<data>/cluster`: what was decided when the cluster was first started, and never changes after.

Its identity, its numbers of shards and replicas and its slots, as JSON with a checksum. Written once, whole, and
durable before any replica is started, so that a replica's data never exists without it.

Invariant: a `ClusterFile` that was read assigns every slot to one of its shards.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from .config import Settings
from .errors import ConfigError, DataError
from .shardmap import SlotRange, SlotTable, equal_ranges

FILE_NAME = "cluster"
FORMAT = 1
FILE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ClusterFile:
    """Identity (32 hexadecimal digits), size and slots of a cluster."""

    cluster_id: str
    shards: int
    replicas: int
    slots: tuple[SlotRange, ...]

    @classmethod
    def new(cls, *, shards: int, replicas: int) -> ClusterFile:
        """A new cluster with a random identity and its slots in equal ranges."""
        return cls(
            cluster_id=secrets.token_hex(16), shards=shards, replicas=replicas, slots=tuple(equal_ranges(shards))
        )


def load_or_create(data: Path, settings: Settings) -> ClusterFile:
    """The cluster of the directory `data`, made on the first start.

    Raises ConfigError when the settings ask for another size than the data has, DataError when the file is damaged or
    the directory holds replicas without it.
    """
    shards, replicas = settings.cluster.shards, settings.cluster.replicas
    path = data / FILE_NAME
    if not path.exists():
        if any(data.glob("shard-*")):
            raise DataError(f"{path} is missing, and {data} holds replicas: restore it from a copy")
        made = ClusterFile.new(shards=shards, replicas=replicas)
        _write(path, made)
        return made
    found = read(path)
    for name, wanted, present in (("shards", shards, found.shards), ("replicas", replicas, found.replicas)):
        if wanted != present:
            raise ConfigError(
                f"cluster.{name} is {wanted}, but {data} was made with {present} {name}: "
                f"start it with {present}, or give another data directory"
            )
    return found


def read(path: Path) -> ClusterFile:
    """Read the file, checking everything in it. Raises DataError."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DataError(f"{path} is longer than {FILE_BYTES_MAX} bytes")
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise DataError(f"{path} is damaged: it is not JSON") from None
    if not isinstance(fields, dict):
        raise DataError(f"{path} is damaged: it holds no fields")
    if fields.get("format") != FORMAT:
        raise DataError(f"{path} has format {fields.get('format')!r}; this version reads format {FORMAT}")
    if fields.pop("checksum", None) != _checksum(fields):
        raise DataError(f"{path} is damaged: its checksum does not fit; restore it from a copy")
    return _checked(path, fields)


def _checked(path: Path, fields: dict[str, Any]) -> ClusterFile:
    try:
        slots = tuple((int(first), int(last), int(shard)) for first, last, shard in fields["slots"])
        SlotTable(slots)
        found = ClusterFile(
            cluster_id=bytes.fromhex(fields["cluster_id"]).hex(),
            shards=int(fields["shards"]),
            replicas=int(fields["replicas"]),
            slots=slots,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if {shard for _, _, shard in slots} != set(range(found.shards)):
        raise DataError(f"{path} is damaged: its slots do not name the shards 0..{found.shards - 1}")
    return found


def _checksum(fields: dict[str, Any]) -> int:
    return crc32(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def _write(path: Path, made: ClusterFile) -> None:
    fields = {"format": FORMAT, **asdict(made)}
    text = json.dumps({**fields, "checksum": _checksum(fields)}, indent=2) + "\n"
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # the rename itself is durable only with the directory
    finally:
        os.close(directory)
