"""The Raft consensus algorithm as a pure state machine (Ongaro and Ousterhout, 2014; Ongaro's thesis, 2014).

`core.Raft` is the way in; `messages` is what goes in and comes out. Nothing here performs input or output.
"""

from .config import RaftConfig
from .core import Raft
from .logview import LogView
from .messages import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, Accepted, Output, Role, RoleChange

__all__ = [
    "CANDIDATE",
    "FOLLOWER",
    "LEADER",
    "PRE_CANDIDATE",
    "Accepted",
    "LogView",
    "Output",
    "Raft",
    "RaftConfig",
    "Role",
    "RoleChange",
]
