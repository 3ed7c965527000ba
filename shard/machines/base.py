"""What a state machine is: commands that change it, queries that read it, and which log entries its state lives in.

A machine never sees a clock, a socket, a file or randomness: the same entries in the same order must give the same
state, results and releases on every replica. Time is `commit.time`, the log's own.

A command declares where its state lives. RELEASE: in its live log entry, which the machine releases once it no longer
contributes. SNAPSHOT: in what `snapshot` returns; the entry is dead once a snapshot covers it. There is no default.
A handler checks first and changes then: if it raises, its caller gets the error, and its releases, timers and events
are dropped.

A replica that starts from a snapshot makes the machine, hands `install` what `snapshot` returned, restores the live
entries in index order, and calls `restored`. The machine must then be what it was: in state, in order of iteration, and
in the timers that its live entries armed.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgpack

from ...client.protocol.operations import no_extension
from ...log.entry import RELEASE, SNAPSHOT

__all__ = ["RELEASE", "SNAPSHOT", "Commit", "MachineDefinitionError", "Operation", "StateMachine", "command", "query"]

DUE_MS_MAX = (1 << 63) - 1

RESERVED = frozenset(
    {
        *("release", "schedule", "publish", "forget_pending"),
        *("pending_releases", "pending_timers", "pending_events"),
        *("snapshot", "install", "restored", "live_entries"),
        *("session_opened", "session_closed", "session_expired", "watches", "deleted", "upgrade"),
    }
)
"""What the base class gives a machine or calls in it, and what an operation can therefore not be called."""


Published = tuple[tuple[int, ...], bytes]
"""An event of a handler: the sessions it is for, and the msgpack of its name and of its value, one behind the other."""


class MachineDefinitionError(TypeError):
    """A machine class that cannot be right; raised when the class is defined, not when it is used."""


class Commit:
    """The entry (or query) being applied: its log index, its time in milliseconds since the epoch, and its session.

    For a query, index and time are those of the last applied entry. Valid only while the handler runs.
    """

    __slots__ = ("index", "session", "time")

    def __init__(self, index: int, time: int, session: int) -> None:
        self.index = index
        self.time = time
        self.session = session


class Operation:
    """A declared command or query: its function, its mode (None for a query), and the arguments it takes.

    `types` holds, per positional argument, the exact type that is required, or None where any is accepted; `needed` those of
    the arguments that have no default, which is what most calls are made of; `rest` that of each of `*arguments`.
    """

    __slots__ = ("_restore", "arguments_max", "arguments_min", "function", "mode", "name", "needed", "rest", "types")

    def __init__(self, function: Callable[..., Any], mode: int | None) -> None:
        self.function = function
        self.mode = mode
        self.name = function.__name__
        self._restore: Callable[..., Any] | None = None
        positional, self.arguments_min, self.arguments_max = _arguments(self.name, function)
        self.types: tuple[type | None, ...] = (None,) * positional
        self.needed: tuple[type | None, ...] = self.types[: self.arguments_min]
        self.rest: type | None = None

    def restore(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: how a live entry of this RELEASE command puts its effect back.

        The entry is live, so its effect is in the state: every condition is taken as met. It may arm the timers that
        the command armed, in the same order (those that have fired are dropped again); it returns nothing, and a
        replica on which it releases anything or raises does not start.
        """
        if self.mode != RELEASE:
            raise MachineDefinitionError(f"{self.name}: only a RELEASE command has live entries to restore")
        _, least, most = _arguments(f"{self.name}.restore", function)
        if least > self.arguments_min or most < self.arguments_max:
            raise MachineDefinitionError(f"{self.name}: its restore must take what it takes itself")
        self._restore = function
        return function

    @property
    def restoring(self) -> Callable[..., Any]:
        """The restore function; by default the command itself (right for unconditional writes of one key)."""
        return self._restore or self.function

    @property
    def restorable(self) -> tuple[int, int]:
        """The fewest and the most arguments with which a live entry of this RELEASE command can be restored."""
        _, least, most = _arguments(f"{self.name}.restore", self.restoring)
        return least, most

    def resolve_types(self) -> None:
        """Read the argument types from the annotations, once the class exists."""
        try:
            hints = typing.get_type_hints(self.function)
        except NameError:
            return
        names = list(inspect.signature(self.function).parameters)[2:]
        types = [_exact(hints.get(name)) for name in names]
        self.types = tuple(types[: len(self.types)])
        self.needed = self.types[: self.arguments_min]
        self.rest = types[-1] if len(types) > len(self.types) else None

    def refusal(self, arguments: list[Any]) -> str | None:
        """Why these arguments do not fit, or None when they do."""
        found = tuple(map(type, arguments))
        if found == self.needed or found == self.types:
            return None
        count = len(arguments)
        if not self.arguments_min <= count <= self.arguments_max:
            return f"{self.name} takes {self._takes()}, got {count}"
        positional = len(self.types)
        for position, kind in enumerate(found):
            wanted = self.types[position] if position < positional else self.rest
            if wanted is not None and kind is not wanted:
                return f"{self.name}: argument {position + 1} must be {wanted.__name__}, not {kind.__name__}"
        return None

    def _takes(self) -> str:
        if self.arguments_min == self.arguments_max:
            return f"{self.arguments_min} argument{'s' * (self.arguments_min != 1)}"
        return f"{self.arguments_min} to {self.arguments_max} arguments"

    def __get__(self, machine: Any, owner: type | None = None) -> Any:
        return self if machine is None else self.function.__get__(machine, owner)


def _arguments(name: str, function: Callable[..., Any]) -> tuple[int, int, int]:
    """Positional parameters behind self and commit; the fewest and the most arguments that clients may send."""
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:
        raise MachineDefinitionError(f"{name}: an operation takes self and commit, then what clients send")
    parameters = parameters[2:]
    if any(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters):
        raise MachineDefinitionError(f"{name}: operations take positional arguments only")
    positional = [p for p in parameters if p.kind is not p.VAR_POSITIONAL]
    least = sum(p.default is p.empty for p in positional)
    return len(positional), least, len(positional) if len(positional) == len(parameters) else 1 << 16


def _exact(hint: Any) -> type | None:
    return hint if hint in (bytes, str, int, bool, float) else None


def _as_kept(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """A timer's arguments as a snapshot would give them back, so that a rebuilt replica's are no others."""
    # Two containers around them: msgpack packs a level more than it unpacks, and a snapshot adds one of its own.
    ((kept,),) = msgpack.unpackb(msgpack.packb([[arguments]]), strict_map_key=False)
    return tuple(kept)


def _encode_event(name: str, value: Any) -> bytes:
    """Name and value, as they stand in an event behind its resource; read back, since clients have to."""
    # A batch adds two containers, and msgpack packs a level more than it unpacks.
    packed = _pack_event([[[name, value]]])
    _read_event(packed)
    return packed[3:]  # type: ignore[no-any-return]


# One packer for all events: msgpack.packb makes one for each, which costs several times the packing.
_pack_event = msgpack.Packer(use_bin_type=True).pack
_read_event = functools.partial(msgpack.unpackb, raw=False, strict_map_key=False, max_ext_len=0, ext_hook=no_extension)
_INTEGERS = {int}


def _session_ids(sessions: Any) -> tuple[int, ...]:
    ids = tuple(sessions)
    if ids and set(map(type, ids)) != _INTEGERS:
        raise TypeError(f"events are published to the ids of sessions, not to {ids!r:.60}")
    return ids


def _no_index(index: Any) -> Exception:
    text = f"an entry is released by its index, a positive int, not {index!r:.60}"
    return ValueError(text) if type(index) is int else TypeError(text)


def command(*, mode: int) -> Callable[[Callable[..., Any]], Operation]:
    """Declare a command `def name(self, commit, *arguments)`; `mode` is RELEASE or SNAPSHOT (see the module)."""
    if mode not in (RELEASE, SNAPSHOT):
        raise MachineDefinitionError(f"mode must be RELEASE or SNAPSHOT, not {mode!r}")
    return lambda function: Operation(function, mode)


def query(function: Callable[..., Any]) -> Operation:
    """Declare a query `def name(self, commit, *arguments)`: it reads and changes nothing."""
    return Operation(function, None)


class StateMachine:
    """Base of every machine; subclass it, declare `type_name`, commands and queries.

    Optional:

    - `snapshot()`, returning what msgpack can hold, and `install(state)`, taking it back (tuples come as lists). SNAPSHOT
      commands need both, and so does what listeners and timers leave behind. Equal states must give equal bytes, so
      dictionaries come in an order of the state's own. `install` raises for what `snapshot` cannot have returned.
    - `restored()`: called when the last live entry is restored, to put together what comes from both places.
    - `live_entries()`: the indexes of the entries that the state lives in, in any order. Without it a resource with
      RELEASE commands cannot be deleted.
    - the session listeners `session_opened(commit)`, `session_closed(commit)` and `session_expired(commit)`, with
      `commit.session` the session in question. Not called for what a snapshot covers.
    - `deleted(commit)`: called before the resource is deleted, so that it can publish to whoever listens or waits.
    - `watches(session)`: whether the machine has anything to do when that session ends.
    - `version`, and `upgrade(previous)`: a class of the same type with another version takes over from the one before when
      the cluster is switched to it.

    Events reach sessions by `publish`, from commands, timers and session listeners.

    Raises MachineDefinitionError when a subclass is defined in a way that cannot work.
    """

    type_name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    operations: ClassVar[dict[str, Operation]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        found: dict[str, Operation] = {}
        for base in reversed(cls.__mro__):  # as Python finds methods, also those of a second base
            found.update({name: value for name, value in vars(base).items() if isinstance(value, Operation)})
        for name, operation in found.items():
            if name in RESERVED:
                raise MachineDefinitionError(f"{cls.__name__}: {name} means something else to every machine")
            operation.resolve_types()
        cls.operations = found
        if hasattr(cls, "snapshot") != hasattr(cls, "install"):
            raise MachineDefinitionError(f"{cls.__name__}: snapshot() and install(state) need each other")
        snapshotting = [name for name, operation in found.items() if operation.mode == SNAPSHOT]
        if snapshotting and not hasattr(cls, "snapshot"):
            raise MachineDefinitionError(
                f"{cls.__name__}: {', '.join(snapshotting)} keep their state in the snapshot, "
                "so the machine must define snapshot() and install(state)"
            )

    def __init__(self) -> None:
        self.pending_releases: list[int] = []
        self.pending_timers: list[tuple[int, str, tuple[Any, ...]]] = []
        self.pending_events: list[Published] = []

    def release(self, index: int) -> None:
        """The entry at `index` no longer contributes to the state. O(1); takes effect when the handler returns.

        Only for entries of this machine's own RELEASE commands, and once for each: what is released twice or is somebody
        else's is not noticed here. Raises TypeError or ValueError for what is no index.
        """
        if type(index) is not int or index < 1:
            raise _no_index(index)
        self.pending_releases.append(index)

    def schedule(self, due_ms: int, method: str, *arguments: Any) -> None:
        """Call `self.<method>(commit, *arguments)` once log time reaches `due_ms` (milliseconds since the epoch).

        Timers fire by (due time, index that armed them, order of arming), before the entry that moved the time. A due
        time not after the arming entry's time means at the next entry that moves it. A timer that a RELEASE command arms
        belongs to its entry and is dropped when that is released. The arguments are what a snapshot can hold, and come as
        it gives them back: tuples as lists. Raises TypeError, ValueError, OverflowError or AttributeError for what could
        never fire.
        """
        if type(due_ms) is not int:
            raise TypeError(f"a due time is a whole number of ms since the epoch, not {due_ms!r:.60}")
        if not 0 <= due_ms <= DUE_MS_MAX:
            raise ValueError(f"a due time is between 0 and {DUE_MS_MAX} ms since the epoch, not {due_ms}")
        if not callable(getattr(self, method)):
            raise TypeError(f"{method} of {self.type_name} is no method")
        self.pending_timers.append((due_ms, method, _as_kept(arguments) if arguments else ()))

    def publish(self, session: int | Iterable[int], event: str, value: Any = None) -> None:
        """Publish an event to a session, or to many at the cost of encoding it once; takes effect when the handler returns.

        `session` is the id of a session or an iterable of ids, whose order does not matter; those that are not open get
        nothing. The value is what msgpack can hold and give back; it is encoded now. All that one entry publishes to a
        session reaches it as one batch, in the order of publishing. Not for queries; what a restore publishes is
        dropped, since the sessions got it when the entry was applied. Raises TypeError, ValueError or OverflowError for
        what cannot be published.
        """
        sessions = (session,) if type(session) is int else _session_ids(session)
        if type(event) is not str:
            raise TypeError(f"an event is called by a string, not {event!r:.60}")
        if sessions:
            self.pending_events.append((sessions, _encode_event(event, value)))

    def watches(self, session: int) -> bool:
        """Whether `session_closed` and `session_expired` are to be called for this session; must follow from the state alone.

        A shard may have thousands of resources, and thousands of sessions that end at once: a machine that knows whom it
        has to do with says no for all others.
        """
        return True

    def upgrade(self, previous: StateMachine) -> None:
        """Take over the state of a machine of another version, which is not used any more.

        By default every attribute is taken as it is. The live entries stay those that there are, and from now on it is this
        class that restores them. Must follow from the state alone, and may raise to refuse: nothing is switched then.
        """
        self.__dict__.update({name: value for name, value in vars(previous).items() if not name.startswith("pending_")})

    def forget_pending(self) -> None:
        """Drop what the handler that just ran released, scheduled and published."""
        self.pending_releases.clear()
        self.pending_timers.clear()
        self.pending_events.clear()
