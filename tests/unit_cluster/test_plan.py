"""Which processes a cluster has, what they are told, and which of them it cannot do without."""

import json
import sys
from pathlib import Path

import pytest
from ocelog.cluster.clusterfile import ClusterFile
from ocelog.cluster.config import Settings
from ocelog.cluster.endpoint import listen_of
from ocelog.cluster.plan import can_be_ready, command_of, plan_children


def planned(**cluster):
    settings = Settings.from_sections({"cluster": cluster})
    made = ClusterFile.new(shards=settings.cluster.shards, replicas=settings.cluster.replicas)
    return plan_children(settings, made, Path("/data"), "/run/sockets")


def test_every_replica_and_router_has_a_name_and_a_file_of_its_own():
    plans = planned(shards=2, replicas=3, routers=2)
    assert [plan.name for plan in plans] == [
        "compactor",
        "replica 0/0", "replica 0/1", "replica 0/2", "replica 1/0", "replica 1/1", "replica 1/2",
        "router 0", "router 1",
    ]  # fmt: skip
    assert len({plan.file_stem for plan in plans}) == len(plans)
    assert not any("/" in plan.file_stem or " " in plan.file_stem for plan in plans)


def test_a_child_is_told_everything_in_one_json_argument():
    compactor, replica, router = planned(shards=1, replicas=1, listen="tcp://127.0.0.1:7500")
    python, isolated, _, module, argument = command_of(replica)
    assert (python, isolated, module) == (sys.executable, "-P", "ocelog.shard")
    told = json.loads(argument)
    assert (told["shard"], told["replica"], told["replicas"], told["sockets"]) == (0, 0, 1, "/run/sockets")
    assert (
        Settings.from_sections(told["settings"]).digest()
        == Settings.from_sections({"cluster": {"shards": 1, "replicas": 1}}).digest()
    )
    told = json.loads(command_of(compactor)[-1])
    assert (list(told), told["sockets"]) == (["data", "sockets", "settings"], "/run/sockets")
    assert command_of(compactor)[:4] == [sys.executable, "-P", "-m", "ocelog.log.compactor_process"]
    told = json.loads(command_of(router)[-1])
    assert (told["listen"], told["slots"], told["router"]) == ("tcp://127.0.0.1:7500", [[0, 16383, 0]], 0)


def test_routers_stop_before_replicas():
    assert {plan.name.split()[0]: plan.stop_phase for plan in planned()} == {
        "replica": 1,
        "compactor": 1,
        "router": 0,
    }


@pytest.mark.parametrize(
    ("listen", "router", "own"),
    [
        ("tcp://127.0.0.1:7400", 0, "tcp://127.0.0.1:7400"),
        ("tcp://127.0.0.1:7400", 2, "tcp://127.0.0.1:7402"),
        ("tcp://127.0.0.1:0", 2, "tcp://127.0.0.1:0"),
        ("tcp://localhost:7400", 1, "tcp://127.0.0.1:7401"),
        ("ipc:///run/ocelog", 0, "ipc:///run/ocelog"),
        ("ipc:///run/ocelog", 2, "ipc:///run/ocelog.2"),
    ],
)
def test_routers_take_the_ports_after_the_first(listen, router, own):
    assert listen_of(listen, router) == own


@pytest.mark.parametrize(
    ("down", "replicas", "ready"),
    [
        ([], 3, True),
        ([("replica", 1, 0)], 3, True),
        ([("replica", 0, 0), ("replica", 1, 0)], 3, True),
        ([("replica", 1, 0), ("replica", 1, 2)], 3, False),
        ([("replica", 1, 0), ("replica", 1, 1)], 4, False),
        ([("replica", 0, 0)], 1, False),
        ([("router", 0, 0)], 3, False),
        ([("compactor", 0, 0)], 1, True),
        ([("compactor", 0, 0), ("replica", 0, 0)], 3, True),
    ],
)
def test_a_cluster_needs_its_routers_and_a_majority_of_every_shard(down, replicas, ready):
    assert can_be_ready(down, shards=2, replicas=replicas) is ready
