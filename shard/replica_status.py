"""What a replica says about itself when it is asked: the fields of a STATUS_REPORT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .raft.messages import Role

if TYPE_CHECKING:
    from .replica import Replica

ROLES = {Role.LEADER: "leader", Role.FOLLOWER: "follower"}


def status_of(replica: Replica) -> dict[str, Any]:
    """The report; what only the process knows (pid, memory, CPU) is `status_extra`'s."""
    core, log, house = replica.core, replica.log, replica.housekeeping
    disagreeing = replica.digests.divergence.disagreeing
    membership = core.membership
    sessions = replica.executor.sessions
    return {
        "id": replica.member,
        "shard": replica.shard,
        "role": ROLES.get(core.role, "candidate"),
        "term": core.term,
        "leader": core.leader,
        "commit_index": core.commit_index,
        "applied_index": replica.executor.applied_index,
        "last_index": log.last_index,
        "sessions": len(sessions),
        "events_waiting": sum(session.event_count for session in sessions),
        "event_bytes_waiting": sum(session.event_bytes for session in sessions),
        "pushes": replica.terms.pushes,
        "expiries": replica.terms.expiries,
        "log_bytes": log.log_bytes,
        "no_space": log.no_space,
        "snapshot_index": log.snapshot_index,
        "dense_index": log.dense_index,
        "segments": log.segment_count,
        "live_entries": house.live_entries,
        "live_bytes": house.live_bytes,
        "compaction": house.status(),
        "snapshot_pause_ms": house.pause_ms,
        "rebuilding": replica.rebuilding,
        "missing_machine": None if replica.state.missing is None else str(replica.state.missing),
        "installing": replica.catch_up.incoming.under_way,
        "install_bytes_sent": replica.catch_up.transfers.bytes_sent,
        "incarnation": core.incarnation,
        "probation": core.probation,
        "membership": None if membership is None else membership.name.lower(),
        "digests_compared": replica.digests.divergence.compared,
        "digests_differing": replica.digests.divergence.differing,
        "digest_index": replica.digests.divergence.index,
        "diverged": replica.member in disagreeing,
        "disagreeing": list(disagreeing),
        "silent": core.silent,
        **replica.status_extra(),
    }


def member_name(member: int | None) -> str:
    """For people."""
    return "nobody" if member is None else f"replica {member}"
