"""The settings of a cluster: their names, units, defaults, bounds and relations.

Knows nothing of files, environment or flags (`sources.py` reads those) and nothing of processes.

Invariants: a `Settings` that exists is valid: every field is within its bounds and every relation holds, or
`ConfigError` was raised naming field, value and bound. Sizes are bytes where a name says `bytes`, times are
milliseconds where it says `ms`, and Raft's own times are ticks. `Settings.digest` covers the values that must be equal
in the whole cluster; the others are free per process.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..client.endpoints import DEFAULT
from .endpoint import listen_of
from .errors import ConfigError

KIB = 1024
MIB = 1024 * KIB
SEGMENT_BYTES_LIMIT = 4096 * MIB - 1  # offsets inside a segment are uint32
ENTRY_OVERHEAD_BYTES = 4 * KIB  # header, padding and the sealed arrays of a segment that holds a single entry
MESSAGE_OVERHEAD_BYTES = 4 * KIB  # header and lengths of a message that holds a single operation
LEVELS = ("debug", "info", "warning", "error")


def _whole(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def _texts() -> Any:
    return field(default=(), metadata={"texts": True})


class Section:
    """Base of the sections: checks each field's type and bounds, then the section's own relations."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if "low" in item.metadata:
                _check_whole(self.title(), item.name, value, item.metadata["low"], item.metadata["high"])
            elif "texts" in item.metadata:
                _check_texts(self.title(), item.name, value)
                object.__setattr__(self, item.name, tuple(value))
            elif not isinstance(value, str):
                raise ConfigError(f"{self.title()}.{item.name} is {value!r}, and must be a text")
        self.check()

    def check(self) -> None:
        """Relations between the fields of this section. Raises ConfigError."""

    @classmethod
    def title(cls) -> str:
        """The section's name in `ocelog.toml`."""
        return cls.__name__.removesuffix("Section").lower()


def _check_whole(section: str, name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{section}.{name} is {value!r}, and must be a whole number")
    if value < low:
        raise ConfigError(f"{section}.{name} is {value}, and must be at least {low}")
    if value > high:
        raise ConfigError(f"{section}.{name} is {value}, and must be at most {high}")


def _check_texts(section: str, name: str, value: object) -> None:
    texts = value if isinstance(value, list | tuple) else ()
    if texts is not value or not all(isinstance(text, str) and text for text in texts):
        raise ConfigError(f'{section}.{name} is {value!r}, and must be a list of texts, such as ["first", "second"]')


@dataclass(frozen=True, kw_only=True)
class ClusterSection(Section):
    """What runs, where clients connect to and where the data is.

    `listen` is the first router's endpoint, port 0 lets the system choose; further routers take the ports after it, or for
    an `ipc:///PATH` that path with their number behind it. `machines` are those of one's own, as `module:Class`, and
    `machine_path` the folders in which their modules are looked for behind all others, besides the one where the cluster is
    started.
    """

    shards: int = _whole(2, 1, 1024)
    replicas: int = _whole(3, 1, 9)
    routers: int = _whole(1, 1, 16)
    listen: str = DEFAULT
    data: str = "./data"
    machines: tuple[str, ...] = _texts()
    machine_path: tuple[str, ...] = _texts()

    def check(self) -> None:
        for router in (0, self.routers - 1):
            listen_of(self.listen, router)
        if not self.data:
            raise ConfigError("cluster.data is empty, and must name a directory")


@dataclass(frozen=True, kw_only=True)
class LogSection(Section):
    """When a segment is full and the next one begins; with `reserve` 1 the room of one is kept for a full disk."""

    segment_bytes_max: int = _whole(64 * MIB, 4 * KIB, SEGMENT_BYTES_LIMIT)
    segment_entries_max: int = _whole(1 << 20, 1, 1 << 28)
    reserve: int = _whole(1, 0, 1)


@dataclass(frozen=True, kw_only=True)
class CompactionSection(Section):
    """When the log is cleaned, and how much of it at a time; see docs/compaction.md.

    `enabled` 0 leaves every entry in the log unless somebody asks for a run. `threshold_percent` is the dead part of a
    segment, times its version, from which a minor compaction rewrites it. `lag_bytes_max` is how far an available
    member may be behind before the segments that it still needs are compacted all the same. `disk_ratio_percent` is
    the log's bytes over its live bytes that start a run at once. One sealed segment is read and checked every
    `scrub_interval_ms`. `snapshot_items_per_turn` bounds how many sessions or resources a snapshot takes between two
    turns of the loop. `nice` is the compactor's priority, 19 the lowest. Members compare digests at every index that is
    a multiple of `digest_entries`.
    """

    enabled: int = _whole(1, 0, 1)
    minor_interval_ms: int = _whole(60_000, 100, 86_400_000)
    major_interval_ms: int = _whole(3_600_000, 100, 7 * 86_400_000)
    threshold_percent: int = _whole(50, 1, 1000)
    lag_bytes_max: int = _whole(256 * MIB, 0, 1 << 50)
    disk_ratio_percent: int = _whole(300, 101, 100_000)
    scrub_interval_ms: int = _whole(60_000, 10, 86_400_000)
    snapshot_items_per_turn: int = _whole(256, 1, 1 << 20)
    nice: int = _whole(10, 0, 19)
    digest_entries: int = _whole(65_536, 1, 1 << 40)

    def check(self) -> None:
        if self.major_interval_ms < self.minor_interval_ms:
            raise ConfigError(
                f"compaction.major_interval_ms is {self.major_interval_ms}, and must be at least "
                f"compaction.minor_interval_ms ({self.minor_interval_ms})"
            )


@dataclass(frozen=True, kw_only=True)
class RaftSection(Section):
    """Raft's times, in ticks of `tick_ms`, and how much may be under way to one follower.

    The election timeout is drawn from `election_ticks` to twice that. `clock_drift_percent` is how much faster the
    clock of one host may run than that of another: a leader answers BOUNDED_LINEARIZABLE queries by itself for so much
    less than an election timeout.
    """

    tick_ms: int = _whole(50, 1, 10_000)
    heartbeat_ticks: int = _whole(2, 1, 1000)
    election_ticks: int = _whole(20, 2, 10_000)
    append_bytes_max: int = _whole(MIB, KIB, 1024 * MIB)
    inflight_messages_max: int = _whole(64, 1, 65_536)
    inflight_bytes_max: int = _whole(8 * MIB, KIB, 4096 * MIB)
    clock_drift_percent: int = _whole(5, 0, 100)

    def check(self) -> None:
        if self.election_ticks < 3 * self.heartbeat_ticks:
            raise ConfigError(
                f"raft.election_ticks is {self.election_ticks}, and must be at least three times raft.heartbeat_ticks "
                f"({self.heartbeat_ticks}): two lost heartbeats would start an election"
            )
        if self.inflight_bytes_max < self.append_bytes_max:
            raise ConfigError(
                f"raft.inflight_bytes_max is {self.inflight_bytes_max}, and must be at least raft.append_bytes_max "
                f"({self.append_bytes_max})"
            )


@dataclass(frozen=True, kw_only=True)
class SessionSection(Section):
    """How long a silent session lives and what one may hold.

    `results_bytes_max` is for its unacknowledged results. A session that leaves more than `events_max` events unhandled, or
    more than `event_bytes_max` bytes of them, is expired.
    """

    timeout_ms_default: int = _whole(30_000, 100, 86_400_000)
    timeout_ms_min: int = _whole(1000, 100, 86_400_000)
    timeout_ms_max: int = _whole(3_600_000, 100, 86_400_000)
    in_flight_max: int = _whole(4096, 1, 1 << 20)
    sessions_max: int = _whole(100_000, 1, 1 << 24)
    results_bytes_max: int = _whole(8 * MIB, KIB, 1024 * MIB)
    events_max: int = _whole(10_000, 1, 1 << 24)
    event_bytes_max: int = _whole(16 * MIB, KIB, 1024 * MIB)

    def check(self) -> None:
        if not self.timeout_ms_min <= self.timeout_ms_default <= self.timeout_ms_max:
            raise ConfigError(
                f"session.timeout_ms_default is {self.timeout_ms_default}, and must be between session.timeout_ms_min "
                f"({self.timeout_ms_min}) and session.timeout_ms_max ({self.timeout_ms_max})"
            )


@dataclass(frozen=True, kw_only=True)
class LimitsSection(Section):
    """What is refused before it reaches the log."""

    operation_bytes_max: int = _whole(MIB, 64, 1024 * MIB)
    operations_max: int = _whole(1024, 1, 65_535)  # the header's count is a uint16
    message_bytes_max: int = _whole(8 * MIB, 8 * KIB, 2048 * MIB)
    nesting_max: int = _whole(32, 1, 512)
    name_bytes_max: int = _whole(255, 1, 255)  # a name's length is one byte in the log

    def check(self) -> None:
        if self.message_bytes_max < self.operation_bytes_max + MESSAGE_OVERHEAD_BYTES:
            raise ConfigError(
                f"limits.message_bytes_max is {self.message_bytes_max}, and must be at least "
                f"limits.operation_bytes_max ({self.operation_bytes_max}) plus {MESSAGE_OVERHEAD_BYTES}"
            )


@dataclass(frozen=True, kw_only=True)
class LoggingSection(Section):
    """The processes' log files in `<data>/logs`: `files_max` of them per process, `file_bytes_max` each."""

    level: str = "info"
    file_bytes_max: int = _whole(16 * MIB, 4 * KIB, 1024 * MIB)
    files_max: int = _whole(4, 1, 1000)

    def check(self) -> None:
        if self.level not in LEVELS:
            raise ConfigError(f"logging.level is {self.level!r}, and must be one of {', '.join(LEVELS)}")


CLUSTER_WIDE: dict[str, tuple[str, ...]] = {
    "cluster": ("shards", "replicas"),
    "raft": tuple(item.name for item in fields(RaftSection)),
    "session": tuple(item.name for item in fields(SessionSection)),
    "limits": tuple(item.name for item in fields(LimitsSection)),
    "compaction": ("digest_entries",),
}
"""Section to the fields that must be equal in every process; replicas that differ would apply differently."""


_SECTIONS: dict[str, type[Section]] = {
    cls.title(): cls
    for cls in (
        ClusterSection,
        LogSection,
        CompactionSection,
        RaftSection,
        SessionSection,
        LimitsSection,
        LoggingSection,
    )
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one process. Raises ConfigError when a field or a relation does not hold."""

    cluster: ClusterSection = field(default_factory=ClusterSection)
    log: LogSection = field(default_factory=LogSection)
    compaction: CompactionSection = field(default_factory=CompactionSection)
    raft: RaftSection = field(default_factory=RaftSection)
    session: SessionSection = field(default_factory=SessionSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    logging: LoggingSection = field(default_factory=LoggingSection)

    def __post_init__(self) -> None:
        needed = self.limits.operation_bytes_max + ENTRY_OVERHEAD_BYTES
        if self.log.segment_bytes_max < needed:
            raise ConfigError(
                f"log.segment_bytes_max is {self.log.segment_bytes_max}, and must be at least {needed}, so that one "
                f"operation of limits.operation_bytes_max ({self.limits.operation_bytes_max}) fits"
            )

    @classmethod
    def from_sections(cls, sections: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Build from `{section: {field: value}}`; what is left out has its default. Raises ConfigError."""
        made: dict[str, Any] = {}
        for title, values in sections.items():
            if title not in _SECTIONS:
                raise ConfigError(f"unknown section [{title}]{suggestion(title, _SECTIONS)}")
            if not isinstance(values, Mapping):
                raise ConfigError(f"[{title}] is {values!r}, and must be a section with settings")
            names = field_names(title)
            for name in values:
                if name not in names:
                    raise ConfigError(f"unknown setting {title}.{name}{suggestion(name, names)}")
            made[title] = _SECTIONS[title](**values)
        return cls(**made)

    def sections(self) -> dict[str, dict[str, Any]]:
        """Every value as `{section: {field: value}}`, ready for JSON; `from_sections` takes it back."""
        return asdict(self)

    def digest(self) -> str:
        """16 hexadecimal digits over the cluster-wide values, compared when replicas and routers meet."""
        everything = self.sections()
        shared = {title: {name: everything[title][name] for name in names} for title, names in CLUSTER_WIDE.items()}
        text = json.dumps(shared, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def section_names() -> tuple[str, ...]:
    """The titles of all sections."""
    return tuple(_SECTIONS)


def field_names(title: str) -> tuple[str, ...]:
    """The settings of a section."""
    return tuple(item.name for item in fields(_SECTIONS[title]))  # type: ignore[arg-type]


def kind_of(title: str, name: str) -> str:
    """Whether the setting is a "text", a list of "texts", or a "number"."""
    item = next(item for item in fields(_SECTIONS[title]) if item.name == name)  # type: ignore[arg-type]
    return "number" if "low" in item.metadata else "texts" if "texts" in item.metadata else "text"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?` when a known word is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]!r}?" if close else ""
