"""How much there is in memory under an object: for tests that nothing stays behind."""

from __future__ import annotations

import gc
import types
from typing import Any

SKIPPED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, type(None))


def census(*roots: Any, but: tuple[type, ...] = ()) -> int:
    """How many things are in the containers and objects that hang on these, however deep; not in what is of the types `but`."""
    seen, left, count = set(map(id, roots)), list(roots), 0
    while left:
        for thing in gc.get_referents(left.pop()):
            count += 1
            if gc.is_tracked(thing) and not isinstance(thing, (*SKIPPED, *but)) and id(thing) not in seen:
                seen.add(id(thing))
                left.append(thing)
    return count
