"""The verdict over a cluster's status, and its table."""

from pathlib import Path

import pytest
from ocelog.cluster import status


def shard(shard_id: int, roles: str, *, leader: int | None = 0, disagreeing: tuple[int, ...] = ()) -> dict:
    """A shard by one letter per replica; a leader, followers, down, and followers in each other condition."""
    names = {"L": "leader", "d": "down"}
    flags = {"p": "probation", "r": "rebuilding", "i": "installing", "n": "no_space"}
    replicas = [
        {
            "id": number,
            "pid": None if role == "d" else 100 + number,
            "role": names.get(role, "follower"),
            **({flags[role]: True} if role in flags else {}),
        }
        for number, role in enumerate(roles)
    ]
    if leader is not None:
        replicas[leader]["disagreeing"] = list(disagreeing)
    return {"id": shard_id, "term": 3, "leader": leader, "replicas": replicas}


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ([shard(0, "LFF"), shard(1, "FLF", leader=1)], "healthy: every shard can lose 1 more replica"),
        ([shard(0, "LFFFF")], "healthy: every shard can lose 2 more replicas"),
        ([shard(0, "L")], "healthy: every shard can lose 0 more replicas"),
        ([shard(0, "LFF"), shard(1, "LdF")], "degraded: shard 1 has lost 1 of 3 replicas, can lose 0 more"),
        (
            [shard(0, "LFdFF"), shard(1, "LdFFd")],
            "degraded: shard 0 has lost 1 of 5 replicas, can lose 1 more; "
            "shard 1 has lost 2 of 5 replicas, can lose 0 more",
        ),
        ([shard(0, "ddF", leader=None), shard(1, "LFF")], "unavailable: shard 0 has no majority"),
        ([shard(0, "ddd", leader=None), shard(1, "ddd", leader=None)], "unavailable: shards 0, 1 have no majority"),
        ([shard(0, "FFF", leader=None), shard(1, "LFF")], "unavailable: shard 0 has no leader"),
        ([], "unavailable: there are no shards"),
        ([shard(0, "LrF")], "degraded: replica 1 of shard 0 is being rebuilt"),
        ([shard(0, "Lpp")], "unavailable: shard 0 has no majority"),
        (
            [shard(0, "Lrr"), shard(1, "LFp")],
            "degraded: replica 1 of shard 0 is being rebuilt; "
            "replica 2 of shard 0 is being rebuilt; replica 2 of shard 1 is recovering and does not vote yet",
        ),
        ([shard(0, "LFi")], "degraded: replica 2 of shard 0 is being rebuilt"),
        (
            [shard(0, "LddFF", disagreeing=(1,))],
            "degraded: replica 1 of shard 0 has DIVERGED from the others and serves no more; "
            "shard 0 has lost 1 of 5 replicas, can lose 0 more",
        ),
        (
            [shard(0, "LdF", disagreeing=(1,))],
            "degraded: replica 1 of shard 0 has DIVERGED from the others and serves no more",
        ),
        ([shard(0, "LFF", disagreeing=(1,))], "healthy: every shard can lose 1 more replica"),
        (
            [shard(0, "LF", disagreeing=(0, 1))],
            "degraded: replicas 0, 1 of shard 0 have DIVERGED from each other, and no majority tells which of them is right",
        ),
        ([shard(0, "LnF")], "degraded: replica 1 of shard 0 has no disk space left"),
        (
            [shard(0, "LnF", leader=1)],
            "degraded: replica 1 of shard 0 has no disk space left, so writes are refused",
        ),
    ],
)
def test_verdict(shards, said):
    report = {"shards": shards}
    assert status.verdict(report) == said
    assert status.is_healthy(report) == said.startswith("healthy")


def test_a_replica_that_is_down_has_dashes_and_units_are_human():
    one = shard(0, "Ld")
    one["replicas"][0].update(
        term=3, commit_index=9, applied_index=9, last_index=10, snapshot_index=7, live_entries=4, sessions=2,
        log_bytes=67108864, memory_bytes=900, cpu_percent=12.34,
    )  # fmt: skip
    up, down = status.rows({"shards": [one]})
    assert up == ("0", "0", "100", "leader", "3", "9", "9", "10", "7", "4", "2", "64.0 MiB", "900 B", "12 %")
    assert down == ("0", "1", "-", "down", *["-"] * 10)
    assert len(up) == len(status.HEADINGS)


def test_every_field_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    missing = [name for name in (*status.REPLICA_FIELDS, *status.ROUTER_FIELDS) if f"`{name}`" not in text]
    assert missing == []


def routed(*pids: int | None) -> dict:
    report = {"cluster_id": "ab", "shards": [shard(0, "LFF")], "endpoints": ["tcp://a:1", "tcp://a:2"]}
    routers = [[f"tcp://a:{number}", pid] for number, pid in enumerate(pids, 1)]
    return status.complete(
        {**report, "routers": routers, "router": {"id": 1, "endpoint": "tcp://a:2", "clients": 7}}, ["x"]
    )


def test_the_routers_are_named_with_what_the_one_that_was_asked_tells_of_itself():
    report = routed(71, 72)
    assert report["endpoints"] == ["tcp://a:1", "tcp://a:2"]
    assert [(row["id"], row["pid"], row["clients"]) for row in report["routers"]] == [(0, 71, None), (1, 72, 7)]
    assert status.router_lines(report) == ["router 0 pid 71, tcp://a:1", "router 1 pid 72, tcp://a:2"]
    assert report["healthy"]


def test_a_router_that_is_down_degrades_a_cluster_that_serves():
    report = routed(None, 72)
    assert (report["verdict"], report["healthy"]) == ("degraded: router 0 is down", False)
    assert status.router_lines(report)[0] == "router 0 down, tcp://a:1"


def test_columns_line_up():
    assert status.columns(("a", "long"), [("wide", "b"), ("c", "d")]) == "a     long\nwide  b\nc     d"


def test_a_report_is_completed_with_its_meaning():
    report = status.complete({"cluster_id": "ab", "shards": [shard(0, "LFF")]}, ["tcp://127.0.0.1:1"])
    assert list(report) == [
        "version",
        "cluster_id",
        "endpoints",
        "routers",
        "compactor",
        "verdict",
        "healthy",
        "shards",
    ]
    assert report["healthy"] is True
    assert list(report["shards"][0]["replicas"][0]) == list(status.REPLICA_FIELDS)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "follower"),
        ({"membership": "active"}, "follower"),
        ({"membership": "passive"}, "passive"),
        ({"membership": "passive", "rebuilding": True}, "rebuilding"),
        ({"membership": "returning"}, "recovering"),
        ({"membership": "returning", "rebuilding": True}, "recovering"),
        ({"installing": True}, "rebuilding"),
        ({"probation": True, "rebuilding": True}, "recovering"),
        ({"role": "down", "probation": None}, "down"),
    ],
)
def test_the_role_is_what_ails_a_replica_else_what_it_does(fields, word):
    one = {"id": 3, "leader": None, "replicas": [{"id": 1, "role": "follower", **fields}]}
    (row,) = status.rows({"shards": [one]})
    assert row[status.HEADINGS.index("role")] == word


def test_one_that_the_leader_found_odd_is_called_diverged_while_it_is_down():
    _, odd, _ = status.rows({"shards": [shard(0, "LdF", disagreeing=(1,))]})
    assert odd[status.HEADINGS.index("role")] == "DIVERGED"


def test_a_member_that_does_not_vote_is_no_part_of_the_majority():
    one = shard(0, "LFFdd")
    one["replicas"][3].update(membership="passive")
    one["replicas"][4].update(membership="reserve")
    assert status.spare(one) == 1


def test_a_member_that_returned_and_is_not_promoted_is_not_healthy():
    """No other may be lost before it votes again: whoever maintains replicas one after the other waits for `healthy`."""
    one = shard(0, "LFF")
    one["replicas"][1].update(membership="returning", probation=False)
    report = {"shards": [one]}
    assert status.spare(one) == 0
    assert status.verdict(report) == "degraded: replica 1 of shard 0 is recovering and does not vote yet"
    assert not status.is_healthy(report)


def test_a_replica_that_its_leader_does_not_hear_is_cut_off_though_it_answers_others():
    one = shard(0, "LFF")
    one["replicas"][0]["silent"] = [2]
    report = {"shards": [one]}
    assert status.conditions(one) == {0: "", 1: "", 2: "cut off"}
    assert status.spare(one) == 0
    assert status.verdict(report) == "degraded: replica 2 of shard 0 is up, but its leader does not hear it"
    one["replicas"][2]["role"] = "down"
    assert status.conditions(one)[2] == "down"
    one["leader"] = None
    assert status.conditions(one) == {0: "", 1: "", 2: "down"}, "nobody knows then"


def test_the_compactor_has_a_line_of_its_own():
    assert status.compactor_line({"compactor": 71}) == "compactor pid 71"
    assert status.compactor_line({"compactor": None}).startswith("compactor down")
