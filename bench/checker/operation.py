"""One operation of a history: who did what to which key, when it was called and returned, and what it was told.

Pure values; knows neither files nor models. Times are integers of one clock that all processes share.
"""

from __future__ import annotations

from typing import Any

NEVER = 1 << 62
"""The return of an operation whose outcome nobody was told: it may take effect at any time after its call, or not at all."""


class Operation:
    """An operation as the search sees it.

    `known` is False when nobody was told the outcome; `result` means nothing then. `index` is a hint: where the system
    itself says that the operation took effect, 0 for no hint; a wrong one costs time and hides nothing. `line` is where it stood.
    """

    __slots__ = (
        "arguments",
        "call",
        "index",
        "key",
        "known",
        "line",
        "model",
        "name",
        "process",
        "resource",
        "result",
        "returned",
    )

    def __init__(
        self,
        name: str,
        arguments: tuple[Any, ...] = (),
        result: Any = None,
        *,
        call: int,
        returned: int = NEVER,
        process: Any = "",
        key: Any = None,
        resource: str = "",
        model: str = "",
        index: int = 0,
        line: int = 0,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.result = result
        self.call = call
        self.returned = returned
        self.known = returned < NEVER
        self.process = process
        self.key = key
        self.resource = resource
        self.model = model
        self.index = index
        self.line = line

    def __str__(self) -> str:
        return f"{self.described()} by {printable(self.process)}" + (f", line {self.line}" if self.line else "")

    def described(self) -> str:
        """What was done and told, in short: `put('k', 1) = None`."""
        parts = [self.key, *self.arguments] if self.key is not None else list(self.arguments)
        told = repr(self.result) if self.known else "?"
        return f"{self.name}({', '.join(map(repr, parts))}) = {told}"


def printable(name: Any) -> str:
    """A name as it is, or as Python writes it where a terminal or a file would not take it as it is."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def frozen(value: Any) -> Any:
    """A JSON value as one that can be hashed: arrays become tuples, objects sorted pairs."""
    if isinstance(value, list):
        return tuple(map(frozen, value))
    if isinstance(value, dict):
        return ("object", *sorted((name, frozen(each)) for name, each in value.items()))
    return value
