"""A replica that has diverged ends with one line and a code after which it is not started again."""

from __future__ import annotations

import os

from ocelog.cluster.restart_policy import Exit, after_exit
from ocelog.shard.__main__ import _explained
from ocelog.shard.divergence import Diverged


def test_it_stays_down_and_says_why():
    text, code = _explained(Diverged("shard 0 replica 2: its state differs from the majority's at entry 7"))
    assert (code, text) == (os.EX_DATAERR, "shard 0 replica 2: its state differs from the majority's at entry 7")
    decision = after_exit(Exit(code=code, uptime_s=100.0, ever_ready=True, failures=0))
    assert decision.delay_s is None
