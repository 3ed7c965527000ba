"""What a replica asks of the compactor and what it is told: values, and their form as plain msgpack dictionaries.

What comes from outside is checked here, field by field; `from_wire` raises ValueError with a sentence and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from .manifest import SegmentRecord

GROUPS_MAX = 1 << 16
SOURCES_MAX = 1 << 16
TEXT_MAX = 4096
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

    def to_wire(self) -> dict[str, Any]:
        """As a dictionary of strings, numbers and lists."""
        groups = [[group.generation, *map(list, group.sources)] for group in self.groups]
        return {
            "directory": self.directory,
            "shard": self.shard,
            "snapshot_path": self.snapshot_path,
            "groups": groups,
        }

    @classmethod
    def from_wire(cls, wire: object) -> CompactionRequest:
        """Read what `to_wire` made. Raises ValueError."""
        fields = _dictionary(wire, "a request")
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

    def to_wire(self) -> dict[str, Any]:
        """As a dictionary."""
        damaged = None if self.damaged is None else list(self.damaged)
        return vars(self) | {"damaged": damaged}

    @classmethod
    def from_wire(cls, wire: object) -> GroupResult:
        """Read what `to_wire` made. Raises ValueError."""
        fields = _dictionary(wire, "a group's result")
        seconds, error = fields.get("seconds"), fields.get("error")
        if type(seconds) is not float:
            raise ValueError(f"seconds is {seconds!r:.40} and must be a float")
        return cls(
            generation=_number(fields.get("generation"), "generation"),
            entries=_number(fields.get("entries"), "entries"),
            bytes=_number(fields.get("bytes"), "bytes"),
            seconds=seconds,
            error=None if error is None else _text(error, "error"),
            no_space=fields.get("no_space") is True,
            damaged=_damaged(fields.get("damaged")),
        )


@dataclass(frozen=True, kw_only=True)
class CompactionResult:
    """One result per group of the request, in its order."""

    groups: tuple[GroupResult, ...]

    def to_wire(self) -> dict[str, Any]:
        """As a dictionary."""
        return {"groups": [group.to_wire() for group in self.groups]}

    @classmethod
    def from_wire(cls, wire: object) -> CompactionResult:
        """Read what `to_wire` made. Raises ValueError."""
        fields = _dictionary(wire, "a result")
        return cls(groups=_tuple(fields.get("groups"), "groups", GROUPS_MAX, GroupResult.from_wire))


def _dictionary(value: object, what: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"{what} is a dictionary, not {value!r:.40}")
    return value


def _number(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= NUMBER_MAX:
        raise ValueError(f"{name} is {value!r:.40} and must be a number from 0 to {NUMBER_MAX}")
    return value


def _text(value: object, name: str) -> str:
    if type(value) is not str or not 1 <= len(value) <= TEXT_MAX or "\0" in value:
        raise ValueError(f"{name} is {value!r:.40} and must be a string of 1 to {TEXT_MAX} characters")
    return value


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
