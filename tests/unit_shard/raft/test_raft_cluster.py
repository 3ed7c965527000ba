"""The core in small clusters on a well-behaved network: the happy paths, and the rules that the paper does not have."""

from __future__ import annotations

from ocelog.shard.raft import LEADER

from .raft_cluster import Cluster


def test_a_leader_is_elected_and_commits_its_noop_everywhere():
    cluster = Cluster(3)
    cluster.elect(1)
    assert cluster.leaders == [1]
    assert [member.core.commit_index for member in cluster.members] == [1, 1, 1]
    assert [member.core.leader for member in cluster.members] == [1, 1, 1]
