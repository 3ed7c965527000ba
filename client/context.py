"""The ZeroMQ context that the clients of one process share, while there are any.

A context has a thread that carries all its sockets' bytes. Clients that share it are woken together by what comes together,
and the process has one such thread, however many clients. It ends with the last of them, and a process that was forked makes
one of its own: its parent's is of no use there, and ending it would wait for ever.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import zmq


class _Shared:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.context: Any = None
        self.users = 0


_shared = _Shared()


def _forked() -> None:
    global _shared
    _shared = _Shared()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def acquire() -> Any:
    """The context, for one more user, who calls `release` when its sockets are closed."""
    shared = _shared
    with shared.lock:
        if shared.context is None:
            shared.context = zmq.Context()
            shared.context.set(zmq.MAX_SOCKETS, shared.context.get(zmq.SOCKET_LIMIT))
        shared.users += 1
        return shared.context


def release(context: Any) -> None:
    """One user less; the last one ends it."""
    shared = _shared
    with shared.lock:
        if context is not shared.context:
            return  # of the process that this one was forked from
        shared.users -= 1
        if shared.users:
            return
        shared.context = None
    context.term()
