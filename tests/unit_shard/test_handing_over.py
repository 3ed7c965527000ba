"""A leader that hands leadership over, seen from a whole replica."""

from __future__ import annotations

from ocelog.client.protocol import frames
from ocelog.shard.raft.messages import LEADER

from .test_replica_compaction import TINY, Load
from .trio import START_MS, Trio


def test_commands_wait_while_leadership_is_handed_over_and_the_loop_does_not_spin(tmp_path, kit):
    trio = Trio(tmp_path, **TINY)
    load = Load(trio, kit)
    load.overwrite(3)
    trio.run(20)
    replica = trio.replicas[load.leader]
    trio.cut = {(load.leader + 1) % 3}
    replica.core.transfer((load.leader + 1) % 3)
    before = replica.log.last_index
    body = frames.pack_parts([kit.operation(load.map, "put", b"k", b"v")])
    trio.send(load.leader, frames.COMMAND, body, session=load.session, first=load.sequence + 1, count=1)
    turn = replica.step(trio.now, START_MS + trio.now)
    assert replica.core.transferring
    assert (turn.unfinished, replica.log.last_index) == (False, before)
    trio.run(3 * replica.core.config.election_ticks + 10)  # in vain: it goes on, and logs what waited
    assert (replica.core.role, replica.core.transferring) == (LEADER, False)
    assert replica.log.last_index > before
