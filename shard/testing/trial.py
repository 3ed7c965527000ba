"""One history on one machine: applied, snapshotted at every index, restored from what is left, and compared.

`Trial` knows no processes: what must not depend on the process is compared by `workers.py`, with what `outcome_of` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import msgpack

from ...client.protocol import operations
from ..errors import CaptureFailed, StateMismatch
from ..machines.base import StateMachine
from .guard import Forbidden, Guard
from .histories import AuditedExecutor, History, Snapshot, Step, compacted, facts_of

SHORT = 12
"""Histories up to this length are compared at every later index too, not at the end only."""

RESOURCE = 3
"""The index of the resource in every history: two sessions are opened before."""


class Problem(NamedTuple):
    """What is wrong: after which step (0: before the first), in one word, and as a text."""

    at: int
    kind: str
    text: str


class WatchedExecutor(AuditedExecutor):
    """Applies under the eyes of a guard."""

    guard = Guard()

    def take(self, entries: Sequence[bytes]) -> None:
        """Apply entries; raises Forbidden or AssertionError."""
        with self.guard.watching():
            super().take(entries)


class Trial:
    """Applies `steps` to a resource of the machine. `problem` is the first thing that is wrong, or None."""

    def __init__(
        self,
        machine: type[StateMachine],
        steps: Sequence[Step],
        *,
        queries: Sequence[Sequence[Any]] = (),
        seed: int = 0,
    ) -> None:
        self.machine = machine
        self.steps = steps
        self.queries = [operations.encode([RESOURCE, *query]) for query in queries]
        self.problem: Problem | None = None
        self.results: list[str] = []
        self._random = Random(seed)
        self._guard = WatchedExecutor.guard = Guard()
        self._at = 0
        self._snapshots: list[tuple[int, Snapshot]] = []
        try:
            self._run()
        except Forbidden as error:
            self._fail("forbidden", str(error))
        except CaptureFailed as error:
            self._fail("snapshot", f"snapshot() failed: {error}")
        except AssertionError as error:
            self._fail("release", _released_wrongly(str(error)))
        except Exception as error:
            self._fail("raises", f"{type(error).__name__}: {error}")

    def _fail(self, kind: str, text: str) -> None:
        self.problem = self.problem or Problem(self._at, kind, text)

    def _run(self) -> None:
        name = self.machine.type_name
        self.history = History((name,), machines={name: self.machine}, executor=WatchedExecutor)
        self._note()
        for at, step in enumerate(self.steps, 1):
            self._at = at
            self.history.step(step)
            if self._guard.violation:
                raise Forbidden(self._guard.violation)
            self._audit()
            self._note()
            if self.problem:
                return
        twice = History((name,), machines={name: self.machine}).run(self.steps)
        if (found := twice.facts()) != (wanted := self.history.facts()):
            self._fail("differs", f"two replicas that apply the same differ: {_difference(found, wanted)}")
            return
        for at, snapshot in self._snapshots:
            self._at = at
            self._restore(snapshot)
            if self.problem:
                return
        self._at = len(self.steps)
        self._restart_often()
        if not self.problem:
            self._look_for_hoarding()

    def _audit(self) -> None:
        try:
            self.history.executor.audit()
        except AssertionError as error:
            self._fail("release", f"live_entries() is wrong: {error}")

    def _note(self) -> None:
        """The state after a step; queries read it and change nothing."""
        executor = self.history.executor
        if not self._snapshots or self._snapshots[-1][1].index != executor.applied_index:
            for query in self.queries:
                self._ask(query)
            self._snapshots.append((self._at, self.history.snapshot()))

    def _ask(self, query: bytes) -> None:
        executor = self.history.executor
        before = repr(vars(executor.resources[RESOURCE].machine))
        with self._guard.watching():
            executor.run_query(0, query)
        after = repr(vars(executor.resources[RESOURCE].machine))
        if after != before:
            name = operations.decode(query)[1]
            self._fail(
                "query", f"the query {name} changes the state from\n      {_brief(before)} to\n      {_brief(after)}"
            )

    # -- what is left must give what was ---------------------------------------------------------------

    def _restore(self, snapshot: Snapshot) -> None:
        log = compacted(self.history.log, snapshot, self.history.log)
        try:
            with self._guard.watching():
                rebuilt = snapshot.rebuild(log)
        except StateMismatch as error:
            self._fail("restore", f"a replica that restarts here does not start: {error}")
            return
        self._compare(rebuilt, snapshot.facts, "restored from the snapshot taken here, a replica has another state")
        for at, later in self._snapshots if len(self.steps) <= SHORT else self._snapshots[-1:]:
            if later.index <= snapshot.index or self.problem:
                continue
            self.history.apply_rest(rebuilt, later.index)
            self._compare(rebuilt, later.facts, f"restored here, a replica differs after step {at}")

    def _restart_often(self) -> None:
        """One replica that restarts now and then, from snapshots of its own, with whatever is left of its log."""
        executor: Any = None
        log = dict(self.history.log)
        for at, snapshot in self._snapshots:
            if executor is not None:
                self.history.apply_rest(executor, snapshot.index)
            if self._random.random() < 0.3:
                self._at = at
                own = snapshot if executor is None else Snapshot(executor)
                gone = self._random.sample(sorted(log), self._random.randint(0, len(log)))
                log = compacted(log, own, gone)
                executor = own.rebuild(log)
                self._compare(executor, snapshot.facts, "a replica that has restarted several times has another state")
            if self.problem:
                return

    def _look_for_hoarding(self) -> None:
        """An entry without which the restored state is the same contributes nothing, and should not be live."""
        snapshot = self._snapshots[-1][1]
        executor = self.history.executor
        wanted = snapshot.facts["resources"], snapshot.facts["timers of entries"], list(_live_told(executor))
        while not snapshot.capture.step():
            pass
        for index in sorted(snapshot.live):
            try:
                partial = snapshot.without(index).rebuild(self.history.log)
            except Exception:
                continue  # it is missed
            facts = facts_of(partial)
            if (facts["resources"], facts["timers of entries"], list(_live_told(partial))) == wanted:
                text = f"entry {index} is still live, and the state is the same without it: release it"
                self._fail("hoards", f"{text}, or it stays in the log for ever")
                return

    def _compare(self, executor: AuditedExecutor, wanted: dict[str, Any], what: str) -> None:
        if self.problem is None and (found := facts_of(executor)) != wanted:
            self._fail("restore", f"{what}: {_difference(found, wanted)}")


def _live_told(executor: AuditedExecutor) -> Sequence[int]:
    machine = executor.resources[RESOURCE].machine
    return sorted(machine.live_entries()) if hasattr(machine, "live_entries") else []


def outcome_of(machine: type[StateMachine], steps: Sequence[Step]) -> list[dict[str, str]]:
    """What every process must say after each step, in words that do not depend on the process."""
    name = machine.type_name
    history = History((name,), machines={name: machine})
    told = []
    for step in steps:
        try:
            history.step(step)
            facts = facts_of(history.executor)
        except Exception as error:
            told.append({"error": f"{type(error).__name__}: {error}"})
            break
        resource = facts["resources"][0]
        told.append(
            {
                "state": resource[4],
                "results": repr(facts["sessions"]),
                "events": repr(facts["events"]),
                "timers": repr((facts["timers of entries"], facts["other timers"])),
                "releases": repr((facts["live"], resource[2:4])),
                "digest": repr(facts["digest"]),
                "snapshot": repr(facts["pieces"]),
            }
        )
    return told


def result_of(history: History, index: int) -> str | None:
    """The result of the entry at `index`, for people; None when there is none (any more)."""
    for session in history.executor.sessions:
        for at, result in session.results.values():
            if at == index:
                return repr(msgpack.unpackb(result[1:])) if result[0] == 0 else result[1:].decode("utf-8", "replace")
    return None


SAID = {
    "resources": "state",
    "timers of entries": "timers that entries own",
    "other timers": "other timers",
    "events": "events",
    "live": "live entries",
    "sessions": "results",
    "pieces": "bytes of the snapshot",
}


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    name = next((name for name in SAID if found[name] != wanted[name]), None)
    if name is None:
        name = next(name for name in wanted if found[name] != wanted[name])
    here, there = found[name], wanted[name]
    if name == "resources" and here and there:
        here, there = here[0][4], there[0][4]
        if here == there:
            here, there = found[name][0][2:4], wanted[name][0][2:4]
    return f"its {SAID.get(name, name)}\n      is        {_brief(here)}\n      should be {_brief(there)}"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    for empty in ("('pending_events', []), ", "('pending_releases', []), ", "('pending_timers', [])"):
        text = text.replace(empty, "")
    return text if len(text) <= 400 else f"{text[:400]}..."


def _released_wrongly(text: str) -> str:
    if "live for None" in text:
        return f"an entry is released that is not live (released before, or no RELEASE command's): {text}"
    return f"an entry of somebody else is released: {text}" if "releases" in text else text
