"""The measurement of locks works, and finds out when two hold a lock at once."""

from __future__ import annotations

import pytest
from ocelog.bench import locks
from ocelog.cluster import LocalCluster


@pytest.mark.system
def test_it_measures(capsys, monkeypatch):
    monkeypatch.setattr(locks, "START_SECONDS", 0.7)
    with LocalCluster(shards=1, replicas=1) as cluster:
        endpoints = ",".join(cluster.endpoints)
        locks.main(["--endpoints", endpoints, "--seconds", "0.3", "--runs", "1", "--processes", "2"])
    many, alone, contended = capsys.readouterr().out.splitlines()
    assert many.startswith("16 clients in 2 processes: ") and "pairs/s" in many
    assert alone.startswith("one client: a pair takes ") and "two puts" in alone
    assert contended.startswith("two clients: ") and "from a release to the next grant" in contended


def test_a_hand_over_counts_when_it_was_waited_for():
    held = [(5, 0.0, 1.0, 2.0, 0.001), (7, 1.0, 2.5, 3.0, 0.001), (9, 2.9999, 3.25, 4.0, 0.001)]
    assert locks.hand_overs(held) == [0.5], "the last one came when the lock was about to be free"


@pytest.mark.parametrize(
    "held",
    [[(5, 0.0, 1.0, 2.0, 0.001), (7, 1.0, 1.5, 3.0, 0.001)], [(5, 0.0, 1.0, 2.0, 0.001), (5, 1.0, 2.5, 3.0, 0.001)]],
)
def test_two_holders_at_once_are_noticed(held):
    with pytest.raises(AssertionError, match="was had before"):
        locks.hand_overs(held)
