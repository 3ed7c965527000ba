"""A replicated queue of tasks, each of which is done at least once.

    mails = client.task_queue("mails")
    await mails.submit({"to": "ada"})
    async with mails.subscribe() as worker:
        async for task in worker:
            print(task.value)
            await task.ack()

Tasks are whatever msgpack holds, but None, and stay in the log until a worker has acknowledged or failed them. A worker that
is lost loses its tasks: they go back to the head, in order, and to the next worker.
"""

from __future__ import annotations

from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgpack

from ..calls import Resource
from ..protocol.errors import BadArgument, DeadlineExceeded
from ..protocol.values import decode, encode_value
from ..queue_changes import TaskEvent
from ..streams import AsyncEvents
from ..workers import TaskFailed, WorkerListener
from .base import AsyncHandle, Level, Seconds

if TYPE_CHECKING:
    from ..aio import AsyncClient

AT_ONCE_MAX = 1000
"""Tasks that one worker may have under way."""

_numbers = count(1)


class AsyncTask:
    """A task that was handed to a worker: `value`, its `id` in the queue, and the `attempt`, counted from 1.

    Each method answers True when the task was still this worker's, else False: then it has gone back, or to somebody else.
    """

    __slots__ = ("_queue", "attempt", "id", "value")

    def __init__(self, queue: AsyncTaskQueue, id: int, attempt: int, value: Any) -> None:
        self._queue = queue
        self.id = id
        self.attempt = attempt
        self.value = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self._queue.resource.name!r}, attempt {self.attempt}>"

    async def ack(self, *, timeout: Seconds = None) -> bool:
        """It is done, and is forgotten."""
        return await self._queue._finish(("ack", self.id, self.attempt), timeout)

    async def fail(self, reason: str = "", *, timeout: Seconds = None) -> bool:
        """It cannot be done, and is forgotten; who waits for it gets TaskFailed with the reason."""
        return await self._queue._finish(("fail", self.id, self.attempt, str(reason)), timeout)

    async def give_back(self, *, timeout: Seconds = None) -> bool:
        """It goes back to the head of the queue, for whoever is next, this worker too."""
        return await self._queue._finish(("give_back", self.id, self.attempt), timeout)


class AsyncWorker:
    """Takes tasks, one after the other: `async with mails.subscribe() as worker: async for task in worker: ...`.

    When it is closed, what it has not acknowledged goes back to the queue.
    """

    def __init__(self, queue: AsyncTaskQueue, stream: AsyncEvents[TaskEvent]) -> None:
        self._queue = queue
        self._stream = stream

    def _task(self, event: Any) -> AsyncTask:
        id, attempt, payload = event.task
        return AsyncTask(self._queue, id, attempt, decode(payload))

    async def next(self, timeout: Seconds = None) -> AsyncTask:
        """The next task. Raises DeadlineExceeded when none comes in `timeout` seconds, Closed after the end."""
        return self._task(await self._stream.next(timeout))

    def __aiter__(self) -> AsyncWorker:
        return self

    async def __anext__(self) -> AsyncTask:
        return self._task(await self._stream.__anext__())

    def close(self) -> None:
        """Take no more tasks. Closing twice is fine."""
        self._stream.close()

    async def __aenter__(self) -> AsyncWorker:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTaskQueue(AsyncHandle):
    """The task queue of that name. `timeout` is in seconds; None means the client's default.

    Every method raises BadArgument for a task that cannot be encoded, DeadlineExceeded or OutcomeUnknown when the
    timeout passes, SessionExpired, Refused and Closed.
    """

    __slots__ = ()

    async def submit(self, task: Any, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """Add a task at the end, without waiting for it to be done; its id."""
        id: int = await self._command(("submit", encode_value(task)), timeout, consistency)
        return id

    async def submit_and_wait(self, task: Any, *, timeout: Seconds = None) -> None:
        """Add a task, and wait until a worker has acknowledged it, `timeout` seconds, math.inf for ever.

        Raises TaskFailed when a worker gave it up, DeadlineExceeded when it was not done in time: it stays in the queue.
        """
        result = await self._request("submit_and_wait", encode_value(task), wait=timeout)
        if result is None:
            text = "the task was not acknowledged in time; it stays in the queue"
            raise DeadlineExceeded(text, resource=self.resource.name, shard=self.resource.shard)
        acknowledged, reason = result
        if not acknowledged:
            raise TaskFailed(reason, resource=self.resource.name, shard=self.resource.shard)

    def subscribe(self, *, at_once: int = 1, timeout: Seconds = None) -> AsyncWorker:
        """A worker that has at most `at_once` tasks under way, from 1 to 1000.

        `timeout`: its iteration ends when no task comes for so many seconds; None: it goes on until it is closed.
        """
        if type(at_once) is not int or not 1 <= at_once <= AT_ONCE_MAX:
            raise BadArgument(f"at_once is a number of tasks from 1 to {AT_ONCE_MAX}, not {at_once!r:.60}")
        key = msgpack.packb([next(_numbers), at_once])
        return AsyncWorker(self, AsyncTaskEvents(self._client, self.resource, key, timeout))

    async def size(self, *, timeout: Seconds = None, consistency: Level = None) -> int:
        """The number of tasks that are not done."""
        size: int = await self._query(("size",), timeout, consistency)
        return size

    async def stats(self, *, timeout: Seconds = None, consistency: Level = None) -> dict[str, int]:
        """How many tasks are `pending`, `under_way`, were `acknowledged` and `failed`, and how many `workers` there are."""
        stats: dict[str, int] = await self._query(("stats",), timeout, consistency)
        return stats

    async def _finish(self, parts: tuple[Any, ...], timeout: Seconds) -> bool:
        finished: bool = await self._command(parts, timeout, None)
        return finished


class AsyncTaskEvents(AsyncEvents[TaskEvent]):
    """The tasks of one worker, as they come."""

    listener_type = WorkerListener

    def __init__(self, client: AsyncClient, resource: Resource, key: bytes, timeout: Seconds) -> None:
        super().__init__(client, resource, TaskEvent, key, timeout)
