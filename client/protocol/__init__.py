"""The client protocol: what a client and a cluster say to each other, in bytes.

Pure functions and tables only: no sockets, no clocks, no threads. Other languages re-implement this
room from docs/protocol.md; `shard` and `cluster` use it too, and nothing else of the client.
"""
