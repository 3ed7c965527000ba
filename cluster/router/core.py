"""The router's decisions: which message goes where. No sockets, no clock, no log: values in, values out.

It reads the fixed header of a request and two bytes of an answer, never a body (but for its own status question).
Whoever drives it sets `now`, hands in what was received, calls `tick` once per turn and then takes what is to be sent.

Invariants: a request is handed to one replica or refused to its client, at once; only a keep-alive waits for company. A
leader notice leaves before any answer received after the news; what goes to one client or replica keeps its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...client.protocol import errors, frames
from ...client.protocol.admin import BODY_BYTES_MAX
from ...client.protocol.frames import REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES, VERSION, BadFrame, Frame, Item
from ...client.protocol.limits import UNCOPIED_BYTES_MIN
from ..run_record import RunRecord
from . import answers
from .answers import RETRY_MS, refusal
from .choice import Choice
from .clients import Clients
from .config import RouterConfig
from .headers import connection_of, reply_body, request_id, sentence, session_of, size_of_two
from .holders import Holders
from .host import Host
from .leaders import Leaders
from .outgoing import Outgoing
from .questions import Questions
from .whereabouts import Whereabouts

HELLO_EVERY_S = 1.0
HELLOS_UNANSWERED_MAX = 3
BAD_PEERS_EVERY_S = 10.0
_FORWARDED = (
    frames.REGISTER,
    frames.KEEP_ALIVE,
    frames.UNREGISTER,
    frames.COMMAND,
    frames.HANDLED,
    frames.SETTLE,
    frames.OUTCOME,
)
_PROOFS = frozenset((frames.REGISTERED, frames.KEPT_ALIVE, frames.RESULTS, frames.ANSWERS))
"""Answers that the leader gave because the client has the session's key."""

_DENIED = frozenset((frames.REFUSED, frames.UNREGISTERED))
_DENIALS = frozenset((errors.NOT_LEADER, errors.NO_LEADER))
_SPLIT_BYTES_MIN = REQUEST_BYTES + UNCOPIED_BYTES_MIN

ToClient = tuple[bytes, Sequence[Frame]]
"""Identity and frames of one message."""


class Router:
    """One router of one cluster; `members` are numbered `shard * replicas + replica`.

    `now` is the time of the turn in seconds, monotonic; `record` tells what the host's supervisor has running, `usage`
    the memory and CPU time of this process; they are asked when somebody greets or wants the status.
    """

    def __init__(
        self,
        config: RouterConfig,
        record: Callable[[], RunRecord | None] = lambda: None,
        usage: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.config = config
        self.host = Host(config, record, usage)
        self.now = 0.0
        self.clients = Clients()
        self.holders = Holders(config.shards)
        self.leaders = Leaders(config.shards, config.replicas)
        self.counts = {"bad_messages": 0, "not_sent": 0, "unreachable": 0, "unread": 0}
        self._request_bytes_max = REQUEST_BYTES + config.message_bytes_max
        self._to_clients: list[ToClient] = []
        self.outgoing = Outgoing(config.members)
        self._lines: list[str] = []
        self.questions = Questions(config, self._status_beyond_replicas, self._to_client, self._to_member)
        self._whereabouts = Whereabouts(self.holders, self.leaders, self._to_member)
        self._present = [False] * config.members
        self.choice = Choice(config.replicas, self._present)
        self._unanswered = [0] * config.members
        self._next_hello = 0.0
        self._bad_peers = 0
        self._next_bad_peers = 0.0
        handlers: dict[int, Callable[[bytes, list[Frame]], None]] = dict.fromkeys(_FORWARDED, self._forward)
        handlers |= {frames.HELLO: self._hello, frames.STATUS: self._status, frames.ADMIN: self._admin}
        handlers[frames.QUERY] = self._query
        self._handlers = [handlers.get(kind, self._unknown_kind) for kind in range(256)]

    # -- from clients --------------------------------------------------------------------------------

    def from_client(self, identity: bytes, parts: list[Frame]) -> None:
        """One message of a client: a header with its body, or followed by it as another frame."""
        header = parts[0]
        if len(header) < REQUEST_BYTES or header[0] != VERSION:
            self._unreadable(identity, header)
        else:
            self._handlers[header[1]](identity, parts)

    def _forward(self, identity: bytes, parts: list[Frame]) -> None:
        header = parts[0]
        shard = header[2] | header[3] << 8
        if shard >= self.config.shards:
            self._refuse_shard(identity, header, shard)
            return
        member = self.leaders.targets[shard]
        if member is None:
            text = f"shard {shard} has no leader at the moment"
            self._refuse(identity, header, errors.NO_LEADER, text, RETRY_MS)
        else:
            self._pass_on(identity, parts, member)

    def _query(self, identity: bytes, parts: list[Frame]) -> None:
        """To the leader, or where the level and the client allow it to any replica: those that follow have less to do."""
        header = parts[0]
        level, flags = header[4], header[5]
        shard = header[2] | header[3] << 8
        if not frames.SEQUENTIAL <= level <= frames.CAUSAL or flags & frames.TO_LEADER or shard >= self.config.shards:
            self._forward(identity, parts)
            return
        session = session_of(header)
        member = self.choice.member(shard, session, flags, self.leaders.targets[shard])
        if member is None:
            text = f"no replica of shard {shard} that may answer this is there at the moment"
            self._refuse(identity, header, errors.BEHIND, text, RETRY_MS)
        else:
            self._pass_on(identity, parts, member)

    def _pass_on(self, identity: bytes, parts: list[Frame], member: int) -> None:
        header = parts[0]
        size = len(header) if len(parts) == 1 else size_of_two(parts)
        if not REQUEST_BYTES <= size <= self._request_bytes_max:
            self._wrong_size(identity, parts, self.config.message_bytes_max)
            return
        if size >= _SPLIT_BYTES_MIN and len(parts) == 1:
            view = memoryview(header)
            parts = [view[:REQUEST_BYTES], view[REQUEST_BYTES:]]
        item = Item(self.clients.route_of(identity), parts)
        if header[1] == frames.KEEP_ALIVE:
            self.outgoing.add_patient(member, item, self.now)
        else:
            self.outgoing.add(member, item)

    def _hello(self, identity: bytes, parts: list[Frame]) -> None:
        self.holders.connected(self.clients.route_of(identity), connection_of(parts[0]))
        body = answers.welcome_body(self.config, self.host.routers)
        self._to_clients.append((identity, answers.answer(frames.WELCOME, request_id(parts[0]), body)))

    def _status(self, identity: bytes, parts: list[Frame]) -> None:
        if not self.questions.status(identity, request_id(parts[0])):
            self._refuse(identity, parts[0], errors.BUSY, "too many ask for the status at once", RETRY_MS)

    def _admin(self, identity: bytes, parts: list[Frame]) -> None:
        header = parts[0]
        size = len(header) if len(parts) == 1 else size_of_two(parts)
        shard = header[2] | header[3] << 8
        if not REQUEST_BYTES <= size <= REQUEST_BYTES + BODY_BYTES_MAX:
            self._wrong_size(identity, parts, BODY_BYTES_MAX)
        elif shard != frames.NO_SHARD and shard >= self.config.shards:
            self._refuse_shard(identity, header, shard)
        else:
            body = bytes(parts[1] if len(parts) > 1 else header[REQUEST_BYTES:])
            if not self.questions.admin(identity, request_id(header), shard, body, self._present, self.now):
                self._refuse(identity, header, errors.BUSY, "too many ask replicas for something at once", RETRY_MS)

    def _unreadable(self, identity: bytes, header: Frame) -> None:
        if len(header) and header[0] != VERSION:
            text = f"protocol version {header[0]} is not known here, {VERSION} is"
            self._bad(identity, header, errors.UNKNOWN_VERSION, text)
        else:
            text = f"a request begins with a header of {REQUEST_BYTES} bytes, this one has {len(header)}"
            self._bad(identity, header, errors.BAD_MESSAGE, text)

    def _unknown_kind(self, identity: bytes, parts: list[Frame]) -> None:
        self._bad(identity, parts[0], errors.BAD_MESSAGE, f"kind 0x{parts[0][1]:02x} is not a request")

    def _wrong_size(self, identity: bytes, parts: list[Frame], body_bytes_max: int) -> None:
        sizes = ", ".join(str(len(part)) for part in parts)
        text = (
            f"a message is a header of {REQUEST_BYTES} bytes and at most {body_bytes_max} of body, "
            f"in one frame or two; this one has {sizes}"
        )
        self._bad(identity, parts[0], errors.BAD_MESSAGE, text)

    def _refuse_shard(self, identity: bytes, header: Frame, shard: int) -> None:
        text = f"shard {shard} is not one of the {self.config.shards} served here"
        self._refuse(identity, header, errors.WRONG_SHARD, text)

    def _bad(self, identity: bytes, header: Frame, code: int, text: str) -> None:
        self.counts["bad_messages"] += 1
        self._bad_peers += 1
        self._to_clients.append((identity, refusal(code, text, request=request_id(header))))

    def _refuse(self, identity: bytes, header: Frame, code: int, text: str, retry_after_ms: int = 0) -> None:
        """Refuse a readable request; the answer says which one, so that its client repeats or gives up just that."""
        request = frames.Request._make(REQUEST.unpack_from(header))
        answer = refusal(
            code,
            text,
            shard=request.shard,
            request=request.request,
            session=request.session,
            first_sequence=request.first_sequence,
            term=self.leaders.terms[request.shard] if request.shard < self.config.shards else 0,
            retry_after_ms=retry_after_ms,
        )
        self._to_clients.append((identity, answer))

    # -- from replicas -------------------------------------------------------------------------------

    def from_replica(self, member: int, message: Sequence[Frame]) -> None:
        """One bundle of a replica: answers to clients, and what it says to the router itself."""
        try:
            items = frames.unpack_bundle(message)
        except BadFrame as error:
            self._lines.append(f"{self._name(member)} sent a bundle that cannot be read: {error}")
            return
        self._unanswered[member] = 0
        if not self._present[member]:
            self._found(member)
        identities = self.clients.identities
        send = self._to_clients.append
        shard = member // self.config.replicas
        holders = self.holders.routes[shard]
        for route, parts in items:
            head = parts[0]
            if len(head) < REPLY_BYTES or head[0] != VERSION:
                self._lines.append(f"{self._name(member)} sent an answer of {len(head)} bytes that cannot be read")
                continue
            if route == 0:
                self._to_router(member, parts)
                continue
            kind, identity = head[1], identities.get(route)
            if kind in _PROOFS:
                session = session_of(head)
                if holders.get(session) != route and identity is not None:
                    self.holders.learn(shard, session, route)
            elif kind in _DENIED:
                self._denied(member, route, head)
            if identity is not None:
                send((identity, parts))
            else:
                self._undeliverable(member, route, head)

    def _denied(self, member: int, route: int, head: Frame) -> None:
        """A client is told that the replica does not lead, or that its session is over."""
        reply = frames.Reply._make(REPLY.unpack_from(head))
        shard = member // self.config.replicas
        if reply.kind == frames.REFUSED and reply.code in _DENIALS:
            self._learn(member, head)
        elif reply.kind == frames.UNREGISTERED or (
            # Whoever has not the key is told the same, and must not make its holder be forgotten.
            reply.code == errors.UNKNOWN_SESSION and self.holders.routes[shard].get(reply.session) == route
        ):
            self.holders.end(shard, reply.session)

    def _undeliverable(self, member: int, route: int, head: Frame) -> None:
        if head[1] == frames.EVENTS:
            self._whereabouts.unknown(member // self.config.replicas, session_of(head), route)

    def _to_router(self, member: int, parts: Sequence[Frame]) -> None:
        head = parts[0]
        if head[1] == frames.LEADER:
            self._learn(member, head)
        elif head[1] in (frames.STATUS_REPORT, frames.ADMIN_REPORT):
            self.questions.reported(member, head[1], request_id(head), reply_body(parts))
        elif head[1] == frames.REFUSED:
            self.questions.refused(member, request_id(head), sentence(parts))

    def _learn(self, member: int, head: Frame) -> None:
        *_, term, leader, _ = REPLY.unpack_from(head)
        if not self.leaders.learn(member, term, leader):
            return
        shard = member // self.config.replicas
        if self.leaders.targets[shard] is None:
            self._lines.append(f"{self._name(member)} leads no more, and no other leader is known")
        else:
            self._lines.append(f"shard {shard}: replica {leader} leads term {term}")
            self._notify(shard, term, leader)
            self._whereabouts.tell(shard)

    def _notify(self, shard: int, term: int, leader: int) -> None:
        notice = answers.leader_notice(shard, term, leader)
        self._to_clients.extend([(identity, notice) for identity in self.clients.everyone()])

    # -- connections ---------------------------------------------------------------------------------

    def connected(self, member: int) -> None:
        """A connection to the member stands: ask at once who leads."""
        self._unanswered[member] = 0
        self._ask_hello(member)

    def disconnected(self, member: int) -> None:
        """The connection to the member broke."""
        self._lost(member, "the connection closed")

    def _found(self, member: int) -> None:
        self._present[member] = True
        self._lines.append(f"{self._name(member)} is there")

    def _lost(self, member: int, why: str) -> None:
        self.questions.miss(member)
        if self._present[member]:
            self._present[member] = False
            self._lines.append(f"{self._name(member)} is lost: {why}")
        if self.leaders.lost(member):
            self._lines.append(f"shard {member // self.config.replicas}: no leader is known")

    def not_sent(self, member: int, items: Sequence[Item]) -> None:
        """Those messages could not be handed over to the member: their clients are told to repeat."""
        text = f"{self._name(member)} does not take messages at the moment"
        for route, parts in items:
            identity = self.clients.identities.get(route)
            if identity is not None:
                self.counts["not_sent"] += 1
                self._refuse(identity, parts[0], errors.NOT_SENT, text, RETRY_MS)
            elif parts[0][1] == frames.STATUS:
                self.questions.unasked(member)
            elif parts[0][1] == frames.ADMIN:
                self.questions.refused(member, request_id(parts[0]), text)
            elif parts[0][1] == frames.ROUTES:
                self._whereabouts.not_sent(member // self.config.replicas)

    def unread(self, identity: bytes) -> None:
        """The client does not read what it gets: an answer was dropped."""
        self.counts["unread"] += 1

    def unreachable(self, identity: bytes) -> None:
        """The client is not connected any more."""
        self.counts["unreachable"] += 1
        self.left(identity)

    def left(self, identity: bytes) -> None:
        """The client's connection broke, or it has answered no heartbeat: the leaders of its sessions are told."""
        self._whereabouts.forget(self.clients.forget(identity))

    # -- time ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What is due at `now`. Called once per turn, after everything readable was handed in."""
        if self.now >= self._next_hello:
            self._next_hello = self.now + HELLO_EVERY_S
            self._greet()
            self.clients.age(self.now)
            for route in self.clients.take_forgotten():
                self._whereabouts.forget(route)
            self._whereabouts.tick()
        if self._bad_peers and self.now >= self._next_bad_peers:
            self._next_bad_peers = self.now + BAD_PEERS_EVERY_S
            self._lines.append(f"refused {self._bad_peers} messages that cannot be read")
            self._bad_peers = 0
        self.questions.tick(self._present, self.now)

    def next_tick(self) -> float:
        """When `tick` must be called at the latest."""
        return min(self._next_hello, self.questions.deadline, self.outgoing.due)

    def _greet(self) -> None:
        for member in range(self.config.members):
            # Counted in turns that ran: after a pause of this process nobody was asked, so nobody is late.
            if self._unanswered[member] >= HELLOS_UNANSWERED_MAX:
                self._lost(member, f"it left {HELLOS_UNANSWERED_MAX} questions unanswered")
            self._unanswered[member] += 1
            self._ask_hello(member)

    def _ask_hello(self, member: int) -> None:
        shard = member // self.config.replicas
        self._to_member(member, answers.ask(frames.HELLO, shard, 0))

    def _status_beyond_replicas(self) -> dict[str, Any]:
        return self.host.status({"clients": len(self.clients), "sessions": len(self.holders), **self.counts})

    # -- what is to be done --------------------------------------------------------------------------

    def _to_client(self, identity: bytes, parts: list[Frame]) -> None:
        self._to_clients.append((identity, parts))

    def _to_member(self, member: int, parts: list[Frame]) -> None:
        self.outgoing.add(member, Item(0, parts))

    def take_for_replicas(self) -> list[tuple[int, list[Item]]]:
        """Member and messages, for every member that gets any."""
        return self.outgoing.take(self.now)

    def take_for_clients(self) -> list[ToClient]:
        """All messages to clients, in order."""
        taken, self._to_clients = self._to_clients, []
        return taken

    def take_lines(self) -> list[str]:
        """What is worth a line in the log."""
        taken, self._lines = self._lines, []
        return taken

    def _name(self, member: int) -> str:
        shard, replica = divmod(member, self.config.replicas)
        return f"replica {replica} of shard {shard}"
