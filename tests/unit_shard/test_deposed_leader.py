"""A leader that learns of its successor in the middle of a turn."""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from ocelog.client.protocol import frames
from ocelog.client.protocol.frames import Item
from ocelog.client.protocol.limits import Limits
from ocelog.log.directory import open_directory
from ocelog.log.identity import Identity
from ocelog.log.log import LogConfig
from ocelog.shard.machines.registry import registry
from ocelog.shard.raft.config import RaftConfig
from ocelog.shard.raft.messages import AppendResponse, Heartbeat, PreVoteResponse, Role, VoteResponse
from ocelog.shard.replica import Replica, Turn

from tests.simulation.disk import SimDisk


def replica() -> Replica:
    """Member 0 of three, on an empty disk."""
    identity = Identity(cluster_id="00" * 16, shard=0, member=0, incarnation=1)
    config = LogConfig(segment_bytes_max=4096)
    _, meta, log = open_directory(SimDisk(Random(1)), "data", expected=identity, config=config)
    return Replica(
        shard=0,
        member=0,
        voters=range(3),
        log=log,
        meta=meta,
        raft_config=RaftConfig(),
        limits=Limits(),
        machines=registry(),
        rng=Random(1),
    )


def step(member: Replica) -> Turn:
    """One turn, with a disk that is done at once."""
    turn = member.step(0, 0)
    if turn.job is not None:
        turn.job.run()
        member.job_done(turn.job)
    return turn


def elected() -> Replica:
    """The leader of term 1, its no-op committed and applied."""
    member = replica()
    while member.core.role is Role.FOLLOWER:
        member.tick()
    step(member)
    member.receive_peer(PreVoteResponse(term=1, sender=1, to=0, granted=True))
    step(member)
    step(member)
    member.receive_peer(VoteResponse(term=1, sender=1, to=0, granted=True))
    step(member)
    member.receive_peer(AppendResponse(term=1, sender=1, to=0, success=True, match_index=1, last_index=1))
    step(member)
    assert member.core.role is Role.LEADER and member.executor.applied_index == 1
    return member


def register() -> Item:
    """A client asks for a session."""
    header = frames.REQUEST.pack(1, frames.REGISTER, 0, 0, 0, 0, 7, 0, b"k" * 16, 0, 0, 0, 0, 1000)
    return Item(1, [header + msgpack.packb(["client", 1000])])


@pytest.mark.parametrize("bundle_first", [True, False])
def test_what_clients_sent_is_not_logged_in_the_successors_term(bundle_first: bool) -> None:
    """The entries of a term are its leader's alone (5.3): records taken by the predecessor must not get that term."""
    member = elected()
    arrivals = [
        lambda: member.receive_bundle(b"router", [register()]),
        lambda: member.receive_peer(Heartbeat(term=2, sender=1, to=0, commit_index=1, round=1, sent_through=1)),
    ]
    for arrive in arrivals if bundle_first else reversed(arrivals):
        arrive()
    turn = step(member)
    assert member.core.role is Role.FOLLOWER
    assert member.log.last_index == 1
    (answer,) = turn.answers[b"router"]
    assert frames.parse_reply(answer.frames)[0].kind == frames.REFUSED
