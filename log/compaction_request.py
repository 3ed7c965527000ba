"""What a replica asks of the compactor and what it is told: values, and their form on the wire, one msgpack dictionary.

What comes from outside is checked here, field by field; `from_wire` raises ValueError with a sentence and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgpack

from .manifest import SegmentRecord

GROUPS_MAX = 1 << 16
SOURCES_MAX = 1 << 16
TEXT_MAX = 4096
MESSAGE_BYTES_MAX = 8 << 20
NUMBER_MAX = (1 << 64) - 1

Item = TypeVar("Item")


class CompactionGroup(NamedTuple):
    """Neighbouring segments that become one, in a file of this generation."""

    sources: tuple[SegmentRecord, ...]
    generation: int

    @property
    def target(self) -> SegmentRecord:
        """The segment that takes the place of the sources; it covers all that they cover."""
        version = max(source.version for source in self.sources) + 1
        return SegmentRecord(self.sources[0].first_index, self.generation, version, self.sources[-1].counts_to)


@dataclass(frozen=True, kw_only=True)
class CompactionRequest:
    """Rewrite these groups of one replica, keeping what the snapshot says. Paths are absolute."""

    directory: str
    shard: int
    snapshot_path: str
    groups: tuple[CompactionGroup, ...]

    def to_wire(self) -> bytes:
        """As the bytes of a message."""
        groups = [[group.generation, *map(list, group.sources)] for group in self.groups]
        return _packed(vars(self) | {"groups": groups})

    @classmethod
    def from_wire(cls, data: bytes) -> CompactionRequest:
        """Read what `to_wire` made. Raises ValueError."""
        fields = _unpacked(data)
        return cls(
            directory=_text(fields.get("directory"), "directory"),
            shard=_number(fields.get("shard"), "shard"),
            snapshot_path=_text(fields.get("snapshot_path"), "snapshot_path"),
            groups=_tuple(fields.get("groups"), "groups", GROUPS_MAX, _group),
        )


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """What became of one group. Without an `error` its file is written and synced; with 0 `entries` there is no file.

    `bytes` are the file's. After an error there is no file, and the sources are as they were: `no_space` says that the disk
    is full, `damaged` is (path, offset, index) of an entry that is not what was written.
    """

    generation: int
    entries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error: str | None = None
    no_space: bool = False
    damaged: tuple[str, int | None, int | None] | None = None


@dataclass(frozen=True, kw_only=True)
class CompactionResult:
    """One result per group of the request, in its order; none of them and an `error` for a request that was not understood."""

    groups: tuple[GroupResult, ...] = ()
    error: str | None = None

    def to_wire(self) -> bytes:
        """As the bytes of a message."""
        return _packed({"groups": [vars(group) for group in self.groups], "error": self.error})

    @classmethod
    def from_wire(cls, data: bytes) -> CompactionResult:
        """Read what `to_wire` made. Raises ValueError."""
        fields = _unpacked(data)
        groups = _tuple(fields.get("groups"), "groups", GROUPS_MAX, _group_result)
        return cls(groups=groups, error=_text_or_none(fields.get("error"), "error"))


def _packed(fields: dict[str, Any]) -> bytes:
    data: bytes = msgpack.packb(fields)
    return data


def _unpacked(data: bytes) -> dict[str, Any]:
    if len(data) > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message has {len(data)} bytes, more than {MESSAGE_BYTES_MAX}")
    try:
        fields = msgpack.unpackb(data, strict_map_key=True, max_ext_len=0)
    except Exception as error:  # it has its own class for each of the things that can be wrong
        raise ValueError(f"a message cannot be read: {error}") from None
    return _dictionary(fields, "a message")


def _dictionary(value: object, what: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"{what} is a dictionary, not {value!r:.40}")
    return value


def _group_result(value: object) -> GroupResult:
    fields = _dictionary(value, "a group's result")
    seconds = fields.get("seconds")
    if type(seconds) is not float:
        raise ValueError(f"seconds is {seconds!r:.40} and must be a float")
    return GroupResult(
        generation=_number(fields.get("generation"), "generation"),
        entries=_number(fields.get("entries"), "entries"),
        bytes=_number(fields.get("bytes"), "bytes"),
        seconds=seconds,
        error=_text_or_none(fields.get("error"), "error"),
        no_space=fields.get("no_space") is True,
        damaged=_damaged(fields.get("damaged")),
    )


def _number(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= NUMBER_MAX:
        raise ValueError(f"{name} is {value!r:.40} and must be a number from 0 to {NUMBER_MAX}")
    return value


def _text(value: object, name: str) -> str:
    if type(value) is not str or not 1 <= len(value) <= TEXT_MAX or "\0" in value:
        raise ValueError(f"{name} is {value!r:.40} and must be a string of 1 to {TEXT_MAX} characters")
    return value


def _text_or_none(value: object, name: str) -> str | None:
    return None if value is None else _text(value, name)


def _tuple(value: object, name: str, items_max: int, item: Callable[[object], Item]) -> tuple[Item, ...]:
    if type(value) is not list or len(value) > items_max:
        raise ValueError(f"{name} must be a list of at most {items_max}")
    return tuple(map(item, value))


def _group(value: object) -> CompactionGroup:
    if type(value) is not list or not 2 <= len(value) <= SOURCES_MAX:
        raise ValueError("a group is [generation, segment, ...]")
    generation, *sources = value
    group = CompactionGroup(tuple(map(_source, sources)), _number(generation, "generation"))
    end = 0
    for source in group.sources:
        if source.first_index <= end:
            raise ValueError(f"segment {source.file_name} does not lie behind the one before it")
        assert source.counts_to is not None
        end = source.counts_to
    return group


def _source(value: object) -> SegmentRecord:
    if type(value) is not list or len(value) != 4:
        raise ValueError("a segment is [first index, generation, version, counts to]")
    record = SegmentRecord(*(_number(field, "a segment's number") for field in value))
    if record.counts_to is None or not 1 <= record.first_index <= record.counts_to:
        raise ValueError(f"segment {record.file_name} counts from {record.first_index} to {record.counts_to}")
    return record


def _damaged(value: object) -> tuple[str, int | None, int | None] | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != 3:
        raise ValueError("damaged is [path, offset, index]")
    path, *numbers = value
    offset, index = (None if number is None else _number(number, "damaged") for number in numbers)
    return _text(path, "damaged"), offset, index
