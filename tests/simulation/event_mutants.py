"""Deliberate one-line breaks of events, settling, outcomes and of reads at every level. See `breaking.py`."""

from __future__ import annotations

from ocelog.client import arrivals, event_receiver, ordering
from ocelog.shard import (
    ended,
    local_reads,
    outcomes,
    publishing,
    push,
    reader,
    restoring_sessions,
    routes,
    sessions,
    settling,
)
from ocelog.shard.raft import lease, replication

from .breaking import Edit, Mutant
from .profiles import EVENTS, READS

EVENT_MUTANTS = (
    Mutant(
        "a client takes events without looking at the batch before them",
        (
            Edit(
                event_receiver.EventReceiver,
                "events",
                "if previous <= self.received < index",
                "if self.received < index",
            ),
        ),
        ("EventsExactlyOnce",),
        overrides=EVENTS,
    ),
    Mutant(
        "a client takes repeated events again",
        (
            Edit(
                event_receiver.EventReceiver,
                "events",
                "if previous <= self.received < index",
                "if previous <= self.received",
            ),
        ),
        ("EventsExactlyOnce", "InLogOrder"),
        overrides=EVENTS,
    ),
    Mutant(
        "what was received counts as handled",
        (
            Edit(
                event_receiver.EventReceiver,
                "_count_handled",
                "while batches and batches[0].handled:",
                "while batches:",
            ),
        ),
        ("SettledMeansHandled",),
        overrides=EVENTS,
    ),
    Mutant(
        "whoever asks for a settled index is answered at once",
        (
            Edit(
                settling.Settling,
                "ask",
                "if index <= applied and index not in self.pending]",
                "if index <= applied]",
            ),
        ),
        ("SettledMeansHandled",),
        overrides=EVENTS,
    ),
    Mutant(
        "an answered command is never said to be unsettled",
        (Edit(settling.Settling, "any_pending", "return bool(pending) and", "return False and"),),
        ("SettledMeansHandled",),
        overrides=EVENTS,
    ),
    Mutant(
        "a new leader does not know what was unhandled before it",
        (Edit(push.Pushes, "begin", "if session.events:", "if False:"),),
        ("SettledMeansHandled", "Liveness"),
        overrides=EVENTS,
    ),
    Mutant(
        "what was handled does not get into the log",
        (Edit(push.Pushes, "acknowledged", "self.acknowledgements.handled(session, in_log)", "pass"),),
        ("Liveness",),
        overrides=EVENTS,
    ),
    Mutant(
        "events are sent once and not again",
        (
            Edit(push.Pushes, "_repeat", "reader.begin_again()", "return"),
            Edit(push.Pushes, "_begin_again", "reader.begin_again()", "pass"),
        ),
        ("AssertionError",),
        stories=("test_a_lost_push_is_repeated",),
    ),
    Mutant(
        "an ended session is waited for",
        (Edit(push.Pushes, "_dismiss", "self.settling.handled(index)", "pass"),),
        ("Liveness",),
        overrides=EVENTS,
    ),
    Mutant(
        "a session that leaves its events unhandled is never expired",
        (Edit(reader.Reader, "sent_for", "return now - self.marks[0][1] if self.marks else 0", "return 0"),),
        ("Liveness",),
        overrides={**EVENTS, "handle_never": 0.02},
    ),
    Mutant(
        "what a client has from the leader before is waited for without end",
        (Edit(push.Pushes, "acknowledged", "if reader.received:", "if False:"),),
        ("AssertionError",),
        stories=("test_who_hangs_is_expired_by_the_next_leader_too",),
    ),
    Mutant(
        "a message of an older connection says where the client is",
        (Edit(routes.Routes, "take", "connection < known.connection or", ""),),
        ("AssertionError",),
        stories=("test_a_late_message_of_an_old_connection_draws_no_events",),
    ),
    Mutant(
        "events are sent as if no command had been applied before them",
        (Edit(push.Pushes, "_push", "first_sequence=session.last,", "first_sequence=0,"),),
        ("InLogOrder",),
        overrides=EVENTS,
    ),
    Mutant(
        "a result does not wait for the events before it",
        (
            Edit(
                ordering.Ordering,
                "direct",
                "event_index <= self._events.received and",
                "",
            ),
            Edit(
                ordering.Ordering,
                "_has_turn",
                "(held.event_index <= self._events.received and held.call.sequence < lowest)",
                "held.call.sequence < lowest",
            ),
        ),
        ("InLogOrder",),
        overrides=EVENTS,
    ),
    Mutant(
        "the index of the last event is forgotten when it is handled",
        (
            Edit(
                sessions.Session,
                "handle",
                "if index == self.event_index:",
                "if index == self.event_index and not setattr(self, 'event_index', 0):",
            ),
        ),
        ("EqualStates", "EventsExactlyOnce"),
        overrides=EVENTS,
    ),
    Mutant(
        "a snapshot says that everything was handled",
        (
            Edit(
                restoring_sessions.SessionRows,
                "_begin",
                "session.event_index = session.handled = handled",
                "session.event_index = session.handled = event_index",
            ),
        ),
        ("RebuildsEqual", "EqualStates", "StateMismatch"),
        overrides=EVENTS,
    ),
    Mutant(
        "events of two entries become one batch",
        (
            Edit(
                publishing.Publishing,
                "gather",
                "self.index = index",
                "self.index = max(self.index, index - 1) if self.index and index % 3 == 0 else index",
            ),
        ),
        ("EqualStates", "AssertionError"),
        overrides=EVENTS,
    ),
    Mutant(
        "what is not yet is said never to be",
        (Edit(outcomes, "outcome_of", "NEVER if session is None else PENDING", "NEVER"),),
        ("OutcomesAreTrue",),
        overrides={**EVENTS, "ask_share": 0.3},
    ),
    Mutant(
        "a record of an ended session counts what its client has acknowledged as not spent",
        (
            Edit(
                outcomes,
                "outcome_of",
                "if query.sequence > known.last:",
                "if query.sequence > known.last or (session is None and query.sequence not in known.results):",
            ),
        ),
        ("OutcomesAreTrue",),
        overrides={**EVENTS, "ask_share": 0.3},
    ),
    Mutant(
        "an ended session leaves no results",
        (
            Edit(
                ended.EndedSession,
                "of",
                "acknowledged, results = session.acknowledged, session.results",
                "acknowledged, results = session.acknowledged, {}",
            ),
        ),
        ("EqualStates", "OutcomesAreTrue"),
        overrides=EVENTS,
    ),
    Mutant(
        "a replica answers behind what the session has seen",
        (
            Edit(
                local_reads.LocalReads,
                "_answered",
                "header.seen > executor.applied_index or (",
                "(",
            ),
            # The client looks at the index of an answer, too.
            Edit(arrivals.Arrivals, "_take_turns", "if reply.index < self._envelope.seen:", "if False:"),
        ),
        ("ReadsNeverGoBack",),
        overrides=READS,
    ),
    Mutant(
        "a client takes answers that are older than what it has seen meanwhile",
        (Edit(arrivals.Arrivals, "_take_turns", "if reply.index < self._envelope.seen:", "if False:"),),
        ("ReadsNeverGoBack",),
        overrides=READS,
    ),
    Mutant(
        "a replica answers before the session's own commands",
        (
            Edit(
                local_reads.LocalReads,
                "_answered",
                "header.level != frames.CAUSAL and header.first_sequence > session.last",
                "False",
            ),
        ),
        ("ReadsOwnWrites",),
        overrides=READS,
        seeds=60,
    ),
    Mutant(
        "an answered round gives a lease however long ago it was sent",
        (Edit(lease.Lease, "holds", "return 0 <= now - sent[0][1] < self.milliseconds", "return True"),),
        ("AssertionError", "Linearizable"),
        stories=("test_a_lease_counts_from_when_its_round_left",),
    ),
    Mutant(
        "a lease outlasts the pledges that it rests on",
        (
            Edit(
                lease,
                "lease_ms",
                "return max(0, (election_ticks - 1) * tick_ms * (100 - clock_drift_percent) // 100 - 1)",
                "return 40 * election_ticks * tick_ms",
            ),
        ),
        ("AssertionError", "Linearizable"),
        stories=("test_a_leader_that_was_paused_answers_nothing_from_the_past",),
    ),
    Mutant(
        "a bounded read asks for no majority at all",
        (
            Edit(
                replication,
                "has_lease",
                "return raft.lease.holds(reached_by_majority(rounds), now)",
                "return True",
            ),
        ),
        ("AssertionError", "Linearizable"),
        stories=("test_a_leader_that_was_paused_answers_nothing_from_the_past",),
    ),
)
