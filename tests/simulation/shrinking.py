"""Makes a failure smaller: fewer faults, clients, operations and oddities, as long as the same checker complains.

A plan without a fault is another run: what the seed draws is the same, and everything that follows from it is not. So
it is tried and kept if it still fails; with one seed in a few it does, and with a few other seeds more often.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .network import Weather
from .scenario import Scenario
from .scheduler import MS, SECOND
from .simulation import Failure
from .swarm import Plan

SEEDS = 3
"""How many other seeds are tried with a simpler plan, if its own does not fail any more."""

GENTLE: dict[str, Any] = {
    "weather": Weather(),
    "members": 3,
    "routers": 1,
    "tick": 50 * MS,
    "sync_min": 300,
    "sync_max": 600,
    "in_flight_max": 16,
    "inflight_messages_max": 64,
    "append_bytes_max": 4000,
    "apply_entries_max": 4000,
    "restore_entries_max": 4000,
    "part_bytes": 4000,
    "window_parts": 16,
    "segment_entries_max": 1 << 20,
    "early_effects": 0.0,
    "burst_max": 1,
    "keys": 1,
    "session_timeout": 30.0,
    "one_way": 0.0,
    "power_loss": 0.0,
}
"""The harmless value of what has one; every interval and every share has 0."""


class Shrinker:
    """Looks for a smaller scenario until `deadline` of the monotonic clock. `tries` counts the runs."""

    def __init__(self, scenario: Scenario, failure: Failure, deadline: float) -> None:
        self.best = replace(scenario, fails=failure.what)
        self.failure = failure
        self.deadline = deadline
        self.tries = 0

    def shrink(self) -> Scenario:
        """The smallest that was found."""
        self._shorten()
        for _ in range(2):  # what could not be left out at first often can when other things are gone
            self._leave_out_kinds()
            self._shorten()
        self._leave_out_operations()
        self._leave_out_faults()
        return replace(self._without_echoes(), text=str(self.failure).splitlines()[0])

    def _without_echoes(self) -> Scenario:
        """The best, without fields that say what the seed draws anyway."""
        drawn = replace(self.best, overrides={}).simulation().plan
        told = {name: value for name, value in self.best.overrides.items() if getattr(drawn, name) != value}
        return replace(self.best, overrides=told)

    def _try(self, **overrides: Any) -> bool:
        """Whether it fails in the same way with these fields too; then that is the best so far."""
        for step in range(SEEDS + 1):
            if time.monotonic() > self.deadline:
                return False
            seed = self.best.seed if step == 0 else step
            candidate = replace(self.best.with_(**overrides), seed=seed)
            self.tries += 1
            failure = candidate.failure()
            if failure is not None and failure.what == self.best.fails:
                self.best, self.failure = candidate, failure
                return True
        return False

    @property
    def plan(self) -> Plan:
        """The plan of the best so far."""
        return self.best.simulation().plan

    def _shorten(self) -> None:
        """No longer than it takes to fail, if it fails while things happen."""
        duration = int(self.failure.seconds * SECOND) + 1
        if duration < self.plan.duration:
            self._try(duration=duration)

    def _leave_out_kinds(self) -> None:
        for name, value in self._simpler():
            if getattr(self.plan, name) != value:
                self._try(**{name: value})

    def _simpler(self) -> Iterator[tuple[str, Any]]:
        yield "clients", 1
        yield "clients", 2
        for name in vars(self.plan):
            if name.endswith("_interval") and name != "compaction_interval":
                yield name, 0
        for name, value in vars(self.plan).items():
            if isinstance(value, float) and 0.0 < value <= 1.0 and name not in GENTLE:
                yield name, 0.0
        yield from GENTLE.items()
        for machine in self.plan.machines if self.plan.resource_share else ():
            yield "machines", (machine,)

    def _leave_out_operations(self) -> None:
        """The fewest first operations with which it fails."""
        count = self.failure.operations
        while count > 1:
            if not self._try(operations_max=count // 2):
                break
            count = count // 2
        step = count // 4
        while step and time.monotonic() < self.deadline:
            if count - step > 0 and self._try(operations_max=count - step):
                count -= step
            else:
                step //= 2

    def _leave_out_faults(self) -> None:
        """Each of the faults that struck, in halves first."""
        struck = list(range(1, self.failure.faults + 1))
        size = len(struck)
        while size:
            for start in range(0, len(struck), size):
                skipped = set(self.best.overrides.get("skipped_faults", ())) | set(struck[start : start + size])
                if skipped != set(self.best.overrides.get("skipped_faults", ())):
                    self._try(skipped_faults=tuple(sorted(skipped)))
            size //= 2


def shrink(scenario: Scenario, failure: Failure, seconds: float = 60.0) -> tuple[Scenario, int]:
    """A smaller scenario that fails in the same way, found within so many seconds, and how many runs that took."""
    shrinker = Shrinker(scenario, failure, time.monotonic() + seconds)
    return shrinker.shrink(), shrinker.tries
