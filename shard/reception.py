"""What routers send to a replica: their own hellos and questions, and the messages of clients, for whoever leads.

It knows which routers have said hello, so that each of them is told when leadership changes. It never blocks and
refuses what it cannot take, with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from ..client.protocol import errors, frames
from ..client.protocol.admin import AdminRequest, unpack_admin
from ..client.protocol.frames import BadFrame, Item, Request
from .leadership import Leadership
from .local_reads import LocalReads
from .outbox import Origin, Outbox
from .raft.core import Raft

ROUTING_KINDS = (frames.ROUTES, frames.GONE)


class Reception:
    """Takes bundles of one replica; `status` and `administer` answer for it."""

    def __init__(
        self,
        shard: int,
        core: Raft,
        outbox: Outbox,
        local_reads: LocalReads,
        *,
        status: Callable[[], dict[str, Any]],
        administer: Callable[[AdminRequest], dict[str, Any]],
    ) -> None:
        self.shard = shard
        self.core = core
        self.outbox = outbox
        self.local_reads = local_reads
        self._status = status
        self._administer = administer
        self._routers: set[bytes] = set()
        self._own_kinds: dict[int, Callable[[Origin, Request, memoryview], None]] = {
            frames.HELLO: self._hello,
            frames.STATUS: self._report,
            frames.ADMIN: self._admin,
        }

    def receive(self, router: bytes, items: Sequence[Item], leadership: Leadership | None) -> None:
        """Take the messages that one router sends in one turn; those of clients go to the leader's term, if it is here."""
        for route, parts in items:
            origin = Origin(router, route)
            try:
                header, body = frames.parse_request(parts)
            except BadFrame as error:
                self.outbox.refuse(origin, 0, 0, errors.BAD_MESSAGE, str(error))
                continue
            own = self._own_kinds.get(header.kind)
            if own is not None:
                own(origin, header, body)
            elif header.shard != self.shard:
                text = f"this is shard {self.shard}, the message is for shard {header.shard}"
                self._refuse(origin, header, errors.WRONG_SHARD, text)
            elif header.kind == frames.QUERY and header.level >= frames.SEQUENTIAL:
                self._query(origin, header, body, leadership)
            elif header.kind in ROUTING_KINDS:
                self._routes(origin, header, body, leadership)
            elif leadership is not None:
                leadership.receive(origin, header, body)
            else:
                self._refuse_follower(origin, header)

    def _query(self, origin: Origin, header: Request, body: memoryview, leadership: Leadership | None) -> None:
        """Queries of a level that any replica may answer."""
        if header.level > frames.CAUSAL:
            text = f"consistency level {header.level} is not known here"
            self._refuse(origin, header, errors.BAD_MESSAGE, text)
        elif leadership is not None:
            leadership.hear(origin, header)
            self.local_reads.receive(origin, header, body)
        elif header.flags & frames.TO_LEADER:
            self._refuse_follower(origin, header)
        else:
            self.local_reads.receive(origin, header, body)

    def _refuse_follower(self, origin: Origin, header: Request) -> None:
        code = errors.NO_LEADER if self.core.leader is None else errors.NOT_LEADER
        self._refuse(origin, header, code, retry_after_ms=50)

    def _refuse(self, origin: Origin, header: Request, code: int, text: str = "", retry_after_ms: int = 0) -> None:
        self.outbox.refuse(
            origin,
            header.request,
            header.session,
            code,
            text,
            first_sequence=header.first_sequence,
            retry_after_ms=retry_after_ms,
        )

    def _hello(self, origin: Origin, header: Request, body: memoryview) -> None:
        self._routers.add(origin.router)
        self._tell_leader(origin.router)

    def _routes(self, origin: Origin, header: Request, body: memoryview, leadership: Leadership | None) -> None:
        """Where clients are, as the router itself says; to a replica that does not lead it is no use, and not repeated."""
        if origin.route:
            text = f"a message of kind {header.kind} is for routers to send"
            self._refuse(origin, header, errors.BAD_MESSAGE, text)
        elif leadership is not None:
            try:
                leadership.told_routes(origin.router, header, body)
            except BadFrame as error:
                self._refuse(origin, header, errors.BAD_MESSAGE, str(error))

    def _report(self, origin: Origin, header: Request, body: memoryview) -> None:
        self.outbox.answer(origin, frames.STATUS_REPORT, header.request, 0, msgpack.packb(self._status()))

    def _admin(self, origin: Origin, header: Request, body: memoryview) -> None:
        try:
            request = unpack_admin(body)
        except BadFrame as error:
            self.outbox.refuse(origin, header.request, 0, errors.BAD_MESSAGE, str(error))
            return
        report = msgpack.packb(self._administer(request))
        self.outbox.answer(origin, frames.ADMIN_REPORT, header.request, 0, report)

    def tell_leader(self) -> None:
        """Every router that said hello learns who leads, by the header of an otherwise empty message."""
        for router in sorted(self._routers):
            self._tell_leader(router)

    def _tell_leader(self, router: bytes) -> None:
        self.outbox.answer(Origin(router, 0), frames.LEADER, 0, 0)

    def forget(self, router: bytes) -> None:
        """The router cannot be reached any more."""
        self._routers.discard(router)
