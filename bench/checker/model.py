"""What a model is: what an object holds at first, and what each operation makes of that.

    class Bank(Model):
        operations = {"deposit": 1, "balance": 0}
        initial = 0

        def step(self, state, operation):
            after = state + operation.arguments[0] if operation.name == "deposit" else state
            return after if not operation.known or operation.result == after else IMPOSSIBLE

`ocelog check --model myapp.models:Bank history.jsonl` uses it. A model is pure: states are values that can be compared and
hashed, and `step` changes none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from .operation import Operation


class _Impossible:
    def __repr__(self) -> str:
        return "IMPOSSIBLE"


IMPOSSIBLE = _Impossible()
"""What `step` returns when the result cannot have been told in that state."""


class Model:
    """One kind of object. Override `operations`, `initial` and `step`; `parts` when its parts can be judged alone."""

    operations: ClassVar[Mapping[str, int | tuple[int, int]]] = {}
    """What can be done, and with how many arguments (or from how many to how many). `key` is not one of them."""

    keyed: ClassVar[frozenset[str]] = frozenset()
    """The operations that need a `key`."""

    by_process: ClassVar[bool] = False
    """Whether `step` looks at who does something."""

    initial: Any = None

    def step(self, state: Any, operation: Operation) -> Any:
        """The state after an operation, or IMPOSSIBLE when its result cannot have been told in this state.

        When `operation.known` is False any result will do: nobody was told it.
        """
        raise NotImplementedError

    def is_silent(self, operation: Operation) -> bool:
        """Whether an operation with this result changes nothing, in whatever state it was: a read, or a refusal.

        The search is the shorter the more of these it knows. Not: what changes nothing in some states only.
        """
        return False

    def parts(self, operations: Sequence[Operation]) -> Iterable[tuple[Any, Model, list[Operation]]]:
        """Split the operations of one object into (key, model, operations) that can be judged one by one.

        Linearizability is local (Herlihy and Wing, 1990, theorem 1): parts that no operation has in common need no common order.
        """
        yield None, self, list(operations)


def by_key(operations: Iterable[Operation]) -> Iterator[tuple[Any, list[Operation]]]:
    """Operations grouped by their key, in the order in which the keys came."""
    groups: dict[Any, list[Operation]] = {}
    for operation in operations:
        groups.setdefault(operation.key, []).append(operation)
    yield from groups.items()


def told(operation: Operation, result: Any, state: Any) -> Any:
    """`state`, if the operation may have been told this result, else IMPOSSIBLE."""
    return state if not operation.known or operation.result == result else IMPOSSIBLE
