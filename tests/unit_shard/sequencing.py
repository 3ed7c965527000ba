"""The rules of sequences under an adversary: abstract Raft between three servers, everything else the real code.

Each server has a real `Executor` and, while it leads, a real `Leadership`; entries are encoded as in the log; clients are
real `ShardSession`s. Elections, replication, the network, full disks, restarts, deadlines and the clock are drawn from one
seed. The network loses, repeats, reorders and keeps messages for late; a server may be cut off from the others and still
be reached by clients, so several may believe that they lead.

A run has a hostile phase and then a kind one: one leader, a fair network, room on every disk. `Violation` names what broke:
at most once, program order, definite failures, own results, fresh queries, equal replicas, expiry only by the log, and in
the end no call, sequence or session that is stuck.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any

from ocelog.client.calls import Call, Outbox, Resource
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.errors import OcelogError, OutcomeUnknown, SessionExpired
from ocelog.client.protocol.limits import Limits
from ocelog.client.session import ShardSession
from ocelog.log.entry import HEADER, RELEASE, SNAPSHOT, UNREGISTER, encode
from ocelog.shard import outbox as shard_outbox
from ocelog.shard.executor import Executor
from ocelog.shard.leadership import NOOP_RECORD, Leadership
from ocelog.shard.machines.base import Commit, StateMachine, command, query
from ocelog.shard.machines.registry import registry
from ocelog.shard.outbox import Origin

START_MS = 1_700_000_000_000
TICK_MS = 250
OWNER: Any = object()
NETWORK_MAX = 40
OPERATIONS = ["do", "keep", "fail", "no such command", "everything"]


class Violation(Exception):
    """A property that does not hold."""


class Recorder(StateMachine):
    """Keeps the numbers it was told, in order; and what is live, for the books on releases."""

    type_name = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[int] = []
        self.live: dict[int, int] = {}

    @command(mode=SNAPSHOT)
    def do(self, commit: Commit, number: int) -> int:
        """Take the number."""
        self.applied.append(number)
        return number

    @command(mode=RELEASE)
    def keep(self, commit: Commit, number: int) -> int:
        """Take the number and stay; the one before goes."""
        for index in self.live:
            self.release(index)
        self.live = {commit.index: number}
        self.applied.append(number)
        return number

    @command(mode=RELEASE)
    def fail(self, commit: Commit, number: int) -> None:
        """Refuse it while it is applied."""
        raise ValueError(f"{number} is refused")

    @query
    def everything(self, commit: Commit) -> list[int]:
        """All numbers."""
        return self.applied

    def snapshot(self) -> Any:
        """The whole state."""
        return self.applied

    def install(self, state: Any) -> None:
        """Take it back."""
        self.applied = state


MACHINES = registry([Recorder])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is like. `expiring`: sessions with little patience, so that some end while their client lives."""

    clients: int = 2
    operations: int = 8
    steps: int = 500
    expiring: bool = False


def term_of(entry: bytes) -> int:
    """The term in an encoded entry's header."""
    return HEADER.unpack_from(entry)[3]  # type: ignore[no-any-return]


class Server:
    """One server: a log that survives restarts, and the state that is built from it."""

    machines = MACHINES
    sessions_max = 10

    def __init__(self, number: int, limits: Limits) -> None:
        self.number = number
        self.limits = limits
        self.term = 0
        self.log: list[bytes] = []
        self.full = False
        self.ticked_ms = 0
        self.restart()

    def restart(self) -> None:
        """The process begins anew: what was not in the log is gone."""
        self.executor = Executor(self.machines)
        self.outbox = shard_outbox.Outbox(0)
        self.leadership: Leadership | None = None
        self.commit = 0
        self.released: list[int] = []
        self.rounds: list[int] = []

    @property
    def end(self) -> tuple[int, int]:
        """Last term and length of the log, by which logs are compared (Raft 5.4.1)."""
        return (term_of(self.log[-1]) if self.log else 0), len(self.log)

    def lead(self, term: int, now_ms: int) -> None:
        """Win the election of this term."""
        self.term = term
        self.leadership = Leadership(
            self.executor,
            self.outbox,
            self.limits,
            tick_ms=TICK_MS,
            sessions_max=self.sessions_max,
            noop_index=len(self.log) + 1,
            results_bytes_max=1 << 20,
        )
        last_time = HEADER.unpack_from(self.log[-1])[7] if self.log else 0
        self.leadership.clock.begin_term(last_time, now_ms)
        self._append([NOOP_RECORD], now_ms)

    def follow(self, term: int) -> None:
        """Lead no more; everyone who waits is told."""
        self.term = term
        self.rounds = []
        if self.leadership is not None:
            self.leadership.step_down()
            self.leadership = None

    def receive(self, client: int, message: Any) -> None:
        """One message of a client."""
        origin = Origin(b"router", client)
        header, body = frames.parse_request(message)
        if self.leadership is not None:
            self.leadership.receive(origin, header, body)
        else:
            first = header.first_sequence
            self.outbox.refuse(
                origin, header.request, header.session, errors.NOT_LEADER, first_sequence=first, retry_after_ms=50
            )

    def turn(self, now_ms: int) -> None:
        """What `Replica.step` does: tick, log what the turn brought, answer what is applied."""
        leadership = self.leadership
        tick = now_ms >= self.ticked_ms + TICK_MS
        if tick:
            self.ticked_ms = now_ms
        if leadership is not None:
            if tick:
                leadership.tick(leadership.clock.time(now_ms, START_MS + now_ms))
            round_id = leadership.reads.next_round()
            if round_id is not None:
                self.rounds.append(round_id)
            if leadership.intake.records and self.full:
                leadership.refused()
            elif leadership.intake.records:
                self._append(leadership.intake.records, now_ms)
                leadership.intake.appended(len(self.log) + 1)
            leadership.settle()
        else:
            self.executor.forget_moved()

    def confirm(self) -> None:
        """A follower has answered: reads that arrived before may run, once an entry of the term is committed."""
        if self.leadership is not None and self.commit >= self.leadership.noop_index:
            rounds, self.rounds = self.rounds, []
            for round_id in rounds:
                self.leadership.confirm(round_id, self.commit)

    def _append(self, records: Any, now_ms: int) -> None:
        assert self.leadership is not None
        time_ms = self.leadership.clock.time(now_ms, START_MS + now_ms)
        data, sizes = encode(len(self.log) + 1, self.term, time_ms, records)
        ends = list(itertools.accumulate(int(size) for size in sizes))
        self.log += [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def apply_next(self) -> None:
        """Apply one entry."""
        self.executor.apply(memoryview(self.log[self.executor.applied_index]), [0])
        self.released += self.executor.take_released()
        self.outbox.index = self.executor.applied_index

    @property
    def recorder(self) -> Recorder | None:
        """The machine, once its resource is open."""
        for resource in self.executor.resources.values():
            assert isinstance(resource.machine, Recorder)
            return resource.machine
        return None

    def fingerprint(self) -> Any:
        """All that must be equal at equal index."""
        sessions = [(s.id, s.key, s.last, s.acknowledged, tuple(s.results.items())) for s in self.executor.sessions]
        recorder = self.recorder
        machine = None if recorder is None else (tuple(recorder.applied), tuple(recorder.live.items()))
        return sessions, machine, tuple(self.released), self.executor.time


class Client:
    """A client's session and what was told of its calls. Numbers of client k are k * 1000 + 1, + 2..."""

    def __init__(self, number: int, random: Random, timeout: float, plan: Plan) -> None:
        self.number = number
        self.outbox = Outbox()
        self.session = ShardSession(0, self.outbox, random, client_id=f"client-{number}", timeout=timeout)
        self.resource = Resource("it", "recorder", 0)
        self.submitted = 0
        self.calls: list[Call] = []
        self.connection = 0
        # One client always writes; another may only read, and so see how far others have come.
        reads_only = number > 0 and random.random() < 0.5
        self.operations = [0, 0, 0, 0, 1] if reads_only else [8, 4, 2, 2, 4]
        self.unsubmitted = 4 * plan.operations if reads_only else plan.operations

    def submit(self, operation: str, number: int, now: float, deadline: float, known: Any = None) -> Call:
        """Submit one call; `known` is what a query's answer must contain."""
        is_query = operation == "everything"
        parts = (operation,) if is_query else (operation, number)
        call = Call(self.resource, parts, is_query, now, deadline, OWNER, (number, known))
        self.calls.append(call)
        self.session.submit(call)
        return call

    def connect(self, now: float) -> None:
        """Connect, or connect again."""
        self.connection += 1
        self.session.connected("tcp://router", self.connection, now)

    def turn(self, now: float) -> None:
        """What the I/O thread does."""
        if now >= self.session.wake_at():
            self.session.tick(now)
        self.session.pump(now)

    @property
    def idle(self) -> bool:
        """Whether nothing is unresolved: no call, and no sequence."""
        flow = self.session.flow
        return all(call.done for call in self.calls) and not flow.queue and not flow.flight.window.pending


class Run:
    """One seed from beginning to end; raises Violation."""

    server = Server
    client = Client

    def __init__(self, seed: int, plan: Plan) -> None:
        self.random = random = Random(seed)
        self.plan = plan
        limits = Limits(
            in_flight_max=random.choice([2, 4, 8]),
            operations_max=random.choice([1, 2, 8]),
            session_timeout_ms_min=100,
        )
        self.servers = [self.server(number, limits) for number in range(3)]
        timeout = 1.0 if plan.expiring else 3000.0
        self.clients: list[Any] = [self.client(number, random, timeout, plan) for number in range(plan.clients)]
        self.now = 0.0
        self.requests: list[tuple[int, Any]] = []
        self.replies: list[tuple[int, Any]] = []
        self.committed: list[bytes] = []
        self.fingerprints: list[Any] = [None]
        self.ended: set[int] = set()
        self.applied: set[int] = set()
        self.definite: set[int] = set()
        self.done_well: set[int] = set()
        self.passed_over: set[int] = set()
        self.cut_off: Server | None = None
        self.unrest = random.choice([0.003, 0.01, 0.04])
        self.loss = random.choice([0.0, 0.1, 0.25])
        for client in self.clients:
            client.connect(0.0)

    @property
    def now_ms(self) -> int:
        """The monotonic clock of all servers."""
        return int(self.now * 1000)

    def run(self) -> None:
        """The hostile phase, then the kind one, then what must hold at the end."""
        for _ in range(self.plan.steps):
            self._step()
        self._settle_down()
        for client in self.clients:
            if not client.idle:
                pending = list(client.session.flow.flight.window.pending)
                raise Violation(f"client {client.number} is stuck with sequences {pending}: {client.calls}")

    # -- Raft ----------------------------------------------------------------------------------------

    def _elect(self, candidate: Server, voters: list[Server]) -> None:
        term = max(voter.term for voter in voters) + 1
        if any(voter.end > candidate.end for voter in voters):
            return
        for voter in voters:
            voter.follow(term)
            self._collect(voter)
        candidate.lead(term, self.now_ms)
        for client in self.clients:
            self.replies.append((client.number, ("leader", term, candidate.number)))

    def _replicate(self, leader: Server, follower: Server, through: int) -> None:
        """Send the log up to `through`; the follower answers, unless one of both is of an older term."""
        if follower.term > leader.term:
            leader.follow(follower.term)
            self._collect(leader)
            return
        if follower.term < leader.term or follower.leadership is not None:
            follower.follow(leader.term)
            self._collect(follower)
        same = 0
        while same < min(through, len(follower.log)) and follower.log[same] == leader.log[same]:
            same += 1
        if same < through:
            assert same >= follower.commit, "the model of Raft is broken: a committed entry would go"
            follower.log = leader.log[:through]
        follower.commit = max(follower.commit, min(leader.commit, through))
        self._advance_commit(leader)
        leader.confirm()

    def _advance_commit(self, leader: Server) -> None:
        for index in range(len(leader.log), leader.commit, -1):
            if term_of(leader.log[index - 1]) != leader.term:
                return
            holders = [s for s in self.servers if s.term == leader.term and s.log[:index] == leader.log[:index]]
            if len(holders) >= 2:
                leader.commit = index
                return

    def _apply(self, server: Server, most: int) -> None:
        """Apply up to so many entries, comparing with what others applied at the same index."""
        while most and server.executor.applied_index < server.commit:
            most -= 1
            server.apply_next()
            index = server.executor.applied_index
            entry, fingerprint = server.log[index - 1], server.fingerprint()
            if index > len(self.committed):
                self._first_applied(entry, server)
                self.committed.append(entry)
                self.fingerprints.append(fingerprint)
            if self.committed[index - 1] != entry:
                raise Violation(f"two entries are committed at index {index}")
            if self.fingerprints[index] != fingerprint:
                raise Violation(f"replicas differ at index {index}: {self.fingerprints[index]} and {fingerprint}")

    def _first_applied(self, entry: bytes, server: Server) -> None:
        _, _, _, _, kind, _, _, _, session, _ = HEADER.unpack_from(entry)
        if kind == UNREGISTER:
            self.ended.add(session)
        applied = server.recorder.applied if server.recorder else []
        if len(set(applied)) != len(applied):
            raise Violation(f"applied twice: {applied}")
        for client in self.clients:
            own = [number for number in applied if number // 1000 == client.number]
            if own != sorted(own):
                raise Violation(f"program order of client {client.number}: {own}")
        self.applied = set(applied)
        if self.definite & self.applied:
            raise Violation(f"definite failures were applied later: {self.definite & self.applied}")
        self._check_passed_over()

    # -- clients -------------------------------------------------------------------------------------

    def _collect(self, server: Server) -> None:
        for items in server.outbox.take().values():
            self.replies += [(route, parts) for route, parts in items]

    def _deliver_reply(self, number: int, message: Any) -> None:
        client = self.clients[number]
        if message[0] == "leader":
            client.session.leader_changed(message[1], message[2], self.now)
        else:
            reply, body = frames.parse_reply(message)
            client.session.receive(reply, body, self.now)
        self._client_turn(client)

    def _client_turn(self, client: Client) -> None:
        client.turn(self.now)
        finished, client.outbox.finished = client.outbox.finished, []
        for item in finished:
            if isinstance(item, Call):
                self._finished(item)
        self.requests += [(client.number, message) for message in client.outbox.messages]
        client.outbox.messages.clear()

    def _finished(self, call: Call) -> None:
        number, known = call.waiter
        applied = self.applied
        if call.error is not None:
            self._failed(call, number, call.error, applied)
        elif call.is_query:
            self._queried(number, known, set(call.result))
        elif call.result != number:
            raise Violation(f"command {number} got the result {call.result}")
        elif number not in applied:
            raise Violation(f"{number} is reported as done and not applied")
        else:
            self.done_well.add(number)

    def _queried(self, number: int, known: frozenset[int], found: set[int]) -> None:
        """A query sees what was done when it was submitted, and all that its client sent before it and that ever is."""
        if not known <= found:
            raise Violation(f"a stale query: {sorted(found)} lacks {known - found}")
        self.passed_over |= set(range(number // 1000 * 1000 + 1, number)) - found
        self._check_passed_over()

    def _check_passed_over(self) -> None:
        if self.passed_over & self.applied:
            raise Violation(f"a query ran before its client's own commands {self.passed_over & self.applied}")

    def _failed(self, call: Call, number: int, error: Exception, applied: set[int]) -> None:
        assert isinstance(error, OcelogError), error
        if isinstance(error, SessionExpired):
            if error.context.get("session") not in self.ended:
                raise Violation(f"told expired, but no entry ended the session: {error}")
        elif isinstance(error, OutcomeUnknown):
            if call.deadline == inf:
                raise Violation(f"unknown, and nobody gave up: {error}")
        elif call.is_query:
            pass
        elif error.definite:
            if number in applied:
                raise Violation(f"a definite failure of {number}, which was applied: {error}")
            self.definite.add(number)

    def _submit(self, client: Client) -> None:
        random = self.random
        for _ in range(min(client.unsubmitted, random.randint(1, 3))):
            client.unsubmitted -= 1
            client.submitted += 1
            number = client.number * 1000 + client.submitted
            deadline = self.now + random.choice([0.05, 0.5, 2.0]) if random.random() < 0.15 else inf
            operation = random.choices(OPERATIONS, client.operations)[0]
            client.submit(operation, number, self.now, deadline, frozenset(self.done_well))

    def _give_up(self, client: Client) -> None:
        open_calls = [call for call in client.calls if not call.done]
        if open_calls:
            client.session.give_up(self.random.choice(open_calls), self.now)

    # -- the hostile phase ---------------------------------------------------------------------------

    def _step(self) -> None:
        random = self.random
        self.now += random.choice([0.0, 0.01, 0.05, 0.3])
        self.requests, self.replies = self.requests[-NETWORK_MAX:], self.replies[-NETWORK_MAX:]
        leaders = [server for server in self.servers if server.leadership is not None]
        joined = [server for server in self.servers if server is not self.cut_off]
        action = random.random()
        if action < self.unrest or not any(leader in joined for leader in leaders):
            candidate, voter = random.sample(joined, 2)
            self._elect(candidate, [candidate, voter])
        elif action < 0.32:
            leader, follower = random.sample(joined, 2)
            if leader.leadership is not None:
                self._replicate(leader, follower, random.choice([len(leader.log), random.randint(0, len(leader.log))]))
        elif action < 0.34:
            self.cut_off = random.choice([None, random.choice(leaders), random.choice(self.servers)])
        elif action < 0.55:
            self._request_arrives(leaders)
        elif action < 0.75:
            self._reply_arrives()
        elif action < 0.79:
            self._submit(random.choice(self.clients))
        elif action < 0.95:
            self._client_turn(random.choice(self.clients))
        elif action < 0.954:
            self._give_up(random.choice(self.clients))
        elif action < 0.96:
            random.choice(self.clients).connect(self.now)
        elif action < 0.985:
            server = random.choice(self.servers)
            server.full = not server.full and random.random() < 0.5
        else:
            server = random.choice(self.servers)
            server.follow(server.term)
            self._collect(server)
            server.restart()
        self._server_turns()

    def _server_turns(self) -> None:
        for server in self.servers:
            if self.random.random() < 0.7:
                self._apply(server, self.random.randint(1, 5))
                server.turn(self.now_ms)
                self._collect(server)

    def _request_arrives(self, leaders: list[Server]) -> None:
        random = self.random
        if not self.requests:
            return
        at = random.randrange(len(self.requests))
        client, message = self.requests[at] if random.random() < 0.25 else self.requests.pop(at)
        if random.random() >= self.loss:
            (random.choice(self.servers) if random.random() < 0.3 else random.choice(leaders)).receive(client, message)

    def _reply_arrives(self) -> None:
        if self.replies:
            client, message = self.replies.pop(self.random.randrange(len(self.replies)))
            if self.random.random() >= self.loss:
                self._deliver_reply(client, message)

    # -- the kind phase ------------------------------------------------------------------------------

    def _settle_down(self) -> None:
        self.cut_off = None
        for server in self.servers:
            server.full = False
        leader = max(self.servers, key=lambda server: (server.end, server.number))
        self._elect(leader, self.servers)
        fill_until = self.random.choice([0, 10])
        for turn in range(150):
            self.now += 0.25
            leader.full = turn < fill_until
            requests, self.requests = self.requests, []
            for client, message in requests:
                leader.receive(client, message)
            leader.turn(self.now_ms)
            for follower in self.servers:
                if follower is not leader:
                    self._replicate(leader, follower, len(leader.log))
            for server in self.servers:
                self._apply(server, len(server.log))
                server.turn(self.now_ms)
                self._collect(server)
            replies, self.replies = self.replies, []
            for number, message in replies:
                self._deliver_reply(number, message)
            for client in self.clients:
                self._submit(client)
                self._client_turn(client)
            if all(client.idle and not client.unsubmitted for client in self.clients):
                return
