"""One simulated process of a replica: an inbox, turns, ticks, one persist job at a time, and every way it can stop.

It does what `shard/server.py` and `shard/assembly.py` do, with a simulated disk, clock and network, around the production
`Replica`. It decides nothing about Raft.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from ocelog.client.protocol import frames
from ocelog.client.protocol.limits import Limits
from ocelog.log.directory import open_or_renew
from ocelog.log.errors import Corruption, NoSpace
from ocelog.log.identity import Identity
from ocelog.log.log import Log, LogConfig
from ocelog.log.meta import Meta
from ocelog.log.renewal import DAMAGED, MARKER, in_probation, mark_damaged
from ocelog.shard import peers
from ocelog.shard.errors import StateMismatch
from ocelog.shard.persist import PersistJob
from ocelog.shard.raft.config import RaftConfig
from ocelog.shard.raft.membership import ACTIVE, Configuration
from ocelog.shard.raft.messages import LEADER, Append, Install, Message
from ocelog.shard.replica import Replica
from ocelog.shard.turn import Turn

from .compactor import SimCompactor
from .disk import SimDisk
from .disk_work import Killed, cut_after
from .jobs import Jobs
from .leases import machines
from .network import Frames, Network, host_name
from .rot import Damage, damage_something
from .scheduler import MS, SECOND, Scheduler
from .swarm import Plan

CLUSTER_ID = "00112233445566778899aabbccddeeff"
DIRECTORY = "data/shard-0/replica"
WITNESS = "data/members/replica"
NOTICE_DELAY = 2 * MS
"""As in the server: a new commit index may wait so long for something to travel with."""
WALL_START_MS = 1_700_000_000_000


class Host:
    """Member `member` of the shard and its machine; `replica` is None while the process is down.

    `on_turn(host, turn)` is called after every turn, `on_start(host)` after every start, `on_stop(host)` after every end,
    `on_durable(host, job)` when a persist job has run, before the replica knows, `on_wipe(host)` when the files
    are lost. `changed_from` is the lowest index that a turn may have rewritten above the dense index. `counts` is what
    happened, by name; `configuration` the one that the replica went by last.
    """

    def __init__(self, member: int, plan: Plan, scheduler: Scheduler, network: Network, disk_bytes: int) -> None:
        self.member = member
        self.plan = plan
        self.scheduler = scheduler
        self.network = network
        self.disk_bytes = disk_bytes
        self.disk = SimDisk(Random(scheduler.rng.getrandbits(32)), capacity=disk_bytes)
        self.name = host_name(member)
        self.replica: Replica | None = None
        self.life = 0
        self.counts: Counter[str] = Counter()
        self.configuration = Configuration.bootstrap(range(plan.members))
        self.paused_until = 0
        self._lost = False
        self._damage: list[Damage] = []
        self._change: Callable[[Replica], bytes | None] | None = None
        self.changed_from = 1
        self.sync_slowdown = 0
        self.wall_offset_ms = scheduler.between(-5000, 5000)
        self.clock_rate = 1.0 + plan.clock_drift * (2 * scheduler.rng.random() - 1)
        self.on_turn: list[Callable[[Host, Turn], None]] = []
        self.on_start: list[Callable[[Host], None]] = []
        self.on_stop: list[Callable[[Host], None]] = []
        self.on_durable: list[Callable[[Host, PersistJob], None]] = []
        self.on_wipe: list[Callable[[Host], None]] = []
        self.compactor = SimCompactor(plan, scheduler, self.disk)
        self._identity = peers.PeerIdentity(cluster_id=CLUSTER_ID, shard=0, member=member, incarnation=1)
        self._peers: list[Frames] = []
        self._bundles: list[tuple[str, Frames]] = []
        self._gone: list[int] = []
        self._dead: list[int] = []
        self.jobs = self._new_jobs()
        self._next_tick = 0
        self._turn_at: int | None = None
        network.attach(self.name, self._receive)

    # -- life and death ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the directory as a restarted process does, and take the first turn soon; nothing if it runs."""
        if self.replica is not None:
            return
        plan = self.plan
        try:
            identity, meta, log, probation = self._open()
        except (Killed, NoSpace) as reason:
            self.scheduler.note(f"{self.name} does not start: {reason}")
            if isinstance(reason, Killed) and self.scheduler.chance(plan.power_loss):
                self._lose_power()
            self.scheduler.after(SECOND // 2, self.start)
            return
        self._lost = False
        if identity.incarnation > self.member_incarnation:
            self._tell_wiped()
        self._identity = replace(self._identity, incarnation=identity.incarnation)
        self.replica = Replica(
            shard=0,
            member=self.member,
            voters=range(plan.members),
            log=log,
            meta=meta,
            raft_config=RaftConfig(
                heartbeat_ticks=plan.heartbeat_ticks,
                election_ticks=plan.election_ticks,
                append_bytes_max=plan.append_bytes_max,
                inflight_messages_max=plan.inflight_messages_max,
                inflight_bytes_max=4 * plan.append_bytes_max,
            ),
            limits=Limits(in_flight_max=plan.in_flight_max, operations_max=8, operation_bytes_max=400),
            machines=machines(),
            rng=Random(self.scheduler.rng.getrandbits(32)),
            tick_ms=plan.tick // MS,
            compaction=plan.compaction,
            incarnation=identity.incarnation,
            probation=probation,
        )
        self.jobs = self._new_jobs()
        self.life += 1
        self.counts["starts"] += 1
        self.changed_from = 1
        self._next_tick = self.scheduler.now + self.scheduler.between(0, plan.tick)
        for callback in self.on_start:
            callback(self)
        self.scheduler.note(f"{self.name} starts, S is {log.snapshot_index}, the log ends at {log.last_index}")
        self._wake(0)
        self._wait_for_tick()

    def _open(self) -> tuple[Identity, Meta, Log, bool]:
        """What `assembly.open_replica` does before it binds sockets. Raises Killed, NoSpace, Corruption."""
        plan = self.plan
        operations = self.scheduler.between(0, 8) if self.scheduler.chance(plan.start_crash) else -1
        with cut_after(self.disk, operations):
            return open_or_renew(
                self.disk,
                DIRECTORY,
                expected=Identity(cluster_id=CLUSTER_ID, shard=0, member=self.member, incarnation=1),
                config=LogConfig(
                    segment_bytes_max=plan.segment_bytes_max, segment_entries_max=plan.segment_entries_max
                ),
                witness=WITNESS,
                # What nobody damaged must not be found damaged: then this is a failure of the run.
                alone=plan.members == 1 or not (self._lost or self._damage),
            )

    def _new_jobs(self) -> Jobs:
        return Jobs(
            self.plan,
            self.scheduler,
            self.disk,
            self.compactor,
            wake=lambda: self._wake(0),
            on_durable=self._durable,
            no_space=self._stop_for_space,
        )

    def _durable(self, job: PersistJob) -> None:
        for callback in self.on_durable:
            callback(self, job)

    def kill(self, *, power_loss: bool, operations: int | None = None) -> None:
        """Stop the process at once, in the middle of whatever it is making durable; power loss also loses pages.

        `operations` is how many of the disk's operations are still carried out, if that is not left to chance.
        """
        if self.replica is None:
            return
        self.scheduler.note(f"{self.name} is killed{', power lost' if power_loss else ''}")
        self.jobs.cut_off(operations)
        if power_loss:
            self._lose_power()
        self.replica = None
        self.life += 1
        self._peers, self._bundles, self._gone, self._dead = [], [], [], []
        self._turn_at = None
        self.paused_until = 0
        for callback in self.on_stop:
            callback(self)

    def _lose_power(self) -> None:
        self.compactor.cut_off()
        self.disk.crash()

    @property
    def leads(self) -> bool:
        """Whether it believes to be the leader."""
        return self.replica is not None and self.replica.core.role is LEADER

    @property
    def member_incarnation(self) -> int:
        """Which incarnation of the member this is."""
        return self._identity.incarnation

    def ask_change(self, proposed: Callable[[Replica], bytes | None]) -> None:
        """Have the leader log a change of the configuration with its next turn; `proposed` gives the entry's payload."""
        self._change = proposed
        self._wake(0)

    def votes_in(self, configuration: Configuration) -> bool:
        """Whether this member, as it is now, is one of the voters and may vote."""
        return configuration.role_of(self.member, self.member_incarnation) is ACTIVE and not self.recovering

    def counts_in(self, configuration: Configuration) -> bool:
        """Whether, in addition, its files are sound, so that it will go on voting."""
        return self.sound and self.votes_in(configuration)

    @property
    def recovering(self) -> bool:
        """Whether the files are lost, or come back and not yet caught up."""
        begun = any(self.disk.exists(f"{DIRECTORY}/{name}") for name in (DAMAGED, MARKER))
        return begun or not self.disk.exists(f"{DIRECTORY}/identity") or in_probation(self.disk, DIRECTORY)

    def wipe(self) -> None:
        """Lose every file of the directory; the note elsewhere that this member has run remains."""
        self.kill(power_loss=False)
        self.compactor.cut_off()
        self.disk.remove_tree(DIRECTORY)
        self._lost = True
        self.counts["wipes"] += 1
        self._tell_wiped()

    def _tell_wiped(self) -> None:
        for callback in self.on_wipe:
            callback(self)

    def rot(self) -> None:
        """One byte of one of the files changes."""
        applied_index = None if self.replica is None else self.replica.executor.applied_index
        damage = damage_something(self.disk, DIRECTORY, self.scheduler.rng, applied_index=applied_index)
        if damage is not None:
            self.note_rot(damage)

    def note_rot(self, damage: Damage) -> None:
        """A byte has changed."""
        self.scheduler.note(f"{self.name}: byte {damage.offset} of {damage.path} rots")
        self.counts["rotten bytes"] += 1
        self._damage.append(damage)

    @property
    def sound(self) -> bool:
        """Whether none of its files is damaged, known or not."""
        self._damage = [damage for damage in self._damage if damage.lasts(self.disk)]
        return not self._damage

    def pause(self, duration: int) -> None:
        """Stop taking turns for a while, as with SIGSTOP; what arrives waits. The disk goes on."""
        if self.replica is not None:
            self.scheduler.note(f"{self.name} is paused for {duration // MS} ms")
            self.paused_until = self.scheduler.now + duration
            self._wake(duration)

    # -- the loop ------------------------------------------------------------------------------------

    def _receive(self, source: str, frames_in: Frames) -> None:
        if self.replica is None:
            return
        if source.startswith("replica"):
            self._peers.append(frames_in)
        else:
            self._bundles.append((source, frames_in))
        self._wake(self.scheduler.between(0, 200))

    def peer_gone(self, member: int) -> None:
        """The connection to another member closes."""
        if self.replica is not None:
            self._gone.append(member)
            self._wake(0)

    def peer_died(self, member: int) -> None:
        """The process of another member is known to have ended."""
        if self.replica is not None:
            self._dead.append(member)
            self._wake(0)

    def _wake(self, delay: int) -> None:
        """Take a turn in `delay`, unless one is due before that."""
        at = self.scheduler.now + delay
        if self._turn_at is None or at < self._turn_at:
            self._turn_at = at
            self.scheduler.after(delay, self._turn, self.life, at)

    def _wait_for_tick(self) -> None:
        self.scheduler.after(self._next_tick - self.scheduler.now, self._tick_due, self.life)

    def _tick_due(self, life: int) -> None:
        if life == self.life:
            self._wake(0)

    def _turn(self, life: int, at: int) -> None:
        if life != self.life or self.replica is None or at != self._turn_at:
            return
        self._turn_at = None
        if self.scheduler.now < self.paused_until:
            self._wake(self.paused_until - self.scheduler.now)
            return
        replica = self.replica
        try:
            turn = self._run_replica(replica)
        except (Corruption, StateMismatch) as damage:
            self._stop_for_damage(damage)
            return
        for callback in self.on_turn:
            callback(self, turn)
        self.changed_from = replica.log.last_index + 1
        self.configuration = replica.core.configuration
        self._send(turn)
        if turn.unfinished:
            self._wake(self.scheduler.between(0, 100))
        elif turn.owes_notice:
            self._wake(NOTICE_DELAY)

    def _run_replica(self, replica: Replica) -> Turn:
        busy = bool(self.jobs.waiting or self._peers or self._bundles or self._gone)
        if busy or self._dead:
            self._drain(replica)
        if self.scheduler.now >= self._next_tick:
            replica.tick()
            self._next_tick = self.scheduler.now + int(self.plan.tick / self.clock_rate)
            self._wait_for_tick()
        change, self._change = self._change, None
        # A leader with a change of its own to make has to make that one first.
        if change is not None and self.leads and replica.leadership is not None and replica.core.due_change() is None:
            payload = change(replica)
            if payload is not None:
                replica.leadership.add_configuration(payload)
        monotonic_ms = self._monotonic_ms()
        return replica.step(monotonic_ms, self.wall_ms(), notify=not busy, lease_clock_ms=monotonic_ms)

    def _stop_for_space(self) -> None:
        """What the process does when it cannot go on without room: it exits, and its supervisor starts it again."""
        self.kill(power_loss=False)
        self.scheduler.after(SECOND, self.start)

    def _stop_for_damage(self, damage: Corruption | StateMismatch) -> None:
        """What the process does when it finds that its files are damaged; the next start begins again without them."""
        if not self._damage or self.plan.members == 1:
            raise damage
        self.counts["stops for damage"] += 1
        self.scheduler.note(f"{self.name} stops: {damage}")
        self.kill(power_loss=False)
        if isinstance(damage, Corruption):
            mark_damaged(self.disk, DIRECTORY, str(damage))
        self.scheduler.after(SECOND, self.start)

    def _drain(self, replica: Replica) -> None:
        self.jobs.deliver(replica)
        arrived, self._peers = self._peers, []
        for each in arrived:
            message = peers.decode(each, self._identity)
            if isinstance(message, Append):
                self.changed_from = min(self.changed_from, message.prev_index + 1)
            replica.receive_peer(message)
        bundles, self._bundles = self._bundles, []
        for router, each in bundles:
            replica.receive_bundle(router.encode(), frames.unpack_bundle(each))
        gone, self._gone = self._gone, []
        for member in gone:
            replica.peer_gone(member)
        dead, self._dead = self._dead, []
        for member in dead:
            replica.peer_died(member)

    def _monotonic_ms(self) -> int:
        return int(self.scheduler.now * self.clock_rate) // MS

    def wall_ms(self) -> int:
        """What this machine believes the time to be, in ms since the epoch."""
        return WALL_START_MS + self.scheduler.now // MS + self.wall_offset_ms

    def _send(self, turn: Turn) -> None:
        for router, items in turn.answers.items():
            self.network.send(self.name, router.decode(), frames.pack_bundle(items))
        for message in turn.messages:
            self._note(message)
            self.network.send(self.name, host_name(message.to), peers.encode(message, self._identity))
        self.jobs.begin(turn)

    def _note(self, message: Message) -> None:
        numbers = ""
        if isinstance(message, Append):
            numbers = f" after {message.prev_index} through {message.last_index}"
        elif isinstance(message, Install):
            numbers = f" of {message.snapshot_index} from {message.from_index} at {message.position}"
            if message.position == 0:
                self.counts["transfers from m" if message.from_index else "transfers from 0"] += 1
        self.scheduler.note(f"{self.name} to {message.to}: {type(message).__name__} term {message.term}{numbers}")
