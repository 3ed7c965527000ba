"""Leadership transfer (Ongaro's thesis, 3.10): a leader stops taking entries and lets a voter campaign at once.

The target is told when it holds all of the log. If it has not taken over within an election timeout, the leader goes on.
"""

from __future__ import annotations

from .membership import Refused
from .messages import LEADER, TimeoutNow
from .progress import REPLICATE
from .state import RaftState


def begin(raft: RaftState, to: int) -> None:
    """Leader: hand over to the voter `to`. Raises Refused."""
    if raft.role is not LEADER:
        raise Refused("not_leader", f"member {raft.member} does not lead")
    if raft.transferring:
        raise Refused("transferring", f"leadership is being transferred to {raft.transfer_to}")
    if to == raft.member:
        raise Refused("itself", f"member {to} leads already")
    if to not in raft.configuration.voters:
        raise Refused("role", f"member {to} does not vote")
    raft.transferring = True
    raft.transfer_to = to
    raft.transfer_told = False
    raft.transfer_until = raft.ticks + raft.config.election_ticks


def tick(raft: RaftState) -> None:
    """Leader, while transferring: give up in time."""
    if raft.ticks >= raft.transfer_until or raft.transfer_to not in raft.configuration.voters:
        end(raft)


def end(raft: RaftState) -> None:
    """Lead on as if nothing had been asked. The target may still campaign, if it was told already."""
    raft.transferring = False
    raft.transfer_to = None


def emit(raft: RaftState) -> None:
    """Leader, end of a turn while transferring: tell the target, once, when it holds everything."""
    if raft.transfer_to is not None and not raft.transfer_told:
        raft.transfer_told = tell(raft, raft.transfer_to)


def tell(raft: RaftState, to: int) -> bool:
    """Tell a member to campaign, if its log is as long as ours."""
    progress = raft.progress[to]
    if progress.state is not REPLICATE or progress.match_index < raft.log.last_index:
        return False
    raft.lease.given_up = True  # it may campaign whenever it gets this, and nobody's pledge counts against it
    raft.send(TimeoutNow(term=raft.term, sender=raft.member, to=to))
    return True
