"""Bodies of the question what became of a sequence of a session, and of its answer.

Pure. Whoever asks names the session and its key, which need not be those of the message; a wrong key is answered like a
session that never was. Everything malformed raises BadFrame and nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from .frames import BadFrame, Frame

APPLIED = 1
"""The sequence was spent: by its command, or by a void, whose result is the error that it stands for."""
ACKNOWLEDGED = 2
"""It was spent, and the client said that it has the result, which was then forgotten."""
PENDING = 3
"""It is not spent yet, and its session is open; the session's own client makes that final."""
NEVER = 4
"""The session ended before the sequence was spent: its command was not applied and will not be."""
FORGOTTEN = 5
"""Nothing is known of such a session: it ended too long ago, or never was, or has another key."""

NAMES = {
    APPLIED: "applied",
    ACKNOWLEDGED: "acknowledged",
    PENDING: "pending",
    NEVER: "never",
    FORGOTTEN: "forgotten",
}


class OutcomeQuery(NamedTuple):
    """Which sequence of which session is asked for, and the key of that session."""

    session: int
    key: bytes
    sequence: int


class Outcome(NamedTuple):
    """What became of it: one of the five answers; log index and result (code byte and payload) when APPLIED, else 0 and empty."""

    answer: int
    index: int  # type: ignore[assignment]  # shadows tuple.index
    result: bytes


def pack_outcome_query(query: OutcomeQuery) -> bytes:
    """The body of an OUTCOME."""
    return msgpack.packb(query)  # type: ignore[no-any-return]


def unpack_outcome_query(body: Frame) -> OutcomeQuery:
    """The question in the body of an OUTCOME. Raises BadFrame."""
    match _fields(body):
        case [int(session), bytes(key), int(sequence)] if len(key) == 16 and min(session, sequence) > 0:
            if bool not in (type(session), type(sequence)):
                return OutcomeQuery(session, key, sequence)
    raise BadFrame("an outcome is asked for by [session, key of 16 bytes, sequence], both numbers from 1 on")


def pack_outcome(outcome: Outcome) -> bytes:
    """The body of an OUTCOME_REPORT."""
    return msgpack.packb(outcome)  # type: ignore[no-any-return]


def unpack_outcome(body: Frame) -> Outcome:
    """The answer in the body of an OUTCOME_REPORT. Raises BadFrame."""
    match _fields(body):
        case [int(answer), int(index), bytes(result)] if (answer == APPLIED) == bool(result):
            return Outcome(answer, index, result)
    raise BadFrame("an outcome is [answer, log index, result], with a result when it was applied")


def _fields(body: Frame) -> object:
    try:
        return msgpack.unpackb(body, raw=False, max_array_len=3, max_map_len=0, max_ext_len=0)
    except Exception:  # msgpack raises a dozen unrelated types on bad bytes
        return None
