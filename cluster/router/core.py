"""The router's decisions: which message goes where. No sockets, no clock, no log: values in, values out.

It reads the fixed header of a request and two bytes of an answer, never a body (but for its own status question).
Whoever drives it sets `now`, hands in what was received, calls `tick` once per turn and then takes what is to be sent.

Invariants: a request is either handed to one replica, or refused to its client at once, and never kept; a leader
notice leaves before any answer that was received after the news; what goes to one client or replica keeps its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgpack

from ...client.protocol import errors, frames
from ...client.protocol.admin import BODY_BYTES_MAX
from ...client.protocol.frames import REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES, VERSION, BadFrame, Frame, Item
from ...client.protocol.limits import UNCOPIED_BYTES_MIN
from . import answers
from .admin import NOT_CONNECTED, AdminRounds
from .answers import RETRY_MS, refusal
from .choice import Choice
from .clients import Clients
from .config import RouterConfig
from .gather import Asker, Gathering, merged
from .leaders import Leaders

HELLO_EVERY_S = 1.0
HELLOS_UNANSWERED_MAX = 3
BAD_PEERS_EVERY_S = 10.0
_DENIALS = frozenset((errors.NOT_LEADER, errors.NO_LEADER))
_SPLIT_BYTES_MIN = REQUEST_BYTES + UNCOPIED_BYTES_MIN

ToClient = tuple[bytes, Sequence[Frame]]
"""Identity and frames of one message."""


class Router:
    """One router of one cluster; `members` are numbered `shard * replicas + replica`.

    `now` is the time of the turn in seconds, monotonic; `endpoint` is where clients reach this router; `compactor_of`
    is asked for a status only and tells the process id of the host's compactor, None while it is down.
    """

    def __init__(self, config: RouterConfig, compactor_of: Callable[[], int | None] = lambda: None) -> None:
        self.config = config
        self._compactor_of = compactor_of
        self.now = 0.0
        self.endpoint = config.listen
        self.clients = Clients()
        self.leaders = Leaders(config.shards, config.replicas)
        self.gathering = Gathering()
        self.admin = AdminRounds(config.replicas)
        self.counts = {"bad_messages": 0, "not_sent": 0, "unreachable": 0, "unread": 0}
        self._request_bytes_max = REQUEST_BYTES + config.message_bytes_max
        self._welcome_body = answers.welcome_body(config)
        self._to_clients: list[ToClient] = []
        self._to_replicas: list[list[Item]] = [[] for _ in range(config.members)]
        self._lines: list[str] = []
        self._present = [False] * config.members
        self.choice = Choice(config.replicas, self._present)
        self._unanswered = [0] * config.members
        self._next_hello = 0.0
        self._bad_peers = 0
        self._next_bad_peers = 0.0
        handlers: dict[int, Callable[[bytes, list[Frame]], None]] = {
            frames.HELLO: self._hello,
            frames.STATUS: self._status,
            frames.ADMIN: self._admin,
            frames.REGISTER: self._forward,
            frames.KEEP_ALIVE: self._forward,
            frames.UNREGISTER: self._forward,
            frames.COMMAND: self._forward,
            frames.QUERY: self._query,
        }
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
        session = int.from_bytes(header[16:24], "little")
        member = self.choice.member(shard, session, flags, self.leaders.targets[shard])
        if member is None:
            text = f"no replica of shard {shard} that may answer this is there at the moment"
            self._refuse(identity, header, errors.BEHIND, text, RETRY_MS)
        else:
            self._pass_on(identity, parts, member)

    def _pass_on(self, identity: bytes, parts: list[Frame], member: int) -> None:
        header = parts[0]
        size = len(header) if len(parts) == 1 else _size_of_two(parts)
        if not REQUEST_BYTES <= size <= self._request_bytes_max:
            self._wrong_size(identity, parts, self.config.message_bytes_max)
            return
        if size >= _SPLIT_BYTES_MIN and len(parts) == 1:
            view = memoryview(header)
            parts = [view[:REQUEST_BYTES], view[REQUEST_BYTES:]]
        self._to_replicas[member].append(Item(self.clients.route_of(identity), parts))

    def _hello(self, identity: bytes, parts: list[Frame]) -> None:
        self.clients.route_of(identity)
        self._to_clients.append((identity, answers.answer(frames.WELCOME, _request_id(parts[0]), self._welcome_body)))

    def _status(self, identity: bytes, parts: list[Frame]) -> None:
        if not self.gathering.ask(Asker(identity, _request_id(parts[0]))):
            self._refuse(identity, parts[0], errors.BUSY, "too many ask for the status at once", RETRY_MS)

    def _admin(self, identity: bytes, parts: list[Frame]) -> None:
        header = parts[0]
        size = len(header) if len(parts) == 1 else _size_of_two(parts)
        if not REQUEST_BYTES <= size <= REQUEST_BYTES + BODY_BYTES_MAX:
            self._wrong_size(identity, parts, BODY_BYTES_MAX)
            return
        shard = header[2] | header[3] << 8
        if shard != frames.NO_SHARD and shard >= self.config.shards:
            self._refuse_shard(identity, header, shard)
            return
        body = bytes(parts[1] if len(parts) > 1 else header[REQUEST_BYTES:])
        replicas = self.config.replicas
        shards = range(self.config.shards) if shard == frames.NO_SHARD else (shard,)
        members = [of * replicas + replica for of in shards for replica in range(replicas)]
        round_id = self.admin.begin(Asker(identity, _request_id(header)), members, self.now)
        if round_id is None:
            self._refuse(identity, header, errors.BUSY, "too many ask replicas for something at once", RETRY_MS)
            return
        for member in members:
            if self._present[member]:
                question = answers.ask(frames.ADMIN, member // replicas, round_id, body)
                self._to_replicas[member].append(Item(0, question))
            else:
                self.admin.refuse(member, round_id, NOT_CONNECTED)

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
        self._to_clients.append((identity, refusal(code, text, request=_request_id(header))))

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
        for route, parts in items:
            head = parts[0]
            if len(head) < REPLY_BYTES or head[0] != VERSION:
                self._lines.append(f"{self._name(member)} sent an answer of {len(head)} bytes that cannot be read")
            elif route == 0:
                self._to_router(member, parts)
            else:
                if head[1] == frames.REFUSED and head[4] in _DENIALS:
                    self._learn(member, head)
                identity = identities.get(route)
                if identity is not None:
                    send((identity, parts))

    def _to_router(self, member: int, parts: Sequence[Frame]) -> None:
        head = parts[0]
        if head[1] == frames.LEADER:
            self._learn(member, head)
        elif head[1] == frames.STATUS_REPORT:
            self.gathering.add(member, _request_id(head), _reply_body(parts))
        elif head[1] == frames.ADMIN_REPORT:
            self.admin.add(member, _request_id(head), _reply_body(parts))
        elif head[1] == frames.REFUSED:
            self.admin.refuse(member, _request_id(head), _sentence(parts))

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
        self.gathering.miss(member)
        self.admin.miss(member)
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
                self.gathering.miss(member)
            elif parts[0][1] == frames.ADMIN:
                self.admin.refuse(member, _request_id(parts[0]), text)

    def unread(self, identity: bytes) -> None:
        """The client does not read what it gets: an answer was dropped."""
        self.counts["unread"] += 1

    def unreachable(self, identity: bytes) -> None:
        """The client is not connected any more."""
        self.counts["unreachable"] += 1
        self.clients.forget(identity)

    # -- time ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What is due at `now`. Called once per turn, after everything readable was handed in."""
        if self.now >= self._next_hello:
            self._next_hello = self.now + HELLO_EVERY_S
            self._greet()
            self.clients.age(self.now)
        if self._bad_peers and self.now >= self._next_bad_peers:
            self._next_bad_peers = self.now + BAD_PEERS_EVERY_S
            self._lines.append(f"refused {self._bad_peers} messages that cannot be read")
            self._bad_peers = 0
        self._gather()
        for asker, body in self.admin.finished(self.now):
            self._to_clients.append((asker.identity, answers.answer(frames.ADMIN_REPORT, asker.request, body)))

    def next_tick(self) -> float:
        """When `tick` must be called at the latest."""
        deadlines = (self._next_hello, self.gathering.deadline, self.admin.deadline)
        return min(deadline for deadline in deadlines if deadline is not None)

    def _greet(self) -> None:
        for member in range(self.config.members):
            # Counted in turns that ran: after a pause of this process nobody was asked, so nobody is late.
            if self._unanswered[member] >= HELLOS_UNANSWERED_MAX:
                self._lost(member, f"it left {HELLOS_UNANSWERED_MAX} questions unanswered")
            self._unanswered[member] += 1
            self._ask_hello(member)

    def _ask_hello(self, member: int) -> None:
        shard = member // self.config.replicas
        self._to_replicas[member].append(Item(0, answers.ask(frames.HELLO, shard, 0)))

    def _gather(self) -> None:
        gathering = self.gathering
        askers = gathering.finished(self.now)
        if askers:
            config = self.config
            status = merged(config.cluster_id, self.endpoint, config.shards, config.replicas, gathering.reports)
            status["compactor"] = self._compactor_of()
            body = bytes(msgpack.packb(status))
            for asker in askers:
                self._to_clients.append((asker.identity, answers.answer(frames.STATUS_REPORT, asker.request, body)))
        if gathering.waiting:
            present = {member for member, there in enumerate(self._present) if there}
            gathering.start(present, self.now)
            for member in present:
                shard = member // self.config.replicas
                self._to_replicas[member].append(Item(0, answers.ask(frames.STATUS, shard, gathering.round)))

    # -- what is to be done --------------------------------------------------------------------------

    def take_for_replicas(self) -> list[tuple[int, list[Item]]]:
        """Member and messages, for every member that gets any."""
        taken = [(member, items) for member, items in enumerate(self._to_replicas) if items]
        for member, _ in taken:
            self._to_replicas[member] = []
        return taken

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


def _request_id(header: Frame) -> int:
    """The request's id, at bytes 8 to 16 in every version of the protocol; 0 when the header ends before."""
    return int.from_bytes(header[8:16], "little") if len(header) >= 16 else 0


def _reply_body(parts: Sequence[Frame]) -> Frame:
    return parts[1] if len(parts) > 1 else parts[0][REPLY_BYTES:]


def _sentence(parts: Sequence[Frame]) -> str:
    """What a refusal says, or at least its name."""
    return bytes(_reply_body(parts)).decode("utf-8", "replace") or errors.name_of(parts[0][4])


def _size_of_two(parts: Sequence[Frame]) -> int:
    """Bytes of header and separate body; 0 when these are not the frames of a message."""
    if len(parts) != 2 or len(parts[0]) != REQUEST_BYTES:
        return 0
    return REQUEST_BYTES + len(parts[1])
