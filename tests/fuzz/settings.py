"""Targets among what people and supervisors write: configuration, environment, and the cluster's own small files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from ocelog.cluster import clusterfile, sources
from ocelog.cluster.errors import ConfigError, DataError
from ocelog.cluster.router.config import RouterConfig
from ocelog.cluster.run_record import RunRecord

from .target import Target

TOML = b"""
[cluster]
shards = 2
replicas = 3
routers = 2

[raft]
election_ticks = 20
heartbeat_ticks = 2

[log]
segment_bytes_max = 4194304

[session]
timeout_ms_min = 1000

[logging]
level = "info"
"""


def in_a_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A target that reads its input from a file of that name."""

    def run(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(data)
            return read(path)

    return run


def cluster_repaired(data: bytes) -> bytes:
    """The file of a cluster with a checksum that fits."""
    try:
        fields = json.loads(data)
        fields.pop("checksum", None)
        return json.dumps({**fields, "checksum": clusterfile._checksum(fields)}).encode()
    except (AttributeError, TypeError, ValueError, RecursionError):
        return data


def environment(data: bytes) -> None:
    """Lines of NAME=VALUE, as the environment."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    variables = dict(line.split("=", 1) for line in lines if "=" in line and "\0" not in line)
    sources.load(file="/nonexistent" if b"\xff" in data else None, environment=variables, flags={})


def router_argument(data: bytes) -> None:
    """What a router is told when it is started."""
    RouterConfig.from_json(data.decode("utf-8", "replace"))


def targets() -> list[Target]:
    """All of them."""
    with tempfile.TemporaryDirectory() as folder:
        clusterfile.load_or_create(Path(folder), sources.load(file=None, environment={}, flags={}))
        cluster = Path(folder, clusterfile.FILE_NAME).read_bytes()
    record = {
        "supervisor": [77, 1.5],
        "sockets": "/tmp/ocelog-x",
        "endpoints": ["tcp://127.0.0.1:5000"],
        "ready": True,
        "compactor": None,
        "routers": [["tcp://127.0.0.1:5000", 78]],
        "children": [[79, 2.5]],
    }
    argument = {
        "data": "/tmp",
        "cluster_id": "ab" * 16,
        "shards": 2,
        "replicas": 3,
        "sockets": "/tmp/sockets",
        "listen": "tcp://127.0.0.1:0",
        "slots": [[0, 8191, 0], [8192, 16383, 1]],
        "settings": {"limits": {"message_bytes_max": 2 * 1024 * 1024}},
    }
    variables = b"OCELOG_RAFT__HEARTBEAT_TICKS=2\nOCELOG_LOGGING__LEVEL=debug\nOCELOG_CLUSTER__SHARDS=2\n"
    return [
        Target(
            name="toml",
            run=in_a_file("ocelog.toml", lambda path: sources.load(file=str(path), environment={}, flags={})),
            samples=[TOML],
            accepted=(ConfigError,),
        ),
        Target(name="environment", run=environment, samples=[variables], accepted=(ConfigError,)),
        Target(
            name="cluster",
            run=in_a_file("cluster", clusterfile.read),
            samples=[cluster],
            accepted=(DataError,),
            repaired=cluster_repaired,
        ),
        Target(
            name="record",
            run=in_a_file("supervisor", lambda path: RunRecord.read(path.parent)),
            samples=[json.dumps(record).encode()],
            accepted=(),
        ),
        Target(
            name="router_argument",
            run=router_argument,
            samples=[json.dumps(argument).encode()],
            accepted=(ConfigError,),
        ),
    ]
