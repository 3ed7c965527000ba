"""One campaign: the scene, the load, the strikes, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...cluster.local import LocalCluster
from ..consistency.run import Plan, Report, run
from .faults import FAULTS, Fault
from .scene import Scene
from .strikes import Strikes


@dataclass(kw_only=True)
class TortureReport(Report):
    """What came of it; `skipped` are the faults that could not strike here, with the reason."""

    skipped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [super().__str__(), *(f"skipped: {name}, since {reason}" for name, reason in self.skipped.items())]
        return "\n".join(lines)


def torture(
    plan: Plan, faults: Sequence[type[Fault]] = FAULTS, *, hosts: bool = False, power: bool = False
) -> TortureReport:
    """Run the load of `plan` against a cluster of its own while these faults strike; every promise is judged at the end.

    With `hosts`, every replica is on a host of its own; with `power`, on a disk of its own. Raises NoHosts or NoPower where there
    can be none.
    """
    scene = Scene(hosts=hosts, power=power)
    strikes: list[Strikes] = []

    def strike(cluster: LocalCluster, plan: Plan) -> Strikes:
        assert cluster is scene
        strikes.append(Strikes(scene, every=plan.every, seed=plan.seed, faults=faults))
        return strikes[0]

    report = run(plan, scene, strike)
    return TortureReport(
        history=report.history,
        complaints=[*strikes[0].complaints, *report.complaints],
        faults=report.faults,
        skipped=strikes[0].skipped,
    )
