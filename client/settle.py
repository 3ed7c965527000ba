"""Reading what the shard answered to one operation: a code byte, then a value or a sentence.

Nothing here raises on bad bytes: they become the call's error, since the answer was for it and no other will come.
"""

from __future__ import annotations

from . import outcomes
from .calls import Call, Outbox, Resource
from .envelope import Envelope
from .protocol import errors
from .protocol.values import decode
from .settling import Settling

_OK_NIL = bytes((errors.OK, 0xC0))


def settle(
    call: Call, result: bytes, outbox: Outbox, envelope: Envelope, now: float, settling: Settling | None = None
) -> bool:
    """Finish a call, or let it wait in `settling` once it is applied; False when it shall run again instead.

    It runs again when its resource is to be opened anew.
    """
    if result != _OK_NIL:
        code = result[0] if result else errors.BAD_MESSAGE
        if code == errors.UNKNOWN_RESOURCE and not call.reopened:
            return False
        if code != errors.OK:
            outbox.fail(call, outcomes.refused(call, code, text_of(result), envelope, now))
            return True
        try:
            call.result = decode(result[1:])
        except errors.OcelogError as error:
            outbox.fail(call, outcomes.unreadable(call, error, envelope, now))
            return True
    if settling is not None:
        settling.add(call)
        return True
    call.done = True
    outbox.finished.append(call)
    return True


def applied_late(call: Call, index: int, result: bytes, envelope: Envelope, now: float) -> errors.OcelogError:
    """What a caller is told that waits no longer, though the result of its command has come."""
    code = result[0] if result else errors.BAD_MESSAGE
    if code != errors.OK:
        return outcomes.refused(call, code, text_of(result), envelope, now)
    try:
        value = decode(result[1:])
    except errors.OcelogError as error:
        return outcomes.unreadable(call, error, envelope, now)
    call.index = index
    return outcomes.events_pending(call, value, "the events published before it have not arrived", envelope, now)


def opened(resource: Resource, result: bytes) -> tuple[int, str]:
    """Take the index from the answer to an open; else the code and text with which its calls fail."""
    resource.opening = False
    if result[0] != errors.OK:
        return result[0], text_of(result)
    try:
        index = decode(result[1:])
    except errors.OcelogError as error:
        index = error
    if type(index) is not int:
        return errors.BAD_MESSAGE, f"an open was answered with {index!r:.60}"
    resource.index = index
    return errors.OK, ""


def text_of(result: bytes) -> str:
    """The sentence of an error result."""
    return str(result[1:], "utf-8", "replace")
