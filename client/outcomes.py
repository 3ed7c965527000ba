"""What a caller is told when its call did not end with a result: the exception, with all that is known of the call."""

from __future__ import annotations

from typing import Any

from .calls import Call
from .envelope import Envelope
from .protocol import errors


def context(call: Call, envelope: Envelope, now: float) -> dict[str, Any]:
    """Endpoint, shard, session, sequence, attempts and elapsed seconds; what is not known yet is None."""
    return {
        "operation": call.parts[0],
        "resource": call.resource.name or None,
        "endpoint": envelope.endpoint or None,
        "shard": call.resource.shard,
        "session": envelope.session or None,
        "sequence": call.sequence or None,
        "attempts": call.attempts,
        "elapsed_seconds": round(now - call.started, 3),
    }


def token(envelope: Envelope) -> str:
    """What names the session to the whole cluster, for asking what became of a sequence: shard/session/key."""
    return f"{envelope.shard}/{envelope.session}/{envelope.key.hex()}"


def _unknown(call: Call, message: str, envelope: Envelope, now: float) -> errors.OutcomeUnknown:
    error = errors.OutcomeUnknown(message, **context(call, envelope, now))
    _named(error, call, envelope)
    return error


def _named(error: errors.OutcomeUnknown | errors.SessionExpired, call: Call, envelope: Envelope) -> None:
    if call.sequence:
        error.session, error.sequence = token(envelope), call.sequence


def deadline_passed(call: Call, envelope: Envelope, now: float, waited_for: str) -> errors.OcelogError:
    """Indefinite only for a command that was sent; `waited_for` says what a call that never left was waiting for."""
    if call.sequence:
        return _unknown(call, "no answer before the deadline", envelope, now)
    message = "no answer before the deadline" if call.attempts else f"not sent before the deadline: {waited_for}"
    return errors.DeadlineExceeded(message, **context(call, envelope, now))


def events_pending(call: Call, result: object, why: str, envelope: Envelope, now: float) -> errors.EventsPending:
    """The command was applied, and its caller waits no longer; `why` says what it was waiting for."""
    message = f"the command was applied, {why}"
    return errors.EventsPending(message, result=result, index=call.index, **context(call, envelope, now))


def expired(call: Call, envelope: Envelope, now: float) -> errors.SessionExpired:
    """The session ended: while the call was in flight, or for good before it was sent, which is definite."""
    if call.attempts:
        error = errors.SessionExpired("the session ended before the answer came", **context(call, envelope, now))
        _named(error, call, envelope)
        return error
    error = errors.SessionExpired("the session has ended, and none follows it", **context(call, envelope, now))
    error.definite = True
    return error


def closed(call: Call, envelope: Envelope, now: float) -> errors.OcelogError:
    """The client was closed before the call was answered."""
    if call.sequence:
        return _unknown(call, "the client was closed before the answer came", envelope, now)
    return errors.Closed("the client is closed", **context(call, envelope, now))


def refused(call: Call, code: int, text: str, envelope: Envelope, now: float) -> errors.OcelogError:
    """The shard, or the client on its behalf, refused the call for good."""
    error = errors.error_for(code, text, **context(call, envelope, now))
    if isinstance(error, errors.OutcomeUnknown):
        _named(error, call, envelope)
    return error


def unreadable(call: Call, error: Exception, envelope: Envelope, now: float) -> errors.OcelogError:
    """The shard answered, in bytes that are no value: what was done is unknown, and no other answer will come."""
    message = f"the result cannot be read: {error}"
    if call.sequence:
        return _unknown(call, message, envelope, now)
    return errors.OcelogError(message, **context(call, envelope, now))


def message_refused(call: Call, code: int, text: str, envelope: Envelope, now: float) -> errors.OcelogError:
    """The message was refused for good before the log: definite, unless an earlier copy of it may have been taken."""
    if call.attempts == 1:
        return refused(call, code, text, envelope, now)
    message = f"a repeat was refused ({errors.name_of(code)}: {text}), an earlier attempt may have been taken"
    return _unknown(call, message, envelope, now)
