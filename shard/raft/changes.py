"""Changes of the configuration: which one counts, what a leader may propose, and who asks to come back.

Ongaro's thesis, chapter 4, single-server changes. The latest configuration in the log counts, committed or not, and goes
with its entry when that is truncated.
"""

from __future__ import annotations

from . import replication
from .membership import Change, ChangeKind, Configuration, Refused
from .messages import LEADER, Join
from .progress import REPLICATE
from .quorum import majority
from .state import RaftState


def appended(raft: RaftState, index: int, payload: bytes | memoryview) -> None:
    """A configuration entry was appended to our log: from now on it counts."""
    before = raft.configuration
    assert index > before.index, f"configuration {index} comes after {before.index}"
    configuration = Configuration.decode(payload, index)
    voters = {(voter, before.incarnations[voter]) for voter in before.voters}
    changed = voters ^ {(voter, configuration.incarnations[voter]) for voter in configuration.voters}
    assert len(changed) <= 1, f"{before!r} and {configuration!r} differ in more than one voter"
    if raft.role is LEADER:
        assert before.index <= raft.commit_index, f"configuration {index} while {before.index} is not committed"
    raft.configurations.append(configuration)
    follow(raft)


def revert(raft: RaftState, last_index: int) -> None:
    """The log was truncated: what it held above `last_index` counts no more."""
    while raft.configuration.index > last_index:
        raft.configurations.pop()
        raft.follow_configuration()


def installed(raft: RaftState, configuration: bytes | memoryview) -> None:
    """The log is a snapshot's now, with the configuration that counted there."""
    raft.configurations = [Configuration.decode(configuration)]
    raft.follow_configuration()


def follow(raft: RaftState) -> None:
    """Go by the latest configuration of the log; a leader talks to its members."""
    replaced = raft.configuration
    raft.follow_configuration()
    if raft.role is LEADER:
        replication.follow_configuration(raft, replaced)
        raft.joins = {
            member: incarnation
            for member, incarnation in raft.joins.items()
            if raft.incarnations.get(member, incarnation) < incarnation
        }


def propose(raft: RaftState, change: Change, expected_version: int) -> bytes:
    """The payload of the entry that makes `change`, for the leader to append before anything else. Raises Refused."""
    if raft.role is not LEADER:
        raise Refused("not_leader", f"member {raft.member} does not lead")
    problem = _obstacle(raft)
    if problem is not None:
        raise problem
    version = raft.configuration.index
    if expected_version != version:
        raise Refused("version", f"the configuration is of version {version}, not {expected_version}")
    configuration = raft.configuration.changed(change)
    if change.kind is ChangeKind.PROMOTE:
        _check_may_vote(raft, change.member)
    elif change.kind is not ChangeKind.RENEW and len(configuration.voters) < len(raft.configuration.voters):
        _check_majority(raft, configuration)
    return configuration.encode()


def due(raft: RaftState) -> bytes | None:
    """The payload of a change that a leader makes by itself: a member returns under a new incarnation, or may vote again."""
    if not (raft.joins or raft.configuration.returning) or _obstacle(raft) is not None:
        return None
    joins = [Change(ChangeKind.RENEW, member, incarnation) for member, incarnation in sorted(raft.joins.items())]
    returning = [Change(ChangeKind.PROMOTE, member) for member in raft.configuration.returning]
    for change in (*joins, *returning):
        try:
            return propose(raft, change, raft.configuration.index)
        except Refused:
            continue
    return None


def on_join(raft: RaftState, message: Join) -> None:
    """Leader: a member that lost its files asks to be one again. Whoever was never one has to be added."""
    known = raft.incarnations.get(message.sender)
    if known is not None and message.incarnation > known:
        raft.joins[message.sender] = message.incarnation


def _obstacle(raft: RaftState) -> Refused | None:
    """Why a leader may not change anything now."""
    if raft.transferring:
        return Refused("transferring", "leadership is being transferred")
    if raft.commit_index < raft.term_start:
        # Ongaro, raft-dev 2015: else a change may be made beside one of an earlier term, and two majorities not meet.
        return Refused("new_leader", f"nothing of term {raft.term} is committed yet")
    if raft.configuration.index > raft.commit_index:
        return Refused("under_way", f"the change of entry {raft.configuration.index} is not committed yet")
    return None


def _check_majority(raft: RaftState, configuration: Configuration) -> None:
    """Refuse to let a voter go whom the others may be unable to do without: their group would stand still for good.

    One that lost its files is let go in any case (RENEW): it cannot be counted on as it is, and asks for it itself.
    """
    heard = [voter for voter in configuration.voters if voter == raft.member or _may_be_counted_on(raft, voter)]
    needed = majority(len(configuration.voters))
    if len(heard) < needed:
        silent = sorted(set(configuration.voters) - set(heard))
        text = f"of the voters that would be left, {silent} are silent or may not vote; {needed} are needed"
        raise Refused("no_majority", text)


def _may_be_counted_on(raft: RaftState, voter: int) -> bool:
    progress = raft.progress[voter]
    return raft.ticks - progress.heard_tick < raft.config.election_ticks and not progress.probation


def _check_may_vote(raft: RaftState, member: int) -> None:
    """Refuse a promotion that would let the group wait for the new voter (thesis 4.2.1), for its vote above all."""
    progress = raft.progress[member]
    if raft.ticks - progress.heard_tick >= raft.config.election_ticks:
        raise Refused("unavailable", f"member {member} was not heard for {raft.ticks - progress.heard_tick} ticks")
    if not progress.caught_up or progress.state is not REPLICATE:
        behind = raft.log.last_index - progress.match_index
        raise Refused("not_caught_up", f"member {member} is {behind} entries behind and does not keep up yet")
    if progress.probation:
        raise Refused("probation", f"member {member} has lost its files and must not vote yet")
