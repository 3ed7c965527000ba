"""How the code under test is broken on purpose. A checker that catches no break proves nothing.

An edit names a function, a line of it and what stands there instead. The line must be there exactly once, so a mutant
of code that has changed fails loudly instead of testing nothing.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """`line` of the function `owner.name` becomes `replacement`."""

    owner: Any
    name: str
    line: str
    replacement: str


@dataclass(frozen=True)
class Mutant:
    """A break, and the checkers that may be the first to notice it, one of them within the first `seeds` seeds.

    `overrides` narrow the plan where the harm takes a rare constellation; or one of the `stories` meets it at once, by
    the name of its test.
    `quick` ones are looked for in every run of the tests, the others in campaigns.
    Where two rules guard the same promise, both have to be broken before anything can go wrong.
    """

    title: str
    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]
    seeds: int = 40
    overrides: Mapping[str, Any] = field(default_factory=dict)
    stories: tuple[str, ...] = ()
    quick: bool = True


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """The code with this mutant in it."""
    with ExitStack() as stack:
        for edit in mutant.edits:
            function = _function(inspect.getattr_static(edit.owner, edit.name))
            # Not the name but the code is replaced: tables of handlers hold the function itself.
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = _changed(function, edit)
        yield


def _changed(function: FunctionType, edit: Edit) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    found = source.count(edit.line)
    assert found == 1, f"{edit.line!r} is {found} times in {function.__qualname__}: the mutant has to follow the code"
    code = compile(source.replace(edit.line, edit.replacement), "<mutant>", "exec")
    namespace: dict[str, Any] = {}
    exec(code, function.__globals__, namespace)
    changed: CodeType = _function(namespace[function.__name__]).__code__
    return changed


def _function(attribute: Any) -> FunctionType:
    """What is behind a property, a class method or an operation of a machine."""
    behind = (getattr(attribute, name, None) for name in ("fget", "__func__", "function"))
    return next((each for each in behind if each is not None), attribute)
