"""What listeners get: the event objects of each resource, and `Resync` where continuity was lost.

An event is frozen and decodes what it holds when it is looked at, so that an event nobody looks into costs no
decoding. It knows nothing of sessions, streams or threads.

Each event class also knows how a resource's whole state is asked for (`question`) and read (`state_of`), which is what
a `Resync` carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .protocol.values import decode

ADDED = "added"
UPDATED = "updated"
REMOVED = "removed"
CLEARED = "cleared"
CHANGED = "changed"
EXPIRED = "expired"
RESYNC = "resync"


class Event:
    """One change of a resource, as published at log index `index`. Equal events have equal attributes."""

    __slots__ = ("_fields", "index")
    _fields: Sequence[Any]
    index: int
    kinds: ClassVar[frozenset[str]]

    def __init__(self, fields: Sequence[Any], index: int) -> None:
        """`fields`: kind, key, old and new as they were published. Raises ValueError when they are no such thing."""
        if type(fields) is not list or len(fields) != 4 or fields[0] not in self.kinds:
            raise ValueError(f"no event of this resource: {fields!r:.80}")
        object.__setattr__(self, "_fields", fields)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an event is frozen: {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an event is frozen: {name!r} cannot be deleted")

    @property
    def fields(self) -> Sequence[Any]:
        """Kind, key, old and new as they were published, encoded."""
        return self._fields

    @property
    def kind(self) -> str:
        """What happened."""
        kind: str = self._fields[0]
        return kind

    @property
    def key(self) -> Any:
        """The key it is about; None where there is none."""
        return None

    @property
    def old(self) -> Any:
        """The value before; None: absent."""
        return self._fields[2]

    @property
    def new(self) -> Any:
        """The value after; None: absent."""
        return self._fields[3]

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return {"kind": self.kind, "key": self.key, "old": self.old, "new": self.new, "index": self.index}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.index == other.index and self._fields == other._fields

    def __hash__(self) -> int:
        return hash((self.index, *self._fields))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r:.60}" for name, value in self.as_dict().items() if value is not None)
        return f"{type(self).__name__}({fields})"

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 100

    @staticmethod
    def begin(key: bytes | None) -> tuple[Any, ...]:
        """The command by which a session listens to that key, or to all."""
        return ("listen", key)

    @staticmethod
    def end(key: bytes | None) -> tuple[Any, ...]:
        """The command by which it does no more."""
        return ("unlisten", key)

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells the state, of that key only or of all."""
        return ("get",)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> Any:
        """The state in the answer to `question`. Raises ValueError when it is no such answer."""
        return answer


class EncodedEvent(Event):
    """A change of something whose keys and values are encoded."""

    __slots__ = ()

    @property
    def key(self) -> Any:
        """The key it is about; None: of everything, or there are no keys."""
        return decoded(self._fields[1])

    @property
    def old(self) -> Any:
        """The value before; None: there was none, or it is not told."""
        return decoded(self._fields[2])

    @property
    def new(self) -> Any:
        """The value after; None: there is none."""
        return decoded(self._fields[3])

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 100 + sum([len(field) for field in self._fields[1:] if field is not None])


class MapEvent(EncodedEvent):
    """A change of a map: `kind` is "added", "updated", "removed", "expired" or "cleared" (all keys, so no key of its own).

    `index` is the version of `new`.
    """

    __slots__ = ()
    kinds = frozenset((ADDED, UPDATED, REMOVED, EXPIRED, CLEARED))

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The query that tells the state, of that key only or of all."""
        return ("entries",) if key is None else ("get", key)

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> dict[Any, Any]:
        """A dictionary of what is there, in the order of the last writes. Raises ValueError."""
        if key is not None:
            return {} if answer is None else {decode(key): decode(answer)}
        return {decode(one): decode(value) for one, value in answer}


class CounterEvent(Event):
    """A change of a counter: `kind` is "changed", `old` and `new` are the numbers."""

    __slots__ = ()
    kinds = frozenset((CHANGED,))


class ValueEvent(EncodedEvent):
    """A change of a value: `kind` is "changed", or "expired" when its time to live was over."""

    __slots__ = ()
    kinds = frozenset((CHANGED, EXPIRED))

    @staticmethod
    def state_of(key: bytes | None, answer: Any) -> Any:
        """The value, or None. Raises ValueError."""
        return decoded(answer)


class _AnyKind(frozenset[str]):
    """Every text is in it: a machine of one's own calls its events as it likes."""

    def __contains__(self, kind: object) -> bool:
        return isinstance(kind, str)


class ResourceEvent(Event):
    """What a machine of one's own published: `kind`, `key`, `old` and `new` as it said them."""

    __slots__ = ()
    kinds = _AnyKind()

    @property
    def key(self) -> Any:
        """What it is about."""
        return self._fields[1]

    @staticmethod
    def question(key: bytes | None) -> tuple[Any, ...]:
        """The machine's own query for its state."""
        return ("state", key)


class Resync:
    """Continuity was lost: events may be missing before this, none after it.

    `state` is the resource's state at log index `index` (a map's dictionary, a counter's number), or None when it is too
    large for one answer; `kind` is "resync".
    """

    __slots__ = ("_state", "index")
    kind = RESYNC
    key = old = new = None
    size = 100
    _state: Any
    index: int

    def __init__(self, state: Any, index: int) -> None:
        object.__setattr__(self, "_state", state)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Resync is frozen: {name!r} cannot be set")

    @property
    def state(self) -> Any:
        """The state at `index`."""
        return self._state

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return {"kind": self.kind, "state": self.state, "index": self.index}

    def __repr__(self) -> str:
        return f"Resync(state={self.state!r:.60}, index={self.index})"


def decoded(field: bytes | None) -> Any:
    """A key or value of an event, or None where there is none."""
    return None if field is None else decode(field)
