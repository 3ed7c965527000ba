"""From one version of a machine to another: a committed step, by which every replica goes on with the other class.

Both versions have to be installed: the older one takes what the log holds up to the step, the newer one what comes after. A
replica that lacks the newer one stops there (MachineMissing). Whether the step is taken follows from the replicated state and
from the two classes, so it is the same everywhere, and what is refused changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..client.protocol import errors
from .errors import CannotSwitch, MachineMissing
from .machines.base import RELEASE, Operation, StateMachine
from .resource import Resource
from .results import encode_error, encode_result

if TYPE_CHECKING:
    from .executor import Executor


def judge(arguments: list[Any], executor: Executor) -> tuple[int, str] | None:
    """Why this switch may not enter the log, or None when it may: what the leader has not it asks of nobody."""
    type_name, version = arguments
    if type(type_name) is not str or type(version) is not int:
        return errors.BAD_OPERATION, "switch takes a type, a string, and a version, an integer"
    versions = executor.machines.versions(type_name)
    if not versions:
        return errors.UNKNOWN_TYPE, f"no machine of type {type_name!r:.60} is installed"
    if version not in versions:
        known = ", ".join(map(str, versions))
        return errors.UNKNOWN_TYPE, f"version {version} of {type_name!r:.60} is not installed here, but {known}"
    return None


def apply(executor: Executor, index: int, type_name: str, version: int) -> bytes:
    """Put that version in force by the entry at `index`; the result, encoded. Raises MachineMissing."""
    kind = executor.machines.find(type_name, version)
    if kind is None:
        raise MachineMissing(type_name, version, executor.machines.versions(type_name), index=index)
    if executor.active.get(type_name) != version:
        resources = [resource for resource in executor.resources.values() if resource.type_name == type_name]
        try:
            machines = [_upgraded(executor, resource, kind) for resource in resources]
        except CannotSwitch as error:
            return encode_error(errors.MACHINE_ERROR, f"CannotSwitch: {error}")
        for resource, machine in zip(resources, machines, strict=True):
            if executor.capture is not None:
                executor.capture.before_resource(resource)
            resource.adopt(machine, version)
        executor.active[type_name] = version
    return encode_result(version)


def _upgraded(executor: Executor, resource: Resource, kind: type[StateMachine]) -> StateMachine:
    """The machine that takes the place of the resource's own. Raises CannotSwitch."""
    _check(executor, resource, kind)
    try:
        machine = kind()
        machine.upgrade(resource.machine)
    except MemoryError:
        raise
    except Exception as error:
        raise CannotSwitch(f"upgrade() of {resource.name!r:.60}: {type(error).__name__}: {error}") from error
    if machine.pending_releases or machine.pending_timers or machine.pending_events:
        raise CannotSwitch(f"upgrade() of {resource.name!r:.60} releases, schedules or publishes")
    return machine


def _check(executor: Executor, resource: Resource, kind: type[StateMachine]) -> None:
    """Whether what is in the log and in the shard fits the other class. Raises CannotSwitch."""
    name, version = f"{resource.name!r:.60}", kind.version
    before, after = resource.operations, kind.operations
    if hasattr(resource.machine, "snapshot") and not hasattr(kind, "snapshot"):
        raise CannotSwitch(f"version {version} has no snapshot, and the state of {name} is in one")
    for operation in before.values():
        other = after.get(operation.name)
        if other is not None and other.mode != operation.mode:
            raise CannotSwitch(
                f"{operation.name} has another mode in version {version}: commands under way carry the old one"
            )
        if operation.mode == RELEASE and resource.kept > resource.released:
            _check_live(operation, other, f"version {version}", name)
    timers = [*executor.timers.unowned(), *executor.timers.owned()]
    for method in sorted({timer.method for timer in timers if timer.resource == resource.index}):
        if not callable(getattr(kind, method, None)):
            raise CannotSwitch(f"version {version} has no method {method}, for which {name} has set a timer")


def _check_live(operation: Operation, other: Operation | None, version: str, name: str) -> None:
    """Whether live entries of a command can be restored by the other class's: if not, no replica could start again.

    Raises CannotSwitch.
    """
    if other is None:
        raise CannotSwitch(f"{version} has no {operation.name}, and entries of {name} are live")
    (least, most), (other_least, other_most) = operation.restorable, other.restorable
    if least < other_least or most > other_most:
        raise CannotSwitch(
            f"{operation.name} in {version} does not restore what it took before, and entries of {name} are live"
        )


def installed(executor: Executor) -> list[list[Any]]:
    """Every type that is installed or in force: its name, the version in force or None, the versions installed here."""
    machines, active = executor.machines, executor.active
    return [[name, active.get(name), machines.versions(name)] for name in sorted({*machines, *active})]
