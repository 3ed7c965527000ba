"""The soak: what its ledger notices, and a short one with real processes."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.bench import soak
from ocelog.bench.crowd import Member
from ocelog.bench.soak import Ledger, Soaked, rows
from ocelog.client.protocol import operations
from ocelog.cluster import LocalCluster


def batch(*numbers: int) -> bytes:
    """What the puts of these numbers publish."""
    key = operations.encode("key")
    return msgpack.packb([[2, "change", ["updated", key, None, operations.encode(number)]] for number in numbers])


def test_a_ledger_accepts_every_put_once_in_order():
    ledger, members = Ledger(), [Member(1, b""), Member(2, b"")]
    ledger.take(members[0], [5, 9], [batch(0), batch(1)])
    ledger.take(members[0], [12], [batch(2)])
    ledger.take(members[1], [5], [batch(0)])
    assert ledger.wrong == []
    assert ledger.behind(members, 2) == 1
    assert ledger.behind(members, 0) == 0


@pytest.mark.parametrize("numbers", [(0, 2), (0, 0), (1,), (0, 1, 0)])
def test_what_is_lost_repeated_or_out_of_order_is_told(numbers):
    ledger = Ledger()
    for number in numbers:
        ledger.take(Member(3, b""), [5], [batch(number)])
    assert ledger.wrong and "listener 3 had the event of put" in ledger.wrong[0]


def soaked(**fields: object) -> Soaked:
    values = {
        "sessions": 2,
        "puts": 3,
        "events": 6,
        "kills": 1,
        "repeated": 0,
        "wrong": [],
        "missing": 0,
        "memory": [1 << 20],
    }
    return Soaked(**{**values, **fields})  # type: ignore[arg-type]


def test_only_a_whole_soak_is_good():
    assert soaked().good and "passed" in dict(rows(soaked()))["check"]
    lost = soaked(missing=2)
    assert not lost.good and "2 listeners lack events" in dict(rows(lost))["check"]
    wrong = soaked(wrong=["listener 1 had the event of put 4, 3 was next"])
    assert not wrong.good and "put 4" in dict(rows(wrong))["check"]


@pytest.mark.system
def test_a_short_soak_with_a_kill():
    with LocalCluster(shards=1, replicas=3) as cluster:
        found = soak.soak(cluster, sessions=20, seconds=4.0, kill_every=1.0, rate=20.0)
    assert found.good, found
    assert found.kills >= 1
    assert found.events == 20 * found.puts
    assert found.memory and all(size > 0 for size in found.memory)
