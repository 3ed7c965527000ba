"""The router: clients on one side, replicas on the other, and in between only fixed headers.

Files: `config` (the argument of the process), `answers` (what the router says itself), `leaders` (who leads which
shard), `clients` (numbers for client identities), `gather` (the cluster's status), `core` (decides), `process` (does).
Never decodes the body of an operation, keeps no queue of its own and repeats nothing: what cannot be handed over is
told to the client, and the two ends repeat.
"""
