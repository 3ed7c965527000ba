"""A failure as a small file: a seed, its profile, what of its plan was made simpler, and which checker complains.

scenario = Scenario.load("scenario.json")
scenario.run()          # raises Failure, as long as the defect is there
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from ocelog.shard.compaction_config import CompactionConfig

from .network import Weather
from .profiles import PROFILES
from .simulation import Failure, Run, Simulation

_KINDS = {"weather": Weather, "compaction": CompactionConfig}
"""The fields of a plan that are more than a number."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`overrides` are fields of the plan, above those of the profile. `fails` is what complains, "" if nothing is known to."""

    seed: int
    profile: str = "swarm"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    fails: str = ""
    text: str = ""

    def simulation(self, **options: Any) -> Simulation:
        """Everything put together; `options` are those of `Simulation`."""
        return Simulation(self.seed, overrides={**PROFILES[self.profile], **self.overrides}, **options)

    def run(self) -> Run:
        """Run it. Raises Failure."""
        return self.simulation().run()

    def failure(self) -> Failure | None:
        """How it fails, or None."""
        try:
            self.run()
        except Failure as failure:
            return failure
        return None

    def with_(self, **overrides: Any) -> Scenario:
        """The same with these fields of the plan."""
        return replace(self, overrides={**self.overrides, **overrides})

    def save(self, path: str | Path) -> None:
        """Write it as JSON, one field of the plan per line."""
        record = asdict(self)
        record["overrides"] = {
            name: asdict(value) if is_dataclass(value) else value for name, value in self.overrides.items()
        }
        Path(path).write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read it. Raises ValueError or TypeError for what is no scenario."""
        record = json.loads(Path(path).read_text())
        overrides = {name: _field(name, value) for name, value in record.pop("overrides").items()}
        return cls(**record, overrides=overrides)


def _field(name: str, value: Any) -> Any:
    if name in _KINDS:
        return _KINDS[name](**value)
    return tuple(value) if isinstance(value, list) else value
