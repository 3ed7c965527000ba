"""What a router costs per client message: `python -m ocelog.bench.router_micro`.

Two figures. *Decisions* is the core alone, in this process, with messages as they come from a socket. *Process* is the
CPU time of a real router process between real sockets, all its threads, per request and its answer; clients and the
replica are played by this process. The aim is at most 25 us per message each way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import zmq

from ..client.protocol import frames
from ..client.protocol.frames import REPLY, REQUEST, VERSION, Item, pack_bundle, unpack_bundle
from ..cluster.router.config import RouterConfig
from ..cluster.router.core import Router

BATCH = 64
"""Messages per loop turn in the first figure, as a busy router sees them."""


def request(identifier: int, body: bytes, session: int = 5) -> bytes:
    """A command as a client sends it."""
    return REQUEST.pack(VERSION, frames.COMMAND, 0, 0, 0, 1, identifier, session, bytes(16), 1, 0, 0, 0, 10_000) + body


def answer(head: Any) -> bytes:
    """The results of a command, as a replica answers it."""
    identifier, session = int.from_bytes(head[8:16], "little"), int.from_bytes(head[16:24], "little")
    return REPLY.pack(VERSION, frames.RESULTS, 0, 0, 0, 1, identifier, session, 1, 9, 0, 1, 0, 0) + bytes(14)


def notice() -> Item:
    """Replica 0 leads shard 0."""
    return Item(0, [REPLY.pack(VERSION, frames.LEADER, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)])


def settings(sockets: str) -> dict[str, Any]:
    """The argument of a router of one shard with one replica."""
    return {
        "data": sockets,
        "cluster_id": "00" * 16,
        "shards": 1,
        "replicas": 1,
        "sockets": sockets,
        "listen": "tcp://127.0.0.1:0",
        "slots": [[0, 16383, 0]],
        "settings": {},
    }


def decisions(turns: int, body_bytes: int) -> tuple[float, float]:
    """Microseconds per request and per answer in the core, bundling included."""
    core = Router(RouterConfig.from_json(json.dumps(settings("/tmp"))))
    core.from_replica(0, pack_bundle([notice()]))
    messages = [request(number, bytes(body_bytes), number + 1) for number in range(BATCH)]
    identities = [number.to_bytes(5, "big") for number in range(1, BATCH + 1)]
    inward = outward = 0.0
    for _ in range(turns):
        started = time.perf_counter()
        for identity, message in zip(identities, messages, strict=True):
            core.from_client(identity, [message])
        bundles = [pack_bundle(items) for _, items in core.take_for_replicas()]
        inward += time.perf_counter() - started
        back = pack_bundle([Item(route, [answer(parts[0])]) for route, parts in unpack_bundle(bundles[0])])
        started = time.perf_counter()
        core.from_replica(0, back)
        core.take_for_clients()
        outward += time.perf_counter() - started
    count = turns * BATCH
    return inward / count * 1e6, outward / count * 1e6


def process(seconds: float, clients: int, in_flight: int, body_bytes: int) -> dict[str, float]:
    """Load a router process for a while; microseconds of its CPU time per request with its answer, and the rate."""
    with tempfile.TemporaryDirectory(prefix="ocelog-") as folder, zmq.Context() as context:
        replica = context.socket(zmq.ROUTER)
        replica.bind(f"ipc://{Path(folder, 's0r0.c')}")
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "ocelog.cluster.router", json.dumps(settings(folder))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout and child.stdin
        sockets = [context.socket(zmq.DEALER) for _ in range(clients)]
        try:
            endpoint = json.loads(child.stdout.readline())["endpoint"]
            _lead(replica)
            for session, socket in enumerate(sockets, 1):
                socket.connect(endpoint)
                for number in range(in_flight):
                    socket.send(request(number, bytes(body_bytes), session))
            return _measured(psutil.Process(child.pid), replica, sockets, seconds, bytes(body_bytes))
        finally:
            child.stdin.close()
            child.wait()
            context.destroy(linger=0)


def _lead(replica: zmq.Socket[bytes]) -> None:
    origin = replica.recv_multipart()[0]
    replica.send_multipart([origin, *pack_bundle([notice()])])
    replica.recv_multipart()  # the next greeting: by then the router has read the notice


def _measured(
    router: psutil.Process, replica: zmq.Socket[bytes], clients: list[zmq.Socket[bytes]], seconds: float, body: bytes
) -> dict[str, float]:
    poller = zmq.Poller()
    for socket in (replica, *clients):
        poller.register(socket, zmq.POLLIN)
    done = 0
    before, started = router.cpu_times(), time.monotonic()
    while time.monotonic() - started < seconds:
        for socket, _ in poller.poll(100):
            done += _serve(replica) if socket is replica else _repeat(socket, body)
    elapsed, after = time.monotonic() - started, router.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return {"us_per_operation": cpu / max(1, done) * 1e6, "operations_per_second": done / elapsed, "cpu": cpu / elapsed}


def _serve(replica: zmq.Socket[bytes]) -> int:
    origin, *message = replica.recv_multipart()
    items = [Item(route, [answer(parts[0])]) for route, parts in unpack_bundle(message) if route]
    if items:
        replica.send_multipart([origin, *pack_bundle(items)])
    return len(items)


def _repeat(client: zmq.Socket[bytes], body: bytes) -> int:
    while True:
        try:
            head = client.recv(zmq.NOBLOCK)
        except zmq.Again:
            return 0
        if head[1] == frames.RESULTS:
            client.send(request(int.from_bytes(head[8:16], "little"), body, int.from_bytes(head[16:24], "little")))


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.router_micro")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each load on the real process")
    parser.add_argument("--body-bytes", type=int, default=120)
    options = parser.parse_args()
    inward, outward = decisions(500, options.body_bytes)
    lines = [f"decisions  {inward:6.2f} us per request, {outward:6.2f} us per answer (turns of {BATCH})"]
    for clients, in_flight in ((1, 1), (1, 64), (16, 4), (64, 4)):
        row = process(options.seconds, clients, in_flight, options.body_bytes)
        lines.append(
            f"process    {row['us_per_operation']:6.2f} us per request with its answer, all threads: {clients} clients "
            f"with {in_flight} in flight, {row['operations_per_second']:.0f}/s at {row['cpu']:.0%} CPU"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
