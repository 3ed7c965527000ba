"""What people ask of the whole cluster through a router: its status, and maintenance by its replicas.

Pure. Joins the rounds (`gather`, `admin`) with who is asked and who is answered; requests are as checked by `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from ...client.protocol import frames
from ...client.protocol.frames import Frame
from . import answers
from .admin import NOT_CONNECTED, AdminRounds
from .config import RouterConfig
from .gather import Asker, Gathering, merged

ToClient = Callable[[bytes, list[Frame]], None]
ToMember = Callable[[int, list[Frame]], None]


class Questions:
    """The questions under way. `host` tells what the status says beyond replicas; the other two send messages."""

    def __init__(
        self, config: RouterConfig, host: Callable[[], dict[str, Any]], to_client: ToClient, to_member: ToMember
    ) -> None:
        self._config = config
        self._host = host
        self._to_client = to_client
        self._to_member = to_member
        self._gathering = Gathering()
        self._admin = AdminRounds(config.replicas)

    def status(self, identity: bytes, request: int) -> bool:
        """A client wants the status. Returns False when too many do already."""
        return self._gathering.ask(Asker(identity, request))

    def admin(
        self, identity: bytes, request: int, shard: int, body: bytes, present: Sequence[bool], now: float
    ) -> bool:
        """The replicas of a shard, or of all, are to do something. Returns False when too many ask at once."""
        replicas = self._config.replicas
        shards = range(self._config.shards) if shard == frames.NO_SHARD else (shard,)
        members = [of * replicas + replica for of in shards for replica in range(replicas)]
        round_id = self._admin.begin(Asker(identity, request), members, now)
        if round_id is None:
            return False
        for member in members:
            if present[member]:
                self._to_member(member, answers.ask(frames.ADMIN, member // replicas, round_id, body))
            else:
                self._admin.refuse(member, round_id, NOT_CONNECTED)
        return True

    def reported(self, member: int, kind: int, request: int, body: Frame) -> None:
        """A member's STATUS_REPORT or ADMIN_REPORT."""
        if kind == frames.STATUS_REPORT:
            self._gathering.add(member, request, body)
        else:
            self._admin.add(member, request, body)

    def refused(self, member: int, request: int, reason: str) -> None:
        """The member will not do what it was asked, or could not be asked."""
        self._admin.refuse(member, request, reason)

    def unasked(self, member: int) -> None:
        """The member could not be asked for its status."""
        self._gathering.miss(member)

    def miss(self, member: int) -> None:
        """The member cannot be reached any more."""
        self._gathering.miss(member)
        self._admin.miss(member)

    @property
    def deadline(self) -> float:
        """When `tick` has something to do at the latest."""
        deadlines = (self._gathering.deadline, self._admin.deadline)
        return min((deadline for deadline in deadlines if deadline is not None), default=float("inf"))

    def tick(self, present: Sequence[bool], now: float) -> None:
        """Answer what can be answered, or must be by now, and begin the round that is waited for."""
        askers = self._gathering.finished(now)
        if askers:
            config = self._config
            status = merged(config.cluster_id, config.shards, config.replicas, self._gathering.reports)
            body = bytes(msgpack.packb(status | self._host()))
            for asker in askers:
                self._to_client(asker.identity, answers.answer(frames.STATUS_REPORT, asker.request, body))
        if self._gathering.waiting:
            asked = {member for member, there in enumerate(present) if there}
            self._gathering.start(asked, now)
            for member in asked:
                shard = member // self._config.replicas
                self._to_member(member, answers.ask(frames.STATUS, shard, self._gathering.round))
        for asker, body in self._admin.finished(now):
            self._to_client(asker.identity, answers.answer(frames.ADMIN_REPORT, asker.request, body))
