"""Watches a machine's handlers for what no replica may depend on: clocks, randomness, threads, files, sockets, `hash`.

While a history is applied every call of a C function is seen, however its name was imported; it counts if a method of a
machine is on the stack. `sys.setprofile` is used for that, so a debugger or a coverage measurement of the thread is put
aside meanwhile and put back.
"""

from __future__ import annotations

import gc
import io
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..machines.base import StateMachine

WHY = {
    "time": "a clock differs between replicas; the log's own time is commit.time",
    "random": "randomness differs between replicas; draw in the client and send what was drawn",
    "thread": "a handler runs alone and to its end; threads have no order",
    "io": "files, sockets and the system differ between replicas; send as an argument what is needed",
    "hash": "hash() of a text differs between processes; zlib.crc32 does not",
}

_MODULES = {
    "time": "time",
    "_random": "random",
    "posix": "io",
    "_socket": "io",
    "_io": "io",
    "io": "io",
    "select": "io",
    "_posixsubprocess": "io",
    "_thread": "thread",
    "_queue": "thread",
    "_ssl": "io",
    "_sqlite3": "io",
    "_uuid": "random",
}
_HARMLESS = {
    ("posix", "fspath"),
    ("time", "strftime"),
    ("time", "strptime"),
    ("time", "mktime"),
    ("_thread", "get_ident"),
}
_CLOCKS = {"now", "utcnow", "today"}


class Forbidden(BaseException):
    """Ends a handler at once; no exception of the machine's own, so that none of its `except` takes it."""


class Guard:
    """`violation` is the first forbidden call of a machine, or None."""

    def __init__(self) -> None:
        self.violation: str | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread. A handler that does what it must not ends with Forbidden."""
        before, collects = sys.getprofile(), gc.isenabled()
        gc.disable()  # whose callbacks are nobody's handlers, and run where they please
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(before)
            if collects:
                gc.enable()

    def _see(self, frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        kind = _kind_of(function)
        if kind is None or (kind == "hash" and frame.f_code.co_name == "__hash__"):
            return
        handler = _handler_of(frame)
        if handler is None:
            return
        name = _name_of(function)
        self.violation = self.violation or f"{handler} calls {name}: {WHY[kind]}"
        raise Forbidden(self.violation)


def _kind_of(function: Any) -> str | None:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    if module in _MODULES:
        return None if (module, name) in _HARMLESS else _MODULES[module]
    if module == "builtins":
        return {"print": "io", "input": "io", "hash": "hash"}.get(name)
    if owner is None:
        return None
    if isinstance(owner, random.Random):
        return "random"
    if isinstance(owner, io.IOBase) and not isinstance(owner, io.BytesIO | io.StringIO):
        return "io"
    if isinstance(owner, type) and name in _CLOCKS and owner.__module__ == "datetime":
        return "time"
    if getattr(type(owner), "__module__", "") in ("_thread", "_socket"):
        return _MODULES[type(owner).__module__]
    return None


def _name_of(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None)
    if module is None and owner is not None:
        kind = owner if isinstance(owner, type) else type(owner)
        module = f"{kind.__module__}.{kind.__name__}"
    name = f"{module}.{function.__name__}()".removeprefix("builtins.")
    for internal, public in (("posix.", "os."), ("_io.", "io."), ("_thread.", "threading.")):
        if name.startswith(internal):
            return public + name.removeprefix(internal)
    return name


def _handler_of(frame: FrameType | None) -> str | None:
    """The outermost method of a machine that is running, as a text; None when only the framework is."""
    found = None
    while frame is not None:
        names = frame.f_code.co_varnames
        if names[:1] and isinstance(frame.f_locals.get(names[0]), StateMachine):
            found = f"{frame.f_code.co_name} (line {frame.f_lineno})"
        frame = frame.f_back
    return found
