"""Types of machines, as clients name them: by a text or by a proxy class, and which versions of them there are."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from .protocol.errors import BadArgument


class MachineType(NamedTuple):
    """A machine type on one shard: its `version` in force, None before its first resource, and those that are `installed`."""

    shard: int
    type: str
    version: int | None
    installed: list[int]


P = TypeVar("P")


def proxy_of(chosen: Any, base: type[P]) -> tuple[type[P], str]:
    """The class of handles and the name of the type that were asked for. Raises BadArgument."""
    if isinstance(chosen, str) and chosen:
        return base, chosen
    if isinstance(chosen, type) and issubclass(chosen, base):
        type_name = getattr(chosen, "type_name", "")
        if type_name:
            return chosen, type_name
        raise BadArgument(f"{chosen.__name__} does not say of which type its resources are: give it a type_name")
    raise BadArgument(f"a type is a text or a subclass of {base.__name__}, not {chosen!r:.60}")
