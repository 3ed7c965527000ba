"""Deliberate one-line breaks of the machines that people reach for, and of what clients do with resources. See `breaking.py`."""

from __future__ import annotations

from ocelog.client import flow
from ocelog.shard import executor, timers, unasked
from ocelog.shard.machines import (
    candidates,
    group,
    holding,
    lock,
    multimap,
    queue,
    read_write_lock,
    semaphore,
    sorting,
    task_queue,
    value,
)
from ocelog.shard.machines import map as map_machine
from ocelog.shard.machines import set as set_machine

from .breaking import Edit, Mutant
from .profiles import RESOURCES

LOCKS = {**RESOURCES, "machines": ("lock",)}
QUEUES = {**RESOURCES, "machines": ("queue",), "resource_share": 0.9}
TASKS = {**RESOURCES, "machines": ("task_queue",), "resource_share": 0.9}
DELETED = {
    **RESOURCES,
    "machines": ("map", "counter"),
    "resource_share": 0.95,
    "request_share": 0.0,
    "delete_share": 0.1,
    "query_share": 0.5,
    "weak_share": 0.9,
    "listen_share": 0.0,
    "settle_share": 0.0,
    "burst_max": 12,
    "in_flight_max": 4,
}
"""Asked by many at once, and gone again and again."""

RESOURCE_MUTANTS = (
    Mutant(
        "a lock is granted to who came last",
        (
            Edit(
                holding.HoldingMachine,
                "serve",
                "(first := self.waiters.first())",
                "(first := next(reversed(list(self.waiters)), None))",
            ),
        ),
        ("MutualExclusion",),
        overrides=LOCKS,
    ),
    Mutant(
        "a grant to who has waited is numbered by the request",
        (
            Edit(
                holding.HoldingMachine,
                "serve",
                "self._enter(Waiter(first.session, first.number, commit.index,",
                "self._enter(Waiter(first.session, first.number, first.index,",
            ),
        ),
        ("MutualExclusion",),
        overrides=LOCKS,
    ),
    Mutant(
        "a lock has two holders",
        (Edit(lock.LockMachine, "fits", "return not self.holders", "return len(self.holders) < 2"),),
        ("MutualExclusion",),
        overrides=LOCKS,
    ),
    Mutant(
        "a lock whose holder's session has ended stays held",
        (Edit(holding.HoldingMachine, "session_closed", "in self.holders.end(commit.session):", "in ():"),),
        ("MutualExclusion", "LeavesNothing"),
        overrides=LOCKS,
    ),
    Mutant(
        "what a request that is taken back has got stays with it",
        (Edit(holding.HoldingMachine, "cancel", "self.leave(commit, number)", "pass"),),
        ("MutualExclusion", "LeavesNothing"),
        overrides=LOCKS,
    ),
    Mutant(
        "whoever fits passes those who wait",
        (Edit(holding.HoldingMachine, "take", "if not self.waiters and", "if"),),
        ("ReadersOrOneWriter",),
        overrides={**LOCKS, "machines": ("read_write_lock",)},
    ),
    Mutant(
        "readers are let in beside a writer",
        (
            Edit(
                read_write_lock.ReadWriteLockMachine,
                "fits",
                "not (wants or first.wants)",
                "not (wants and first.wants)",
            ),
        ),
        ("ReadersOrOneWriter",),
        overrides={**LOCKS, "machines": ("read_write_lock",)},
    ),
    Mutant(
        "every holder counts for one permit",
        (Edit(semaphore.SemaphoreMachine, "count", "self.held += by * wants", "self.held += by"),),
        ("PermitsSuffice",),
        overrides={**LOCKS, "machines": ("semaphore",)},
    ),
    Mutant(
        "a leader keeps the term of the one before",
        (
            Edit(
                candidates.Candidates,
                "elect",
                "self.leader, self.term = next(iter(self.line)), index",
                "self.leader, self.term = next(iter(self.line)), self.term or index",
            ),
        ),
        ("OneLeaderPerTerm",),
        overrides={**LOCKS, "machines": ("election",)},
    ),
    Mutant(
        "a member is given its latest message first",
        (Edit(group.GroupMachine, "_hand_out", "popitem(last=False)", "popitem()"),),
        ("MessagesInOrder",),
        overrides={**RESOURCES, "machines": ("group",)},
    ),
    Mutant(
        "whoever lost a message may still say that it is handled",
        (Edit(group.GroupMachine, "_handles", "member.under_way.get(index) == attempt", "index in member.under_way"),),
        ("MessagesInOrder",),
        overrides={**RESOURCES, "machines": ("group",), "resource_share": 0.9},
    ),
    Mutant(
        "a map replaces whatever the version is",
        (
            Edit(
                map_machine.MapMachine,
                "_has_version",
                "return held is not None and held[0] == version",
                "return held is not None and held[0] >= version",
            ),
        ),
        ("MapAnswers",),
        overrides={**RESOURCES, "machines": ("map",)},
    ),
    Mutant(
        "a time to live of an overwritten key ends the new one",
        (
            Edit(
                timers.Timers,
                "pop_due",
                "left = self.owners[timer.armed_at] - 1",
                "left = self.owners.get(timer.armed_at, 1) - 1",
            ),
            Edit(timers.Timers, "drop_owned", "count = self.owners.pop(index, 0)", "count = 0"),
        ),
        ("MapAnswers", "EqualStates", "LiveSetsAgree"),
        overrides={**RESOURCES, "machines": ("map",)},
    ),
    Mutant(
        "a set says that what was not there was removed",
        (Edit(set_machine.SetMachine, "remove", "return False", "return True"),),
        ("SetAnswers",),
        overrides={**RESOURCES, "machines": ("set",)},
    ),
    Mutant(
        "a multimap lets go of a key's first value only",
        (Edit(multimap.MultimapMachine, "remove", "for value in values:", "for value in values[:1]:"),),
        ("MultimapAnswers",),
        overrides={**RESOURCES, "machines": ("multimap",)},
    ),
    Mutant(
        "the last of a sorted set is its first",
        (Edit(sorting.Sorted, "poll_last", "descending(_BEHIND_ALL)", "ascending(_FIRST)"),),
        ("SortedSetAnswers",),
        overrides={**RESOURCES, "machines": ("sorted_set",)},
    ),
    Mutant(
        "a range of a sorted map has both its bounds in it",
        (
            Edit(
                sorting.Sorted,
                "remove_range",
                "_span(low, high, low_is_in, high_is_in)",
                "_span(low, high, True, True)",
            ),
        ),
        ("SortedMapAnswers",),
        overrides={**RESOURCES, "machines": ("sorted_map",)},
    ),
    Mutant(
        "a value with a time to live is there for ever",
        (Edit(value.ValueMachine, "_set", "if due:", "if False:"),),
        ("ValueAnswers",),
        overrides={**RESOURCES, "machines": ("value",)},
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
        ("KeyError", "StateMismatch"),
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
        overrides=DELETED,
    ),
)
