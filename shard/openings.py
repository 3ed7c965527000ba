"""What the shard itself is asked: to open a resource or find it, to delete one, and which there are.

Which version a machine is opened in is the leader's word, and stands in the entry: the first opening of a type puts it in force.

These are the operations of resource 0. `judge` says what may enter the log, `apply` carries out what did, `answer` runs
queries. Deleting makes the name free: what is opened under it later is another resource, with another index.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ..client.protocol import errors, operations
from ..client.protocol.limits import Limits
from . import switching
from .errors import CannotDelete, MachineMissing
from .resource import Resource
from .results import OK_NIL, encode_error, encode_result

if TYPE_CHECKING:
    from .executor import Executor

NAMES_MAX = 1000
"""Resources in one answer to `names`."""

Refusal = tuple[int, str]
"""Code and text of an error."""


def judge(operation: list[Any], executor: Executor, limits: Limits) -> Refusal | None:
    """Why this command of the shard may not enter the log, or None when it may."""
    name, arguments = operation[1], operation[2:]
    if name == operations.OPEN and len(arguments) == 2:
        return _judge_open(arguments, executor, limits)
    if name == operations.DELETE and len(arguments) == 1:
        if type(arguments[0]) is not str:
            return errors.BAD_OPERATION, "delete takes a name, a string"
        return None
    if name == operations.SWITCH and len(arguments) == 2:
        return switching.judge(arguments, executor)
    return errors.UNKNOWN_OPERATION, f"the shard has no command {name!r:.60} of {len(operation)} items"


def _judge_open(arguments: list[Any], executor: Executor, limits: Limits) -> Refusal | None:
    if not all(type(text) is str for text in arguments) or not arguments[0]:
        return errors.BAD_OPERATION, "open takes a name and a type, both strings, the name not empty"
    name, type_name = arguments
    if len(name.encode("utf-8", "replace")) > limits.name_bytes_max:
        return errors.TOO_LARGE, f"a resource name has at most {limits.name_bytes_max} bytes in UTF-8"
    if type_name not in executor.machines:
        return errors.UNKNOWN_TYPE, f"no machine of type {type_name!r:.60} is installed"
    return None


def logged(operation: list[Any], data: bytes, executor: Executor) -> bytes:
    """The payload of an entry for this command, which `judge` lets in: what the client sent, and the version if it is not 1."""
    if operation[1] == operations.OPEN:
        type_name = operation[3]
        version = executor.active.get(type_name) or executor.machines[type_name].version
        if version != 1:
            return operations.encode([*operation, version])  # type: ignore[no-any-return]
    return data


def apply(executor: Executor, index: int, payload: bytes) -> bytes:
    """Carry out the command of the entry at `index`; the result, encoded. Raises MachineMissing."""
    _, operation, name, *arguments = operations.decode(payload, None)
    if operation == operations.DELETE:
        return _delete(executor, index, name)
    if operation == operations.SWITCH:
        return switching.apply(executor, index, name, *arguments)
    return _open(executor, index, name, *arguments)


def _open(executor: Executor, index: int, name: str, type_name: str, version: int = 1) -> bytes:
    known = executor.by_name.get(name)
    if known is not None:
        if known.type_name == type_name:
            return encode_result(known.index)
        return encode_error(errors.WRONG_TYPE, f"{name!r} is a {known.type_name}, not a {type_name}")
    version = executor.active.get(type_name, version)
    machine = executor.machines.find(type_name, version)
    if machine is None:
        raise MachineMissing(type_name, version, executor.machines.versions(type_name), index=index)
    try:
        resource = Resource.create(index, name, machine)
    except MemoryError:
        raise
    except Exception as error:  # the entry is committed: raised on, it would end every replica at every start
        return encode_error(errors.MACHINE_ERROR, f"{type(error).__name__}: {error}")
    executor.active[type_name] = version
    executor.resources[index] = executor.by_name[name] = resource
    return encode_result(index)


def _delete(executor: Executor, index: int, name: str) -> bytes:
    known = executor.by_name.get(name)
    if known is None:
        return OK_NIL
    try:
        executor.delete(known, index)
    except CannotDelete as error:
        return encode_error(errors.MACHINE_ERROR, f"CannotDelete: {error}")
    return encode_result(known.index)


def answer(executor: Executor, operation: list[Any]) -> bytes:
    """Run a query of the shard: `exists(name)`, the type or nil, or `names(after, type)`, the next page of resources."""
    name, arguments = operation[1], operation[2:]
    if name == operations.EXISTS:
        if len(arguments) != 1 or type(arguments[0]) is not str:
            return encode_error(errors.BAD_OPERATION, "exists takes a name, a string")
        known = executor.by_name.get(arguments[0])
        return OK_NIL if known is None else encode_result(known.type_name)
    if name == operations.NAMES:
        if len(arguments) != 2 or type(arguments[0]) is not int or type(arguments[1]) not in (str, type(None)):
            return encode_error(errors.BAD_OPERATION, "names takes an index to begin after, and a type or nil")
        after, wanted = arguments
        found = (r for r in executor.resources.values() if r.index > after and wanted in (None, r.type_name))
        return encode_result([[r.index, r.name, r.type_name] for r in islice(found, NAMES_MAX)])
    if name == operations.MACHINES and not arguments:
        return encode_result(switching.installed(executor))
    return encode_error(errors.UNKNOWN_OPERATION, f"the shard has no query {name!r:.60}")
