"""Deliberate breaks of what rebuilding rests on: the property has to notice each of them, or it proves nothing."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ocelog.shard import capture, digest, executor, publishing, resource, restoring, restoring_sessions, timers, unasked
from ocelog.shard.machines import base

from ...simulation.breaking import Edit, broken
from . import machines as keyed
from .campaign import check_seed
from .drawing import OPERATIONS

SEEDS = 600


class Break(NamedTuple):
    """One rule that does not hold any more; `among` which machines' histories it is looked for."""

    title: str
    edits: tuple[Edit, ...]
    among: tuple[str, ...] = tuple(OPERATIONS)


MUTANTS = (
    Break(
        "live entries are applied again instead of restored",
        (
            Edit(
                resource.Resource,
                "restorers",
                "operation.restoring.__get__(machine)",
                "operation.function.__get__(machine)",
            ),
        ),
    ),
    Break(
        "a repetition is not released",
        (Edit(executor.Executor, "_drop", "if mode == RELEASE:", "if False:"),),
    ),
    Break(
        "a command that failed is not released",
        (Edit(executor.Executor, "_fail", "if mode == RELEASE:", "if False:"),),
    ),
    Break(
        "what a handler released counts although it raised",
        (Edit(base.StateMachine, "forget_pending", "self.pending_releases.clear()", "pass"),),
    ),
    Break(
        "timers fire in the order in which this process armed them",
        (
            Edit(
                timers.Timers,
                "arm",
                "heappush(self._owned if owned else self._unowned, timer)",
                "self.count = getattr(self, 'count', 0) + 1; "
                "heappush(self._owned if owned else self._unowned, timer._replace(armed_at=self.count, number=timer.armed_at));"
                "timer = timer._replace(armed_at=self.count)",
            ),
        ),
    ),
    Break(
        "an entry's timers are numbered behind those of timers and listeners at its index",
        (
            Edit(
                executor.Executor,
                "_run_command",
                "self.arm(resource, index, 0, self.time,",
                "self.arm(resource, index, self._unasked.number * (self._unasked.at == index), self.time,",
            ),
        ),
    ),
    Break(
        "a timer outlives the entry that armed it",
        (Edit(executor.Executor, "_release", "if self.timers.owners:", "if False:"),),
    ),
    Break(
        "a timer that has fired is armed again",
        (Edit(executor.Executor, "arm", "if timer.due > self.time:", "if True:"),),
    ),
    Break(
        "a restored entry has the time of the snapshot",
        (
            Edit(
                restoring.Restoring,
                "restore",
                "restorer(Commit(index, time, session), *operation[2:])",
                "restorer(Commit(index, self.executor.time, session), *operation[2:])",
            ),
        ),
    ),
    Break(
        "timers of live entries are in the snapshot as well",
        (Edit(timers.Timers, "unowned", "return self._unowned.copy()", "return sorted(self._unowned + self.owned())"),),
    ),
    Break(
        "results are lost",
        (
            Edit(
                capture,
                "_set_aside",
                "results, events = tuple(session.results.values()), tuple(session.events)",
                "results, events = (), tuple(session.events); session.acknowledged = session.last",
            ),
        ),
    ),
    Break(
        "a session that changes during the capture is written as it is later",
        (Edit(capture.Capture, "before_session", "if session.id in self._sessions:", "if False:"),),
    ),
    Break(
        "a machine that changes during the capture is written as it is later",
        (Edit(capture.Capture, "before_resource", "if resource.index in self._resources:", "if False:"),),
    ),
    Break(
        "a timer or listener does not tell the capture whom it changes",
        (Edit(unasked.Unasked, "_run", "if executor.capture is not None:", "if False:"),),
    ),
    Break(
        "acknowledgements do not tell the capture",
        (Edit(executor.Executor, "_keep_alive", "if self.capture is not None:", "if False:"),),
    ),
    Break(
        "unhandled events are lost",
        (
            Edit(
                capture,
                "_set_aside",
                "return _Aside(pack((*fields, session.event_index, session.handled)), results, events)",
                "return _Aside(pack((*fields, session.event_index, session.event_index)), results, ())",
            ),
        ),
    ),
    Break(
        "a listener gets the events of another one",
        (Edit(capture.Capture, "_batch_rows", "known[payload] = len(known)", "known[payload] = 0"),),
    ),
    Break(
        "the index of the last event is forgotten once it is handled",
        (
            Edit(
                capture,
                "_set_aside",
                "pack((*fields, session.event_index, session.handled))",
                "pack((*fields, session.event_index if events else 0, session.handled if events else 0))",
            ),
        ),
    ),
    Break(
        "a session that is published to during the capture is written as it is later",
        (Edit(publishing.Publishing, "queue", "if capture is not None:", "if False:"),),
    ),
    Break(
        "what a restored entry publishes is heard again",
        (Edit(restoring.Restoring, "restore", "resource.machine.pending_events.clear()", "pass"),),
    ),
    Break(
        "what a handler published counts although it raised",
        (Edit(base.StateMachine, "forget_pending", "self.pending_events.clear()", "pass"),),
        ("choir", "counter", "map"),  # of all machines only the choir publishes and raises
    ),
    Break(
        "events wait for their batch while others are handled",
        (Edit(executor.Executor, "_keep_alive", "if self._publishing.gathered:", "if False:"),),
    ),
    Break(
        "events wait for their batch while a session ends",
        (Edit(executor.Executor, "_end", "if publishing.index != index:", "if False:"),),
    ),
    Break(
        "ended sessions are forgotten at once",
        (Edit(capture.Capture, "__init__", "self._ended = executor.ended_records.records()", "self._ended = []"),),
    ),
    Break(
        "the hour of an ended session begins with the rebuild",
        (
            Edit(
                restoring_sessions.SessionRows,
                "ended",
                "records.add(record._replace(",
                "records.add(record._replace(ended_at=self._executor.time, ",
            ),
        ),
    ),
    Break(
        "log time begins anew",
        (Edit(restoring.Restoring, "_install_head", "self.executor.time = time", "pass"),),
    ),
    Break(
        "the digest begins anew",
        (Edit(digest.Digest, "adopt", "self._results, self._releases, self._events = FORMAT.unpack(value)", "pass"),),
    ),
    Break(
        "an overwrite keeps the place of its key",
        (Edit(keyed.Keyed, "_set", "previous = self.entries.pop(key, None)", "previous = self.entries.get(key)"),),
    ),
)


def first_caught(among: tuple[str, ...] = tuple(OPERATIONS)) -> str | None:
    """What the first seed that notices says, with histories of machines among these."""
    for seed in range(SEEDS):
        try:
            check_seed(seed, among=among)
        except AssertionError as error:
            return str(error)
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title)
def test_every_break_is_noticed(mutant: Break) -> None:
    with broken(mutant):
        assert first_caught(mutant.among) is not None, f"{SEEDS} histories do not notice that {mutant.title}"


def test_nothing_is_noticed_in_what_is_not_broken() -> None:
    assert first_caught() is None
