"""The machines that come with Ocelog."""

from __future__ import annotations

from collections.abc import Iterable

from .barrier import BarrierMachine
from .base import StateMachine
from .counter import CounterMachine
from .election import ElectionMachine
from .group import GroupMachine
from .installed import Machines
from .latch import LatchMachine
from .lock import LockMachine
from .map import MapMachine
from .multimap import MultimapMachine
from .queue import QueueMachine
from .read_write_lock import ReadWriteLockMachine
from .semaphore import SemaphoreMachine
from .set import SetMachine
from .set_partitioner import SetPartitionerMachine
from .sorted_map import SortedMapMachine
from .sorted_set import SortedSetMachine
from .task_queue import TaskQueueMachine
from .topic import TopicMachine
from .value import ValueMachine

BUILT_IN: tuple[type[StateMachine], ...] = (
    MapMachine,
    BarrierMachine,
    CounterMachine,
    ElectionMachine,
    GroupMachine,
    LatchMachine,
    LockMachine,
    MultimapMachine,
    QueueMachine,
    SetMachine,
    SortedMapMachine,
    SortedSetMachine,
    ReadWriteLockMachine,
    SemaphoreMachine,
    SetPartitionerMachine,
    TaskQueueMachine,
    TopicMachine,
    ValueMachine,
)


def registry(machines: Iterable[type[StateMachine]] = BUILT_IN) -> Machines:
    """Machine classes by type name. Raises ValueError for a missing name or a repeated one."""
    return Machines(machines)
