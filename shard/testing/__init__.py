"""The testing kit for machines: is this one deterministic, does it come back from what compaction leaves, does it release well?

    from ocelog.shard.testing import check, wait, close, by

    check(Bank, [("deposit", "ada", 5), by(1, "transfer", "ada", "bob", 2), wait(1000), close(1)])
    check(Bank, {"deposit": (("ada", "bob"), (1, 5)), "transfer": (("ada",), ("bob",), (1, 9))})

The first applies one history, the second draws many. A machine that breaks raises `MachineBroken`, an AssertionError whose
text is the shortest history that was found and what is wrong with it. It needs no cluster, and hypothesis only for strategies.
"""

from __future__ import annotations

from .kit import MachineBroken, check
from .steps import Event, acknowledge, again, by, close, expire, handled, noop, reopen, void, wait

__all__ = [
    "Event",
    "MachineBroken",
    "acknowledge",
    "again",
    "by",
    "check",
    "close",
    "expire",
    "handled",
    "noop",
    "reopen",
    "void",
    "wait",
]
