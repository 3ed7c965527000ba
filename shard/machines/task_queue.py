"""The task queue: opaque bytes that are done at least once, by workers that say so.

    tasks = client.task_queue("mails")
    tasks.submit({"to": "ada"})                 # its id; submit_and_wait waits until it was acknowledged
    with tasks.subscribe() as worker:
        for task in worker:
            task.ack()                          # or task.fail("why"), or task.give_back()
    tasks.stats()

A worker is a name that is unique in its session, and has at most as many tasks under way as it said. Workers with room get
tasks in turn. What is under way is of that worker until it acknowledges it, fails it or gives it back; when the worker or
its session ends its tasks go back, and a task that goes back goes where its index says: to the head, in order. `attempt`
counts how often a task was handed out; a worker names it, so that who lost a task and got it again cannot mix the two up.

RELEASE: submit and submit_and_wait live in their own entries, one task each, until it is acknowledged or failed. Restoring
them in index order is right because that is the order of the tasks (`Arrivals`); `restored` takes out those that the snapshot
says are under way. Who waits for a task does so for a limited time; that timer is the entry's own, and armed again with it.

SNAPSHOT: everything else, since it comes from more than one entry: workers, whose turn it is, what is under way where, attempts,
who waits for which task, and the counts. ack and fail release the entry of the task.

A worker gets an event `change` with ["task", worker, None, [index, attempt, task]] for each task that is handed to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from .arrivals import Arrivals
from .base import RELEASE, SNAPSHOT, Commit, StateMachine, command, query
from .by_session import BySession
from .waiting import ANSWER, Waiter, Waiters, checked_wait, tell_deleted

CAPACITY_MAX = 1000
"""Tasks that one worker may have under way."""

WorkerKey = tuple[int, bytes]
"""A worker's session and its name there."""


class Held(NamedTuple):
    """A task that is under way at a worker."""

    worker: WorkerKey
    task: bytes


class TaskQueueMachine(StateMachine):
    """Keeps tasks as `pending` or `under_way`, and `workers`: their capacity and what they have. `ready` have room, in turn."""

    type_name: ClassVar[str] = "task_queue"

    def __init__(self) -> None:
        super().__init__()
        self.waiters = Waiters()
        self.pending = Arrivals()
        self.under_way: dict[int, Held] = {}
        self.attempts: dict[int, int] = {}
        self.capacities: dict[WorkerKey, int] = {}
        self.held: dict[WorkerKey, dict[int, None]] = {}
        self.ready: OrderedDict[WorkerKey, None] = OrderedDict()
        self.sessions: BySession[bytes, None] = BySession()
        self.awaited: dict[int, tuple[int, int]] = {}
        self.acknowledged = 0
        self.failed = 0
        self._installed: list[Any] = []

    # -- submitting ------------------------------------------------------------------------------------

    @command(mode=RELEASE)
    def submit(self, commit: Commit, task: bytes) -> int:
        """Add a task behind all others; its index."""
        if type(task) is not bytes:
            raise TypeError(f"a task is bytes, not {task!r:.60}")
        self.pending[commit.index] = task
        self._hand_out()
        return commit.index

    @command(mode=RELEASE)
    def submit_and_wait(self, commit: Commit, number: int, wait_ms: int | None, task: bytes) -> list[Any] | None:
        """Add a task; the answer is [True, None] when it was acknowledged, [False, why] when it failed, None when it is late."""
        if type(task) is not bytes:
            raise TypeError(f"a task is bytes, not {task!r:.60}")
        if checked_wait(wait_ms) != 0:
            self.waiters.add(Waiter(commit.session, number, commit.index))
            self.awaited[commit.index] = (commit.session, number)
            self._arm(commit, wait_ms)
        self.pending[commit.index] = task
        self._hand_out()
        return None if wait_ms != 0 else [None]

    @submit.restore
    def _restore(self, commit: Commit, task: bytes) -> None:
        self.pending[commit.index] = task

    @submit_and_wait.restore
    def _restore_awaited(self, commit: Commit, number: int, wait_ms: int | None, task: bytes) -> None:
        self.pending[commit.index] = task
        if wait_ms != 0:
            self._arm(commit, wait_ms)

    def _arm(self, commit: Commit, wait_ms: int | None) -> None:
        # The timer belongs to the entry: it is gone when the task is, so none piles up.
        if wait_ms is not None:
            self.schedule(commit.time + wait_ms, "give_up", commit.index)

    def give_up(self, commit: Commit, index: int) -> None:
        """The task was not done in time for its submitter; it stays."""
        awaiting = self.awaited.pop(index, None)
        if awaiting is not None:
            self.waiters.remove(*awaiting)
            self.publish(awaiting[0], ANSWER, [awaiting[1], None])

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> bool:
        """The submitter waits no more, if it did; the task stays."""
        waiter = self.waiters.remove(commit.session, number)
        if waiter is None:
            return False
        del self.awaited[waiter.index]
        return True

    # -- workers ---------------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def subscribe(self, commit: Commit, worker: bytes, capacity: int) -> None:
        """A worker of this session takes tasks, at most so many at once; said again, it is another capacity."""
        _check_worker(worker, capacity)
        key = (commit.session, worker)
        if key not in self.capacities:
            self.held[key] = {}
            self.sessions.put(commit.session, worker, None)
        self.capacities[key] = capacity
        self._set_ready(key)
        self._hand_out()

    @command(mode=SNAPSHOT)
    def unsubscribe(self, commit: Commit, worker: bytes) -> bool:
        """A worker takes no more tasks, and what it has under way goes back; whether there was one."""
        if type(worker) is not bytes:
            raise TypeError(f"a worker is called by bytes, not {worker!r:.60}")
        if (commit.session, worker) not in self.capacities:
            return False
        self._drop_worker((commit.session, worker))
        self._hand_out()
        return True

    @command(mode=SNAPSHOT)
    def ack(self, commit: Commit, index: int, attempt: int) -> bool:
        """A task is done; False when it is not, or no more, this session's at this attempt, and nothing was changed."""
        if not self._is_held(commit, index, attempt):
            return False
        self.acknowledged += 1
        self._finish(index, [True, None])
        return True

    @command(mode=SNAPSHOT)
    def fail(self, commit: Commit, index: int, attempt: int, why: str) -> bool:
        """A task cannot be done and is given up, for this reason; False as with `ack`."""
        if not self._is_held(commit, index, attempt):
            return False
        self.failed += 1
        self._finish(index, [False, why])
        return True

    @command(mode=SNAPSHOT)
    def give_back(self, commit: Commit, index: int, attempt: int) -> bool:
        """A task goes back to the head, for whoever is next; False as with `ack`."""
        if not self._is_held(commit, index, attempt):
            return False
        held = self._take_back(index)
        self.pending.put_back(index, held.task)
        self._set_ready(held.worker)
        self._hand_out()
        return True

    def _is_held(self, commit: Commit, index: int, attempt: int) -> bool:
        held = self.under_way.get(index)
        return held is not None and held.worker[0] == commit.session and self.attempts[index] == attempt

    def _finish(self, index: int, result: list[Any]) -> None:
        worker = self._take_back(index).worker
        del self.attempts[index]
        self.release(index)
        awaiting = self.awaited.pop(index, None)
        if awaiting is not None:
            self.waiters.remove(*awaiting)
            self.publish(awaiting[0], ANSWER, [awaiting[1], result])
        self._set_ready(worker)
        self._hand_out()

    def _take_back(self, index: int) -> Held:
        held = self.under_way.pop(index)
        del self.held[held.worker][index]
        return held

    def _set_ready(self, worker: WorkerKey) -> None:
        """Whether the worker has room; one that had some keeps its turn."""
        if len(self.held[worker]) < self.capacities[worker]:
            self.ready.setdefault(worker)
        else:
            self.ready.pop(worker, None)

    def _drop_worker(self, worker: WorkerKey) -> None:
        for index in list(self.held[worker]):
            self.pending.put_back(index, self._take_back(index).task)
        del self.held[worker], self.capacities[worker]
        self.sessions.drop(*worker)
        self.ready.pop(worker, None)

    def _hand_out(self) -> None:
        while self.pending and self.ready:
            worker, _ = self.ready.popitem(last=False)
            index, task = self.pending.take_first()
            attempt = self.attempts[index] = self.attempts.get(index, 0) + 1
            self._hold(index, Held(worker, task))
            self._set_ready(worker)
            self.publish(worker[0], "change", ["task", worker[1], None, [index, attempt, task]])

    def _hold(self, index: int, held: Held) -> None:
        self.under_way[index] = held
        self.held[held.worker][index] = None

    # -- sessions --------------------------------------------------------------------------------------

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended works and waits no more; what its workers had under way goes back."""
        for waiter in self.waiters.end(commit.session):
            del self.awaited[waiter.index]
        for worker in list(self.sessions.get(commit.session, ())):
            self._drop_worker((commit.session, worker))
        self._hand_out()

    session_expired = session_closed

    def watches(self, session: int) -> bool:
        """Only who works or waits leaves anything behind."""
        return session in self.sessions or session in self.waiters

    def deleted(self, commit: Commit) -> None:
        """Nobody will do what is waited for."""
        tell_deleted(self, self.waiters)

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """Everything but the tasks, which are in their live entries."""
        return [
            [[*worker, capacity] for worker, capacity in self.capacities.items()],
            [list(worker) for worker in self.ready],
            [[index, *held.worker] for index, held in self.under_way.items()],
            [list(pair) for pair in self.attempts.items()],
            self.waiters.state(),
            self.acknowledged,
            self.failed,
        ]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        workers, ready, under_way, attempts, waiters, acknowledged, failed = state
        for session, name, capacity in workers:
            _check_worker(name, capacity)
            self.capacities[_number(session), name] = capacity
            self.held[session, name] = {}
            self.sessions.put(session, name, None)
        for session, name in ready:
            if (session, name) not in self.capacities:
                raise ValueError(f"worker {name!r:.60} of session {session} has its turn and is none")
            self.ready[session, name] = None
        self.attempts = {_number(index): _number(attempt) for index, attempt in attempts}
        self.waiters.install(waiters)
        self.awaited = {waiter.index: (waiter.session, waiter.number) for waiter in self.waiters}
        self.acknowledged, self.failed = _number(acknowledged), _number(failed)
        self._installed = [(_number(index), (session, name)) for index, session, name in under_way]

    def restored(self) -> None:
        """Tasks under way are not pending. Raises ValueError for one that has no live entry or no worker."""
        for index, worker in self._installed:
            if index not in self.pending or index not in self.attempts or worker not in self.held:
                raise ValueError(
                    f"the task of entry {index} is under way at {worker}, and is not live or has no worker"
                )
            self._hold(index, Held(worker, self.pending.pop(index)))
        self._installed = []

    def live_entries(self) -> Iterable[int]:
        """One entry for each task."""
        return [*self.pending, *self.under_way]

    # -- queries ---------------------------------------------------------------------------------------

    @query
    def size(self, commit: Commit) -> int:
        """How many tasks are not done."""
        return len(self.pending) + len(self.under_way)

    @query
    def stats(self, commit: Commit) -> dict[str, int]:
        """Tasks that are pending, under way, acknowledged and failed, and how many workers there are."""
        return {
            "pending": len(self.pending),
            "under_way": len(self.under_way),
            "workers": len(self.capacities),
            "acknowledged": self.acknowledged,
            "failed": self.failed,
        }


def _check_worker(worker: Any, capacity: Any) -> None:
    if type(worker) is not bytes:
        raise TypeError(f"a worker is called by bytes, not {worker!r:.60}")
    if type(capacity) is not int or not 1 <= capacity <= CAPACITY_MAX:
        raise ValueError(f"a worker has from 1 to {CAPACITY_MAX} tasks under way, not {capacity!r:.60}")


def _number(number: Any) -> int:
    if type(number) is not int:
        raise TypeError(f"an integer, not {number!r:.60}")
    return number
