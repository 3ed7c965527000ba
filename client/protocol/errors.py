"""Every error the protocol knows, in one table, and the exceptions a caller sees.

*Definite* means surely not applied: the operation never left, or the log holds its refusal. *Retry*
means that repeating the same bytes may succeed; the client does that by itself until the deadline. A refusal
with a retry spends no sequence. docs/protocol.md prints the same table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

OK = 0
NOT_LEADER = 1
NO_LEADER = 2
BUSY = 3
NO_SPACE = 4
GAP = 5
NOT_SENT = 6
BEHIND = 7
UNKNOWN_SESSION = 10
TOO_MANY_SESSIONS = 11
WRONG_SHARD = 12
UNKNOWN_VERSION = 13
BAD_MESSAGE = 14
ACKNOWLEDGED = 15
BAD_OPERATION = 30
UNKNOWN_OPERATION = 31
UNKNOWN_RESOURCE = 32
UNKNOWN_TYPE = 33
WRONG_TYPE = 34
TOO_LARGE = 35
VOIDED = 36
MACHINE_ERROR = 37
DELETED = 38
REVOKED = 39


class ErrorRow(NamedTuple):
    """One row of the table: code on the wire, name, definite or not, retry or not, and a sentence for people."""

    code: int
    name: str
    definite: bool
    retry: bool
    sentence: str


TABLE = (
    ErrorRow(NOT_LEADER, "NOT_LEADER", True, True, "this replica does not lead its shard; the answer names who does"),
    ErrorRow(NO_LEADER, "NO_LEADER", True, True, "the shard has no leader at the moment"),
    ErrorRow(BUSY, "BUSY", True, True, "more operations are in flight than the shard accepts; repeat later"),
    ErrorRow(NO_SPACE, "NO_SPACE", True, True, "the leader's disk is full; writes resume when there is room"),
    ErrorRow(GAP, "GAP", True, True, "an earlier sequence is missing; repeat from the one named"),
    ErrorRow(NOT_SENT, "NOT_SENT", True, True, "the router could not hand the message to a replica"),
    ErrorRow(BEHIND, "BEHIND", True, True, "the replica has not applied yet what the query must see; ask the leader"),
    ErrorRow(UNKNOWN_SESSION, "UNKNOWN_SESSION", False, False, "the session has ended or the key does not fit it"),
    ErrorRow(TOO_MANY_SESSIONS, "TOO_MANY_SESSIONS", True, False, "the shard holds as many sessions as it may"),
    ErrorRow(WRONG_SHARD, "WRONG_SHARD", True, False, "the message names a shard that is not served here"),
    ErrorRow(UNKNOWN_VERSION, "UNKNOWN_VERSION", True, False, "the message is of a protocol version not known here"),
    ErrorRow(BAD_MESSAGE, "BAD_MESSAGE", True, False, "the message could not be read"),
    ErrorRow(ACKNOWLEDGED, "ACKNOWLEDGED", False, False, "the result was acknowledged before and is forgotten"),
    ErrorRow(
        BAD_OPERATION, "BAD_OPERATION", True, False, "the operation could not be read or its arguments do not fit"
    ),
    ErrorRow(UNKNOWN_OPERATION, "UNKNOWN_OPERATION", True, False, "the resource has no such operation"),
    ErrorRow(UNKNOWN_RESOURCE, "UNKNOWN_RESOURCE", True, False, "no resource was created at that index"),
    ErrorRow(UNKNOWN_TYPE, "UNKNOWN_TYPE", True, False, "no machine of that type is installed on the shard"),
    ErrorRow(WRONG_TYPE, "WRONG_TYPE", True, False, "the resource exists and is of another type"),
    ErrorRow(TOO_LARGE, "TOO_LARGE", True, False, "the operation is larger than the limit"),
    ErrorRow(VOIDED, "VOIDED", True, False, "the call had given up; its sequence was spent without effect"),
    ErrorRow(MACHINE_ERROR, "MACHINE_ERROR", True, False, "the state machine refused the operation"),
    ErrorRow(DELETED, "DELETED", True, False, "the resource was deleted while the request waited at it"),
    ErrorRow(
        REVOKED, "REVOKED", True, False, "what the request had, or waited for, was taken from it by somebody else"
    ),
)

ROWS = {row.code: row for row in TABLE}


def name_of(code: int) -> str:
    """The name of a code, or `ERROR_<code>` for one a newer server may send."""
    row = ROWS.get(code)
    return row.name if row else f"ERROR_{code}"


class OcelogError(Exception):
    """Base of every error of the client.

    `definite` is True when the operation was surely not applied; `context` holds what is known of endpoint, shard,
    session, sequence, attempts and elapsed seconds, and is part of the text.
    """

    definite: bool = True

    def __init__(self, message: str, **context: object) -> None:
        self.message = message
        self.context = {name: value for name, value in context.items() if value is not None}
        super().__init__(message)

    def __str__(self) -> str:
        if not self.context:
            return self.message
        details = ", ".join(f"{name} {value}" for name, value in self.context.items())
        return f"{self.message} ({details})"


class Unresolved(OcelogError):
    """What became of a command is open. `session` and `sequence` name it to the whole cluster, if it was sent."""

    definite = False
    session: str | None = None
    sequence: int | None = None
    resolver: Callable[[Any, float | None], Any] | None = None

    def resolve(self, timeout: float | None = None) -> Any:
        """What became of the command, asked of its shard until that is decided: an `Outcome`; to be awaited in asyncio.

        `timeout` in seconds, None: the client's. Raises DeadlineExceeded while it is still pending then, BadArgument for a
        command that was never sent, Refused and Closed.
        """
        if self.resolver is None or self.session is None:
            raise BadArgument("there is nothing to resolve: the command was not sent, or by no client of this process")
        return self.resolver(self, timeout)


class BadArgument(OcelogError, ValueError):
    """A value, key, name, option or endpoint that cannot be used; nothing was sent."""


class Refused(OcelogError):
    """The cluster refused the operation for good; it was not applied. `code` is the row of the error table."""

    def __init__(self, code: int, message: str, **context: object) -> None:
        self.code = code
        super().__init__(message, **context)


class WrongType(Refused):
    """The resource of that name exists and is of another type."""


class UnknownOperation(Refused):
    """The resource's machine has no such operation."""


class MachineError(Refused):
    """The machine's handler raised: `type_name` and the text are the handler's."""

    def __init__(self, code: int, message: str, **context: object) -> None:
        super().__init__(code, message, **context)
        self.type_name, _, self.text = message.partition(": ")


class ResourceDeleted(Refused):
    """The resource was deleted while the call waited at it, and with it whatever the call had asked for."""


class Revoked(Refused):
    """Somebody else took from the call what it had, or waited for: its candidate was evicted, or another one anointed."""


class DeadlineExceeded(OcelogError, TimeoutError):
    """The deadline passed; the operation was never sent or is a query, so nothing was changed by it."""


class OutcomeUnknown(Unresolved, TimeoutError):
    """The deadline passed after the command was sent: it may or may not have been applied.

    The session settles the sequence in the background: it is either applied once or spent without effect.
    """


class EventsPending(OcelogError, TimeoutError):
    """The command was applied, and the deadline passed before all its events were handled.

    `result` is what the call would have returned, `index` the log index of the command.
    """

    definite = False

    def __init__(self, message: str, *, result: object, index: int, **context: object) -> None:
        self.result = result
        self.index = index
        super().__init__(message, index=index, **context)


class SessionExpired(Unresolved):
    """The shard ended the session; commands in flight may or may not have been applied. One never sent is definite."""


class Closed(OcelogError):
    """The client was closed, or is used in another process than the one that made it."""


class ConnectFailed(OcelogError, ConnectionError):
    """No endpoint answered before the deadline."""


_CLASSES: dict[int, type[Refused]] = {
    WRONG_TYPE: WrongType,
    UNKNOWN_OPERATION: UnknownOperation,
    MACHINE_ERROR: MachineError,
    DELETED: ResourceDeleted,
    REVOKED: Revoked,
}


def error_for(code: int, message: str, **context: object) -> OcelogError:
    """The exception for a final error code. An unknown session is `SessionExpired`, else `Refused` or a subclass."""
    if code == UNKNOWN_SESSION:
        return SessionExpired(message or ROWS[code].sentence, **context)
    if code == ACKNOWLEDGED:
        return OutcomeUnknown(message or ROWS[code].sentence, **context)
    if not message:
        message = ROWS[code].sentence if code in ROWS else "refused by the cluster"
    return _CLASSES.get(code, Refused)(code, message, **context)
