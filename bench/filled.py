"""A cluster with data in it: so many keys put again and again, and its logs cleaned, for measurements that begin there."""

from __future__ import annotations

import os
from typing import Any

from ..client.protocol.admin import COMPACT, SNAPSHOT, AdminRequest
from ..cluster.maintenance import DONE, carry_out
from .harness import run_phase
from .plan import SECONDS_MAX, Plan

NAME = "filled"
INFLIGHT = 1000
CALL_SECONDS = 60.0
CLEAN_SECONDS = 600.0


class NotDone(Exception):
    """A replica did not compact or take a snapshot when it was asked to; the text says which and why."""

    exit_code = os.EX_TEMPFAIL


def fill(cluster: Any, *, keys: int, entries: int, value_bytes: int) -> list[str]:
    """Put `entries` values under `keys` keys in turn, in one map NAME; returns the keys. Raises LoadFailed."""
    plan = Plan(
        workload="cycle",
        endpoints=tuple(cluster.endpoints),
        source=1,
        names=(NAME,),
        inflight=min(INFLIGHT, entries),
        operations=entries,
        seconds=SECONDS_MAX,
        keys=keys,
        value_bytes=value_bytes,
        timeout=CALL_SECONDS,
    )
    run_phase([plan])
    return plan.key_names()


def clean(cluster: Any, *, compact: bool) -> None:
    """Have every replica run a major compaction, or only take a snapshot, and wait for it. Raises NotDone."""
    wanted = AdminRequest(COMPACT, True) if compact else AdminRequest(SNAPSHOT)
    outcomes = carry_out(cluster.endpoints, wanted, None, CLEAN_SECONDS)
    for outcome in outcomes:
        if outcome.result != DONE:
            raise NotDone(f"replica {outcome.replica} of shard {outcome.shard}: {outcome.result}: {outcome.reason}")
