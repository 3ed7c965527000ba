"""The router: clients on one side, replicas on the other, and in between only fixed headers.

Files: `config` (the argument of the process), `headers` (single fields of a header), `answers` (what the router says
itself), `leaders` (who leads which shard), `clients` (numbers for client identities), `holders` (which client holds which
session), `whereabouts` (what leaders are told of it), `gather` and `admin` (rounds of questions), `questions` (who asked
them), `host` (the other processes), `choice` (which replica answers a query), `core` (decides), `attendance` (which
connection is whose), `sockets`, `process` (does).
Never decodes the body of an operation, keeps no queue of its own and repeats nothing: what cannot be handed over is
told to the client, and the two ends repeat.
"""
