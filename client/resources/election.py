"""A replicated election: candidates in order, the first of which leads, and a term for each leader.

    election = client.election("scheduler")
    async with election.leading("host-1", timeout=30) as term:
        ...                                      # send term.token along, and have what is written to refuse lower ones
    await election.leader()                      # who leads, and its term
    await election.candidates()                  # who follows, in order
    await election.anoint("host-2")              # leads at once

A leader leads until it resigns, is evicted, another one is anointed, or its session ends. It may learn late that it leads no
more: only what checks terms is protected from a leader that has not learnt it yet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..changes import Resync
from ..election_changes import ElectionEvent, ElectionState, Leader, leader_of
from ..grants import Grant, checked_grant
from ..handlers import Subscription
from ..listeners import BUFFER_EVENTS_MAX
from ..protocol.errors import BadArgument, DeadlineExceeded
from ..protocol.values import decode, encode_key
from ..streams import AsyncEvents
from .base import AsyncHandle, Level, Seconds
from .holding import AsyncHeld, Lost

ID_BYTES_MAX = 255
"""Bytes of a candidate's id in UTF-8."""


class AsyncElection(AsyncHandle):
    """The election of that name. `timeout` is in seconds; None means the client's default.

    A candidate is called by an id of its own choice, a str of at most 255 bytes; it belongs to the session of this client, and is
    gone with it. `lead` stands for one term and waits for it; `run` stands until it is withdrawn, and leaves it to events to
    tell who leads.

    `lost(term)` is called once, where callbacks run, when it is known that the term is over though nobody here has ended it:
    the candidate was evicted, another one anointed, the election deleted, or the session has ended. A client that is cut off
    cannot know: its `state` is SUSPENDED then.

    Every method raises BadArgument for what is no id, DeadlineExceeded or OutcomeUnknown when the timeout passes,
    SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    # -- standing and leading --------------------------------------------------------------------------

    async def lead(self, id: str, *, timeout: Seconds = None, lost: Lost = None) -> Grant:
        """Stand, and wait for so many seconds until this candidate leads, with math.inf for ever; `token` is its term.

        It stands for this term only: whoever loses it is no candidate any more. Raises DeadlineExceeded when it was not elected
        in time, Revoked when it was evicted or withdrawn while it waited, ResourceDeleted, and MachineError when there is a
        candidate of that id already. A call that is cancelled or too late leaves no candidate behind.
        """
        answer = await self._request("lead", _encoded(id), wait=timeout, holds=True)
        if answer is None:
            text = f"{id!r} was not elected in time"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        term = Grant(*answer)
        if lost is not None:
            call = partial(self._client.call_back, lost, term)
            self._client.listening.requests.holdings.on_lost(term.number, call)
        return term

    async def resign(self, term: Grant, *, timeout: Seconds = None) -> bool:
        """Lead no more, and be no candidate; False when that term was over already. Raises BadArgument.

        When that takes longer than the timeout, or is cancelled, the client goes on trying until the session ends.
        """
        led: bool = await self._give_back("resign", checked_grant(term).number, timeout)
        return led

    def leading(self, id: str, *, timeout: Seconds = None, lost: Lost = None) -> AsyncHeld:
        """To lead for the time of a block: `async with election.leading("host-1") as term`. Entering raises what `lead` does."""
        return AsyncHeld(partial(self.lead, id, timeout=timeout, lost=lost), self.resign)

    async def run(self, id: str, *, timeout: Seconds = None) -> Leader:
        """Stand until it is withdrawn; who leads at the moment, at once. Said again, it only tells that.

        Raises MachineError when there is a candidate of that id already, of another session or of `lead`.
        """
        leader = leader_of(await self._command(("run", _encoded(id)), timeout, None))
        assert leader is not None
        return leader

    async def withdraw(self, id: str, *, timeout: Seconds = None) -> bool:
        """This client's candidate of that id stands no more; whether there was one. If it led, the next in line does."""
        return await self._about("withdraw", id, timeout)

    # -- what anybody may do with a candidate ----------------------------------------------------------

    async def anoint(self, id: str, *, timeout: Seconds = None) -> bool:
        """A candidate leads at once; False when there is none of that id, or it leads already.

        The old leader is the next in line, if it stands by `run`; one that stood for a term has lost it and stands no more.
        """
        return await self._about("anoint", id, timeout)

    async def promote(self, id: str, *, timeout: Seconds = None) -> bool:
        """A candidate is the next to lead; False when there is none of that id, or it leads or is next already."""
        return await self._about("promote", id, timeout)

    async def demote(self, id: str, *, timeout: Seconds = None) -> bool:
        """A candidate is the last to lead; False when there is none of that id, or it leads or is last already."""
        return await self._about("demote", id, timeout)

    async def evict(self, id: str, *, timeout: Seconds = None) -> bool:
        """A candidate stands no more, whosever it is; whether there was one. If it led, the next in line does."""
        return await self._about("evict", id, timeout)

    # -- who leads and who stands ----------------------------------------------------------------------

    async def leader(self, *, timeout: Seconds = None, consistency: Level = None) -> Leader | None:
        """Who leads, with its term, or None while nobody stands."""
        return leader_of(await self._query(("leader",), timeout, consistency))

    async def candidates(self, *, timeout: Seconds = None, consistency: Level = None) -> list[str]:
        """The ids of all candidates in order: the leader, who leads next, and so on."""
        return [decode(id) for id in await self._query(("all",), timeout, consistency)]

    async def state(self, *, timeout: Seconds = None, consistency: Level = None) -> ElectionState:
        """Who leads and who stands, both of one moment."""
        return ElectionEvent.state_of(None, await self._query(("status",), timeout, consistency))

    async def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of candidates, the leader included."""
        size: int = await self._query(("size",), timeout, consistency)
        return size

    async def on_change(
        self,
        callback: Callable[[ElectionEvent | Resync], Any],
        *,
        timeout: Seconds = None,
    ) -> Subscription:
        """Call `callback(event)` at each change of the leader or the candidates, until the subscription is closed.

        A `Resync` stands for changes that were missed: its state is an `ElectionState`.
        """
        return await self._client.on_change(self.resource, ElectionEvent, None, callback, timeout)

    def events(self, *, timeout: Seconds = None, buffer: int = BUFFER_EVENTS_MAX) -> AsyncEvents[ElectionEvent]:
        """Iterate over the changes of the leader and the candidates: `ElectionEvent`, and `Resync` where some were missed.

        `timeout`: the iteration ends when nothing comes for so many seconds; None: it goes on until it is closed. `buffer`:
        how many events may wait for their consumer before they are dropped and replaced by a Resync.
        """
        return AsyncEvents(self._client, self.resource, ElectionEvent, None, timeout, buffer)

    async def _about(self, operation: str, id: str, timeout: Seconds) -> bool:
        found: bool = await self._command((operation, _encoded(id)), timeout, None)
        return found


def _encoded(id: Any) -> bytes:
    if type(id) is not str or not 0 < len(id.encode("utf-8", "replace")) <= ID_BYTES_MAX:
        raise BadArgument(f"a candidate is called by a str of 1 to {ID_BYTES_MAX} bytes, not {id!r:.60}")
    return encode_key(id)
