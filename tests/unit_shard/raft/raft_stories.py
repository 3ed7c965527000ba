"""Stories that several tests tell: with the right rules, and with a rule broken."""

from __future__ import annotations

from ocelog.shard.raft import LEADER
from ocelog.shard.raft.membership import ChangeKind
from ocelog.shard.raft.messages import Append

from .raft_cluster import Cluster


def two_changes_in_two_terms() -> Cluster:
    """Ongaro's counterexample of 2015, up to the second change.

    Member 0 leads term 1 and lets 4 vote, which nobody else hears of: by its log, three of five are a majority. Member 1
    leads term 2, with an entry of its own that has reached nobody yet, and would remove 0: then two of three are one.
    """
    cluster = Cluster(4)
    cluster.elect(0)
    cluster.begin(4)
    cluster.change(0, ChangeKind.ADD, 4, 1)
    cluster.run()
    cluster.tick([0], ticks=6)
    cluster.cut_off(1, 2, 3)
    cluster.change(0, ChangeKind.PROMOTE, 4)
    cluster.run()
    for member in (1, 2, 3):
        cluster[member].core.peer_died(0)
    cluster.cut = lambda message: bool({message.sender, message.to} & {0, 4}) or isinstance(message, Append)
    cluster.time_out(1)
    cluster.run()
    assert cluster[1].core.role is LEADER
    return cluster


def return_of_the_first_leader(cluster: Cluster) -> None:
    """Members 1 and 2 are cut off; 0, which stepped down meanwhile, asks 3 and 4 for their votes."""
    cluster.cut_off(1, 2)
    cluster.tick([0], ticks=cluster[0].core.config.election_ticks)
    for member in (3, 4):
        cluster[member].core.peer_died(1)
        cluster[member].core.peer_died(0)
    for _ in range(3):
        cluster.time_out(0)
        cluster.run()
