"""Scenario scripts: commands to a small cluster of cores, and after each what it made the members say and become.

A file is a story, told in its first comment, then blocks of a command, `----` and the expected output, separated by blank
lines. Commands:

    start N [term=T] [slow-disks] [append=ENTRIES] [inflight=APPENDS] [log0=1,1,2] [log1=...]
    elect M                  M becomes leader in peace; nothing is printed
    time-out M               M's election timeout runs out
    tick M [TICKS]           time passes at M
    deliver                  everything under way arrives, and what that causes, until nobody speaks
    deliver A>B              only what is under way from A to B now
    drop A>B                 what is under way from A to B is lost
    cut M... / heal          everything to and from M is lost, from now on / no longer
    propose M VALUE...       M, a leader, appends entries
    sync M                   M's slow disk finishes
    read M NAME              M, a leader, is asked for a read index
    gone M PEER              M sees its connection to PEER close
    crash M                  M stops and starts again, with what its disk has synced
    compact M INDEX          M takes a snapshot of what it has committed and drops its entries through INDEX
    repeat M                 M, a leader, sends the last part of every install again
    repeat-install           every part of an install that was ever delivered arrives once more
    change M KIND N [I]      M, a leader, is asked to add, promote, demote, remove or renew member N (as incarnation I)
    begin N [I]              a process of member N with an empty disk, of incarnation I
    transfer M N             M, a leader, is asked to hand over to N
    members                  what configuration everybody goes by
    state                    what everybody is, holds and has committed
"""

from __future__ import annotations

from collections.abc import Callable

from ocelog.shard.raft import RaftConfig
from ocelog.shard.raft.membership import ChangeKind, Refused
from ocelog.shard.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Install,
    InstallResponse,
    Join,
    Message,
    PreVote,
    PreVoteResponse,
    ProbationAnswer,
    ProbationQuery,
    RoleChange,
    TimeoutNow,
    Vote,
    VoteResponse,
)

from .raft_cluster import Cluster
from .raft_disk import ENTRY_BYTES

DELIVERIES_MAX = 200


class Script:
    """Runs the commands of one file; `run` returns what one printed."""

    def __init__(self) -> None:
        self.cluster = Cluster(1)
        self.lines: list[str] = []
        self.waiting: list[Message] = []  # told already
        self.installs: list[Message] = []  # delivered so far

    def run(self, command: str) -> list[str]:
        """Run one command line."""
        name, *words = command.split()
        self.lines = []
        action: Callable[..., None] = getattr(self, "do_" + name.replace("-", "_"))
        action(*words)
        return self.lines or ["(nothing)"]

    # -- commands ----------------------------------------------------------------------------------

    def do_start(self, members: str, *options: str) -> None:
        given = dict(option.split("=") for option in options if "=" in option)
        config = RaftConfig(
            append_bytes_max=int(given.get("append", 100)) * ENTRY_BYTES,
            inflight_messages_max=int(given.get("inflight", 64)),
        )
        self.cluster = Cluster(
            int(members),
            config=config,
            logs={
                member: [int(term) for term in given[f"log{member}"].split(",")]
                for member in range(int(members))
                if f"log{member}" in given
            },
            term=int(given["term"]) if "term" in given else None,
            slow_disks="slow-disks" in options,
        )
        self.do_state()

    def do_elect(self, member: str) -> None:
        self.cluster.elect(int(member))
        for number in range(len(self.cluster.members)):
            self._report(number)
        self.lines.clear()

    def do_time_out(self, member: str) -> None:
        self.cluster.time_out(int(member))
        self._report(int(member))

    def do_tick(self, member: str, ticks: str = "1") -> None:
        for _ in range(int(ticks)):
            self.cluster[int(member)].core.tick()
            self._turn(int(member))

    def do_deliver(self, link: str = "") -> None:
        if link:
            for message in self._take(link):
                self._deliver(message)
            return
        for _ in range(DELIVERIES_MAX):
            if not self.cluster.wire:
                return
            self._deliver(self.cluster.wire.pop(0))
        raise AssertionError(f"still talking after {DELIVERIES_MAX} deliveries")

    def do_drop(self, link: str) -> None:
        for message in self._take(link):
            self.lines.append(f"lost {described(message)}")

    def do_cut(self, *members: str) -> None:
        self.cluster.cut_off(*map(int, members))

    def do_heal(self) -> None:
        self.cluster.cut_off()

    def do_propose(self, member: str, *values: str) -> None:
        self.cluster[int(member)].propose(*values)
        self._turn(int(member))

    def do_sync(self, member: str) -> None:
        self.cluster.sync(int(member))
        self._report(int(member))

    def do_read(self, member: str, name: str) -> None:
        if not self.cluster[int(member)].core.read(name):
            self.lines.append(f"{member} is not the leader")
        self._turn(int(member))

    def do_gone(self, member: str, peer: str) -> None:
        self.cluster[int(member)].core.peer_gone(int(peer))
        self._turn(int(member))

    def do_died(self, member: str, peer: str) -> None:
        self.cluster[int(member)].core.peer_died(int(peer))
        self._turn(int(member))

    def do_crash(self, member: str) -> None:
        subject = self.cluster[int(member)]
        subject.disk.written, subject.disk.written_hard_state = [], None
        subject.start()

    def do_compact(self, member: str, index: str) -> None:
        self.cluster[int(member)].compact(int(index))
        self._turn(int(member))

    def do_repeat(self, member: str) -> None:
        self.cluster.wire += self.cluster[int(member)].repeat_parts()

    def do_repeat_install(self) -> None:
        self.cluster.wire += self.installs

    def do_change(self, member: str, kind: str, other: str, incarnation: str = "0") -> None:
        try:
            self.cluster.change(int(member), ChangeKind(kind), int(other), int(incarnation))
        except Refused as refusal:
            self.lines.append(f"refused: {refusal.reason}, {refusal}")
        self._report(int(member))

    def do_begin(self, member: str, incarnation: str = "1") -> None:
        self.cluster.begin(int(member), int(incarnation))

    def do_transfer(self, member: str, to: str) -> None:
        try:
            self.cluster[int(member)].core.transfer(int(to))
        except Refused as refusal:
            self.lines.append(f"refused: {refusal.reason}, {refusal}")
        self._turn(int(member))

    def do_members(self) -> None:
        for member in self.cluster.members:
            probation = ", in probation" if member.core.probation else ""
            self.lines.append(f"{member.member}.{member.incarnation} goes by {member.core.configuration!r}{probation}")

    def do_state(self) -> None:
        for member in self.cluster.members:
            core = member.core
            leader = "" if core.leader in (None, core.member) else f" of {core.leader}"
            log = " ".join(str(term) if term else "-" for term in member.log.terms) or "empty"
            role = core.role.name.lower().replace("_", "-")
            self.lines.append(f"{core.member} {role}{leader}, term {core.term}, commit {core.commit_index}, log {log}")

    # -- carrying out and telling ------------------------------------------------------------------

    def _take(self, link: str) -> list[Message]:
        ends = tuple(map(int, link.split(">")))
        wire = self.cluster.wire
        self.cluster.wire = [message for message in wire if (message.sender, message.to) != ends]
        return [message for message in wire if (message.sender, message.to) == ends]

    def _deliver(self, message: Message) -> None:
        cut = " (cut)" if self.cluster.cut(message) else ""
        self.lines.append(described(message) + cut)
        self.cluster.deliver(message)
        if isinstance(message, Install):
            self.installs.append(message)
        self._report(message.to)

    def _turn(self, member: int) -> None:
        self.cluster.turn(member)
        self._report(member)

    def _report(self, number: int) -> None:
        """What the member has become and answered; what it says is told when it arrives."""
        member = self.cluster[number]
        self.lines += [f"    {number} {told(change)}" for change in member.role_changes]
        self.lines += [f"    {number} serves read {name} at {index}" for name, index in member.reads]
        for message in member.after_sync:
            if message not in self.waiting:
                self.lines.append(f"    {number} waits for its disk: {described(message)}")
        self.waiting = [message for other in self.cluster.members for message in other.after_sync]
        member.role_changes.clear()
        member.reads.clear()


def told(change: RoleChange) -> str:
    """A role change in words."""
    role = change.role.name.lower().replace("_", "-")
    return f"is {role} in term {change.term}: {change.reason}"


def described(message: Message) -> str:
    """A message in words."""
    incarnation = f".{message.incarnation}" if message.incarnation > 1 else ""
    return f"{message.sender}{incarnation}>{message.to} term {message.term} {_body(message)}"


def _body(message: Message) -> str:
    match message:
        case PreVote() | Vote():
            asked = ", at the leader's wish" if isinstance(message, Vote) and message.transfer else ""
            return f"{type(message).__name__}, log ends at {message.last_index} in term {message.last_term}{asked}"
        case PreVoteResponse() | VoteResponse():
            return f"{type(message).__name__} {'granted' if message.granted else 'denied'}"
        case Append():
            terms = " ".join(str(term) for term, _ in message.entries or []) or "nothing"
            return f"Append after {message.prev_index}/{message.prev_term}: {terms}, commit {message.commit_index}"
        case AppendResponse() if message.success:
            return f"AppendResponse matches through {message.match_index}"
        case AppendResponse() if message.match_index:
            hint = f"at most {message.hint_index}/{message.hint_term}, surely {message.match_index}"
            return f"AppendResponse no {message.rejected_index}, {hint}"
        case AppendResponse():
            return f"AppendResponse no {message.rejected_index}, at most {message.hint_index}/{message.hint_term}"
        case Heartbeat():
            purpose = f"round {message.round}" if message.round else "notice"
            return f"Heartbeat {purpose}, commit {message.commit_index}, sent through {message.sent_through}"
        case HeartbeatResponse():
            said = [word for word in ("lost", "probation") if getattr(message, word)]
            return ", ".join([f"HeartbeatResponse round {message.round}", *said])
        case Install():
            what = f"snapshot {message.snapshot_index}/{message.snapshot_term} from {message.from_index}"
            return f"Install {what}, part {message.position} of {message.snapshot_bytes + message.entry_bytes}"
        case InstallResponse():
            wanted = "send it from 0" if message.restart else f"has parts before {message.position}"
            return f"InstallResponse snapshot {message.snapshot_index} from {message.from_index}, {wanted}"
        case TimeoutNow() | Join() | ProbationQuery():
            return type(message).__name__
        case ProbationAnswer():
            return f"ProbationAnswer {message.index}"
    raise AssertionError(f"no words for {message}")
