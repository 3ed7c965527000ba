"""What became of a sequence of a session: the answer to whoever has that session's key, from the replicated state alone.

It is asked of the leader like a LINEARIZABLE query: once a majority has confirmed that it leads and the confirmed index is
applied, the state tells of everything that was answered to anybody before. A session that is open still moves; one that has
ended left a record of its last sequence and of the results that nobody had acknowledged, until it is forgotten.
"""

from __future__ import annotations

from hmac import compare_digest

from ..client.protocol import frames
from ..client.protocol.outcomes import (
    ACKNOWLEDGED,
    APPLIED,
    FORGOTTEN,
    NEVER,
    PENDING,
    Outcome,
    OutcomeQuery,
    pack_outcome,
    unpack_outcome_query,
)
from .executor import Executor
from .outbox import Outbox
from .queries import Read
from .sessions import Session


def outcome_of(executor: Executor, query: OutcomeQuery) -> Outcome:
    """What is known of a sequence at the applied index; to the wrong key nothing, not even that there is such a session."""
    session = executor.sessions.get(query.session)
    known = session or executor.ended_records.get(query.session)
    if known is None or not compare_digest(known.key, query.key):
        return Outcome(FORGOTTEN, 0, b"")
    if query.sequence > known.last:
        return Outcome(NEVER if session is None else PENDING, 0, b"")
    found = known.results.get(query.sequence)
    if found is None:
        return Outcome(ACKNOWLEDGED, 0, b"")
    return Outcome(APPLIED, *found)


def answer(executor: Executor, outbox: Outbox, read: Read, session: Session | None) -> None:
    """Answer an OUTCOME that may be answered now; `session` is the one that asks, if it is one."""
    assert read.parts is not None
    report = pack_outcome(outcome_of(executor, unpack_outcome_query(read.parts[0])))
    header = read.header
    asker, event_index = (0, 0) if session is None else (session.id, session.event_index)
    outbox.answer(read.origin, frames.OUTCOME_REPORT, header.request, asker, report, event_index=event_index)
