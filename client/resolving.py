"""What became of a command whose call gave up: the question to its shard, and the answer in words.

    try:
        users.put("ada", 1, timeout=0.2)
    except OutcomeUnknown as error:
        print(error.resolve(timeout=30))

A session is named by a text of its shard, its id and its key, as `OutcomeUnknown.session` has it; whoever has that text can
ask, in any process.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .calls import Call
from .protocol import errors, outcomes
from .protocol.errors import BadArgument, DeadlineExceeded, OcelogError, error_for
from .protocol.values import decode

ASK_AGAIN_SECONDS = (0.01, 0.5)
"""The first and the longest pause before what is pending is asked for again."""


class SessionName(NamedTuple):
    """A session, as its text names it."""

    shard: int
    session: int
    key: bytes

    def __str__(self) -> str:
        return f"{self.shard}/{self.session}/{self.key.hex()}"


def parse_session(text: str | None) -> SessionName:
    """The session of a text. Raises BadArgument."""
    try:
        shard, session, key = str(text).split("/")
        name = SessionName(int(shard), int(session), bytes.fromhex(key))
    except ValueError:
        name = SessionName(0, 0, b"")
    if len(name.key) != 16 or not 0 < name.session < 2**63 or not 0 <= name.shard < 0xFFFF:
        raise BadArgument(f"a session is named by a text like '0/17/<32 hexadecimal digits>', not {text!r:.80}")
    return name


def checked_sequence(sequence: int | None) -> int:
    """The sequence itself. Raises BadArgument."""
    if type(sequence) is not int or not 0 < sequence < 2**63:
        raise BadArgument(f"a sequence is a number from 1 on, not {sequence!r:.60}")
    return sequence


class Outcome(NamedTuple):
    """What became of one sequence of a session.

    `answer`: "applied" (its command, or an error in its place: see `result` and `error`), "acknowledged" (it was spent, and its
    client had the result), "pending" (not yet, and the session is open), "never" (its session ended before it: it was not
    applied and will not be) or "forgotten" (nothing is known of the session any more). `result` is as msgpack gives it.
    """

    answer: str
    index: int  # type: ignore[assignment]  # shadows tuple.index
    result: Any
    error: OcelogError | None

    @property
    def applied(self) -> bool | None:
        """Whether the command took effect; None when that is not known, or not yet."""
        if self.answer == "applied":
            return self.error is None
        return False if self.answer == "never" else None

    def __str__(self) -> str:
        if self.answer != "applied":
            return self.answer
        what = f"refused: {self.error}" if self.error is not None else f"result {self.result!r:.60}"
        return f"applied at index {self.index}, {what}"


def outcome_of(call: Call) -> Outcome:
    """The outcome in the answer to a question. Raises what the question failed with."""
    if call.error is not None:
        raise call.error
    answer: outcomes.Outcome = call.result
    name = outcomes.NAMES.get(answer.answer, str(answer.answer))
    if answer.answer != outcomes.APPLIED:
        return Outcome(name, answer.index, None, None)
    if answer.result[0] == errors.OK:
        return Outcome(name, answer.index, decode(answer.result[1:]), None)
    text = str(answer.result[1:], "utf-8", "replace")
    return Outcome(name, answer.index, None, error_for(answer.result[0], text))


def still_pending(name: SessionName, sequence: int, timeout: float) -> DeadlineExceeded:
    """It was not decided in time."""
    text = f"the sequence was still pending after {timeout:g} s"
    return DeadlineExceeded(text, shard=name.shard, session=name.session, sequence=sequence)
