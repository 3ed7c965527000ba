"""Reading what the shard answered to one operation: a code byte, then a value or a sentence.

Nothing here raises on bad bytes: they become the call's error, since the answer was for it and no other will come.
"""

from __future__ import annotations

from . import outcomes
from .calls import Call, Outbox, Resource
from .envelope import Envelope
from .protocol import errors
from .protocol.values import decode

_OK_NIL = bytes((errors.OK, 0xC0))


def settle(call: Call, result: bytes, outbox: Outbox, envelope: Envelope, now: float) -> bool:
    """Finish a call; False when it shall run again instead, on its resource opened anew."""
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
    call.done = True
    outbox.finished.append(call)
    return True


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
