"""A replicated generator of ids: numbers that no two clients are given, ever.

    orders = client.id_generator("orders")
    await orders.next_id()

A client reserves ids in blocks, and fetches the next block before it has used up the last, so that most calls wait for nothing.
It is made of the counter of its name, whose value is the highest id that was reserved.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..calls import Call
from ..ids import Stock
from ..protocol.errors import BadArgument
from .base import Seconds
from .counter import AsyncCounter

if TYPE_CHECKING:
    from ..aio import AsyncClient

BLOCK = 1000
BLOCK_MAX = 1 << 32


class AsyncIdGenerator:
    """The id generator of that name; all handles of one client share what it has reserved."""

    __slots__ = ("_block", "_client", "_counter")

    def __init__(self, client: AsyncClient, counter: AsyncCounter, block: int) -> None:
        if type(block) is not int or not 1 <= block <= BLOCK_MAX:
            raise BadArgument(f"a block has 1 to {BLOCK_MAX} ids, not {block!r:.60}")
        self._client = client
        self._counter = counter
        self._block = block

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._counter.resource.name!r}>"

    async def next_id(self, *, timeout: Seconds = None) -> int:
        """An id that nobody else gets: from 1 on, and above every id of an earlier call of this client.

        Whatever it raises, it may be called again, and no id comes twice: those of a block whose reservation was not heard of are
        skipped. Raises DeadlineExceeded or OutcomeUnknown when the timeout passes, SessionExpired, MachineError when there are
        no ids of 64 bits left, Refused and Closed.
        """
        self._client.check_usable()
        stock, block = self._client.stocks.of(self._counter.resource.name), self._block
        if block == 1:
            number = await self._counter.add(1, timeout=timeout)
            stock.given(number)
            return number
        while (taken := stock.take()) is None:
            last = await self._counter.add(block, timeout=timeout)
            stock.add(last - block + 1, block)
        if stock.begin_refill(block // 2):
            self._client.listening.run(self._counter.resource, ("add", block), partial(_refilled, stock, block))
        return taken


def _refilled(stock: Stock, block: int, call: Call) -> None:
    if call.error is None:
        stock.add(call.result - block + 1, block)
    stock.end_refill()
