"""Who completes a LINEARIZABLE command, and who waits for whom: the rules hold under an adversary, and breaks are noticed."""

from __future__ import annotations

from typing import Any

import pytest
from ocelog.client.event_receiver import EventReceiver
from ocelog.shard.intake import Intake
from ocelog.shard.push import Pushes
from ocelog.shard.settling import Settling

from . import announcing
from .announcing import Announcing
from .campaign import CHUNK, Patch, expect_a_violation, play, play_all, quiet

__all__ = ["quiet"]


@pytest.mark.parametrize("first", range(0, 400, CHUNK))
def test_every_property_holds(first):
    """Whole streams; nobody returns before who listens has handled; handlers that send commands hold up nobody for good."""
    play_all(Announcing, first)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(400, 20_400, 1000))
def test_every_property_holds_for_long(first):
    """The same, for minutes."""
    play_all(Announcing, first, 1000)


def test_a_seed_is_one_history():
    """A failing seed can be replayed."""
    first, second = (play(Announcing, 7) for _ in range(2))
    assert (first.committed, first.streams, first.now) == (second.committed, second.streams, second.now)


def test_the_runs_reach_what_they_are_about():
    """Events, handlers that sent commands, LINEARIZABLE calls that returned, and sessions that ended."""
    runs = [play(Announcing, seed) for seed in range(40)]
    clients = [client for run in runs for client in run.clients]
    assert sum(len(stream) for client in clients for stream in client.delivered.values()) > 150
    assert sum(1 for client in clients for call in client.calls if call.nested) > 20
    assert sum(1 for client in clients for call in client.calls if call.level == 0 and not call.is_query) > 100
    assert sum(len(run.ended) for run in runs) > 0


# -- deliberate breaks ---------------------------------------------------------------------------------


class Blind:
    """Thinks that everything is settled."""

    def any_pending(self, indexes: Any) -> bool:
        return False


def settle_what_is_known(patch: Any) -> None:
    """A repeated command gets its result as if its events had been handled."""
    take = Intake._take

    def rash(self: Any, *arguments: Any) -> None:
        settling, self.settling = self.settling, Blind()
        try:
            take(self, *arguments)
        finally:
            self.settling = settling

    patch.setattr(Intake, "_take", rash)


def reply_first(patch: Any) -> None:
    """A result never says that its events are unhandled."""
    patch.setattr(Settling, "any_pending", Blind.any_pending)


def settle_with_the_first(patch: Any) -> None:
    """One session that has handled an event is taken for all."""

    def hasty(self: Settling, index: int) -> None:
        if self.pending.pop(index, 0) and index in self._waiting:
            self._settled.append(index)

    patch.setattr(Settling, "handled", hasty)


def take_received_for_handled(patch: Any) -> None:
    """The client has it, so it is done with it."""
    acknowledged = Pushes.acknowledged

    def eager(self: Pushes, session: Any, received: int, handled: int, *, again: bool) -> None:
        acknowledged(self, session, received, received, again=again)

    patch.setattr(Pushes, "acknowledged", eager)


def begin_with_an_empty_slate(patch: Any) -> None:
    """A new leader counts only what is published in its own term."""
    patch.setattr(Pushes, "begin", lambda self: self.executor.published.clear())


def wait_for_the_dead(patch: Any) -> None:
    """A session that ended is waited for."""

    def faithful(self: Pushes, session: Any) -> None:
        self.routes.forget(session.id)
        self._to_send.pop(session.id, None)

    patch.setattr(Pushes, "_dismiss", faithful)


def hide_the_batch_before(patch: Any) -> None:
    """Pushes do not say which batch came before, so a lost one leaves a gap."""
    push = Pushes._push

    def silent(self: Pushes, reader: Any, origin: Any, previous: int, count: int, body: bytes) -> None:
        push(self, reader, origin, 0, count, body)

    patch.setattr(Pushes, "_push", silent)


def send_once(patch: Any) -> None:
    """What is lost stays lost."""
    patch.setattr(Pushes, "_look_at", lambda self, reader: None)
    patch.setattr(Pushes, "_begin_again", lambda self, reader: None)
    patch.setattr(Pushes, "_moved", lambda self, session_id: None)


def answer_only_what_is_new(patch: Any) -> None:
    """A client that says each thing once: if that is lost, the leader waits for ever."""
    events = EventReceiver.events

    def curt(self: Any, reply: Any, body: Any, now: float) -> Any:
        due = self.due
        taken = events(self, reply, body, now)
        self.due = due or bool(taken)
        return taken

    patch.setattr(EventReceiver, "events", curt)
    patch.setattr(EventReceiver, "repeat", lambda self: None)
    patch.setattr(EventReceiver, "body", lambda self: b"")


def keep_results_until_settled(patch: Any) -> None:
    """Applied and settled as one answer: handlers wait for results, and results for handlers."""
    answer = Intake._answer

    def late(self: Any, session: Any, waiting: Any) -> None:
        known = [session.results.get(n) for n in range(waiting.first, waiting.last + 1)]
        if not self.settling.any_pending([found[0] for found in known if found]):
            answer(self, session, waiting)

    patch.setattr(Intake, "_answer", late)


def let_handlers_wait_for_events(patch: Any) -> None:
    """A command that a handler sends waits until its events are handled, also those that are queued behind that handler."""
    patch.setattr(announcing, "NESTED", False)


BREAKS: list[Patch] = [
    settle_what_is_known,
    reply_first,
    settle_with_the_first,
    take_received_for_handled,
    begin_with_an_empty_slate,
    wait_for_the_dead,
    hide_the_batch_before,
    send_once,
    answer_only_what_is_new,
    keep_results_until_settled,
    let_handlers_wait_for_events,
]


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_broken_rule_is_noticed(break_it, monkeypatch):
    """A property that no break violates would not be checked."""
    expect_a_violation(Announcing, break_it, monkeypatch)
