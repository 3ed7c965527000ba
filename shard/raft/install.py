"""InstallSnapshot, both sides: what an Install means to a follower, and when a publish may begin and has ended.

Paper, section 7, changed as in docs/decisions/0008: the stream itself is the replica's; the core only says whether it is
wanted, and what holds once it is durable. A leader's Progress says to whom it is sent.
"""

from __future__ import annotations

from . import changes
from .messages import FOLLOWER, Install, InstallResponse
from .progress import INSTALL
from .state import RaftState


def on_install(raft: RaftState, message: Install) -> Install | None:
    """A part of this leader's snapshot. Returns it if it is to be staged; what is not needed is acknowledged."""
    raft.hear_leader(message.sender)
    if raft.installing:
        return None
    if not needs_install(raft, message.snapshot_index, message.snapshot_term):
        acknowledge_snapshot(raft, message.snapshot_index)
        return None
    if message.from_index > raft.commit_index:
        # The leader was told a commit index that this process has lost since it started again.
        raft.send(
            InstallResponse(
                term=raft.term,
                sender=raft.member,
                to=message.sender,
                snapshot_index=message.snapshot_index,
                from_index=message.from_index,
                position=0,
                restart=True,
            )
        )
        return None
    return message


def needs_install(raft: RaftState, snapshot_index: int, snapshot_term: int) -> bool:
    """Whether our log does not agree with the snapshot's through its index anyway.

    It does if that is committed here, and by log matching if the entry there has the snapshot's term (5.3).
    """
    if snapshot_index <= raft.commit_index:
        return False
    return snapshot_index > raft.log.last_index or raft.log.term_at(snapshot_index) != snapshot_term


def acknowledge_snapshot(raft: RaftState, snapshot_index: int) -> None:
    """We hold this leader's log through a snapshot's index. What a snapshot covers is committed."""
    raft.matched = max(raft.matched, raft.commit_index, snapshot_index)
    raft.leader_commit = max(raft.leader_commit, snapshot_index)
    raft.advance_commit_to(min(raft.leader_commit, raft.matched))
    raft.ack_due = True


def begin_install(raft: RaftState, snapshot_index: int, snapshot_term: int) -> bool:
    """Whether the replica may begin to publish; until it is done the log takes nothing else, and nobody campaigns."""
    if raft.role is not FOLLOWER or raft.installing or not needs_install(raft, snapshot_index, snapshot_term):
        return False
    raft.installing = True
    return True


def installed(raft: RaftState, index: int, configuration: bytes | memoryview) -> None:
    """The log is the snapshot's now, durably: it ends at `index`, committed, and what was above is gone."""
    log = raft.log
    assert raft.installing, f"installed through {index}, but nothing was being installed"
    assert raft.role is FOLLOWER, f"installed through {index} as {raft.role.name}"
    assert raft.commit_index <= index, f"installed through {index}, but {raft.commit_index} is committed"
    assert log.last_index == log.dense_index == index, f"installed {index}: {log.dense_index}..{log.last_index}"
    raft.installing = False
    raft.commit_index = raft.persisted_index = index
    changes.installed(raft, configuration)
    # Every leader of this term or a later one holds what is committed (5.4.3), so this is a match with any of them.
    raft.matched = index
    raft.ack_due = True


def on_install_response(raft: RaftState, message: InstallResponse) -> InstallResponse | None:
    """A follower tells how far it has a stream. Returned to the replica as long as it is being sent one."""
    progress = raft.progress[message.sender]
    progress.heard_tick = raft.ticks
    if progress.state is not INSTALL or message.from_index != progress.install_from:
        return None
    if message.restart:
        progress.install_from = 0
    return message
