"""The log of one replica: entries in memory-mapped segments, and the small files around them.

Knows nothing of Raft's roles, sessions, machines or networks. `log.py` joins the parts; only `files.py` calls the operating
system, and everything else takes a `Disk`, so that the simulation can pass its own. File formats: docs/log.md.
"""
