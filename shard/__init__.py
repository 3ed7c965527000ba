"""One replica of one Raft group: the core, sessions, the machines, and the process around them.

May import `log` and `client.protocol`; everything but `server.py`, `sync.py` and `__main__.py` is free of sockets,
files, clocks and threads, so that the simulation runs exactly what production runs.
"""
