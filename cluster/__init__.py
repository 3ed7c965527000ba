"""Everything around replicas: settings, the supervisor, the router, status, and a cluster for programs and tests.

The names below are imported when they are used, so that a command line or a pytest plugin that needs one of them does
not pay for all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Settings
    from .local import LocalCluster
    from .supervisor import Supervisor

_HOMES = {"LocalCluster": "local", "Settings": "config", "Supervisor": "supervisor"}

__all__ = ["LocalCluster", "Settings", "Supervisor"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ocelog.cluster' has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
