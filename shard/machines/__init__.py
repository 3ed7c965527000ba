"""The state-machine API and the machines that every shard has: pure, deterministic, one file each."""
