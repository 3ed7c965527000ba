"""Deliberate one-line breaks of the machines that people reach for, and of what clients do with resources. See `breaking.py`."""

from __future__ import annotations

from ocelog.client import flow
from ocelog.shard import executor, unasked
from ocelog.shard.machines import lock, queue, task_queue

from .breaking import Edit, Mutant
from .profiles import RESOURCES

LOCKS = {**RESOURCES, "machines": ("lock",)}
QUEUES = {**RESOURCES, "machines": ("queue",), "resource_share": 0.9}
TASKS = {**RESOURCES, "machines": ("task_queue",), "resource_share": 0.9}

RESOURCE_MUTANTS = (
    Mutant(
        "a lock is granted to who came last",
        (
            Edit(
                lock.LockMachine,
                "_next",
                "first = self.waiters.first()",
                "first = next(reversed(list(self.waiters)), None)",
            ),
        ),
        ("MutualExclusion",),
        overrides=LOCKS,
    ),
    Mutant(
        "a grant to who has waited is numbered by the request",
        (Edit(lock.LockMachine, "_next", "first._replace(index=commit.index)", "first"),),
        ("MutualExclusion",),
        overrides=LOCKS,
    ),
    Mutant(
        "who waits gets the lock though somebody holds it",
        (Edit(lock.LockMachine, "lock", "if self.holder is None:", "if self.holder is None or wait is None:"),),
        ("MutualExclusion",),
        overrides=LOCKS,
    ),
    Mutant(
        "a lock whose holder's session has ended stays held",
        (
            Edit(
                lock.LockMachine,
                "session_closed",
                "if self.holder is not None and self.holder.session == commit.session:",
                "if False:",
            ),
        ),
        ("MutualExclusion", "LeavesNothing"),
        overrides=LOCKS,
    ),
    Mutant(
        "what a request that is taken back has got stays with it",
        (Edit(lock.LockMachine, "cancel", "self.unlock(commit, number)", "pass"),),
        ("MutualExclusion", "LeavesNothing"),
        overrides=LOCKS,
    ),
    Mutant(
        "an item that is taken back goes behind all others",
        (Edit(queue.QueueMachine, "cancel", "self.items.put_back(index, item)", "self.items[index] = item"),),
        ("QueueOrder", "RebuildsEqual"),
        overrides=QUEUES,
    ),
    Mutant(
        "the head is given and stays",
        (
            Edit(
                queue.QueueMachine,
                "_give",
                "index, item = self.items.take_first()",
                "index, item = next(iter(self.items.items()))",
            ),
        ),
        ("QueueOrder",),
        overrides=QUEUES,
    ),
    Mutant(
        "an item that has arrived keeps its entry",
        (
            Edit(
                queue.QueueMachine,
                "_conclude",
                "self.release(index)",
                "self.release(index) if index % 3 else None",
            ),
        ),
        ("QueueOrder",),
        overrides=QUEUES,
    ),
    Mutant(
        "a task that its worker has lost may still be acknowledged",
        (Edit(task_queue.TaskQueueMachine, "_is_held", "and self.attempts[index] == attempt", ""),),
        ("NoTaskLost",),
        overrides=TASKS,
        seeds=120,
        quick=False,
    ),
    Mutant(
        "the tasks of a worker whose session has ended are gone",
        (
            Edit(
                task_queue.TaskQueueMachine,
                "_drop_worker",
                "self.pending.put_back(index, self._take_back(index).task)",
                "self._take_back(index), self.release(index)",
            ),
        ),
        ("NoTaskLost",),
        overrides=TASKS,
    ),
    Mutant(
        "a deleted resource keeps its entries",
        (Edit(executor.Executor, "delete", "if live:", "if False:"),),
        ("LiveSetsAgree", "EqualDigests"),
        overrides={**QUEUES, "delete_share": 0.05},
    ),
    Mutant(
        "a deleted resource keeps its timers",
        (Edit(executor.Executor, "delete", "self.timers.drop_resource(resource.index)", "pass"),),
        ("KeyError",),
        overrides={**LOCKS, "delete_share": 0.05},
    ),
    Mutant(
        "a machine is told of a session's end only if it says that it watches nobody",
        (
            Edit(
                unasked.Unasked,
                "ended",
                "and _watches(resource, session_id)",
                "and not _watches(resource, session_id)",
            ),
        ),
        ("EqualStates",),
        overrides=LOCKS,
    ),
    Mutant(
        "what opens a resource anew is overtaken by what waits for it",
        (Edit(flow.Flow, "_run_again", "self._open_first()", "pass"),),
        ("Liveness",),
        overrides={**RESOURCES, "delete_share": 0.05, "in_flight_max": 4},
        seeds=60,
        quick=False,
    ),
)
