"""One operation at a time: a cluster of 1 x 3 beside the least that any such cluster could do.

    python -m ocelog.bench.chain --rounds 5 --ops 400

The bare chain is five processes with pyzmq and mapped files and nothing else: client, router, leader, two followers.
The leader writes the operation into its file and syncs it on a thread while the followers do the same, and answers
through the router when two of the three files are synced. Chain and cluster take turns on the same disk, so that a slow
minute of the machine hits both; the ratio of their medians is the price of everything that makes it a database.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import zmq

from .histogram import Histogram
from .report import Rows, show

VALUE = bytes(100)
FILE_BYTES = 16 * 1024 * 1024
STOP_SECONDS = 5.0
ANSWER_MS_MAX = 10_000
_PROGRAM = [sys.executable, "-P", "-m", "ocelog.bench.chain"]


class Chain:
    """The bare chain, running; `operate` sends one operation and waits for its answer. Raises TimeoutError."""

    def __init__(self, directory: Path) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix="ocelog-chain-"))
        self._context = zmq.Context()
        self._socket = _bind(self._context, self._sockets / "router")
        arguments = [str(self._sockets), str(directory)]
        self._children = [
            subprocess.Popen([*_PROGRAM, "--role", role, *arguments], stdin=subprocess.PIPE) for role in ROLES
        ]

    def operate(self) -> None:
        """One operation, all the way and back."""
        self._socket.send(VALUE)
        if not self._socket.poll(ANSWER_MS_MAX):
            raise TimeoutError(f"the bare chain did not answer within {ANSWER_MS_MAX} ms")
        self._socket.recv()

    def __enter__(self) -> Chain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.communicate(timeout=STOP_SECONDS)
        self._socket.close(linger=0)
        self._context.term()
        shutil.rmtree(self._sockets, ignore_errors=True)


class MappedFile:
    """A preallocated file that takes values one after the other, from its beginning again when it is full."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.posix_fallocate(self._descriptor, 0, FILE_BYTES)
        self._map = mmap.mmap(self._descriptor, FILE_BYTES)
        self._offset = 0

    def append(self, value: bytes) -> None:
        """Write a value in memory."""
        if self._offset + len(value) > FILE_BYTES:
            self._offset = 0
        self._map[self._offset : self._offset + len(value)] = value
        self._offset += len(value)

    def sync(self) -> None:
        """Make what was written durable."""
        os.fdatasync(self._descriptor)


def _end_with_parent() -> None:
    """End this process when stdin does, on a thread: whoever started it is gone, however that happened."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(os.EX_OK)

    threading.Thread(target=watch, daemon=True).start()


def route(sockets: Path, directory: Path) -> None:
    """The router: from the client to the leader and back."""
    context = zmq.Context()
    client, leader = _connect(context, sockets / "router"), _bind(context, sockets / "leader")
    poller = zmq.Poller()
    poller.register(client, zmq.POLLIN)
    poller.register(leader, zmq.POLLIN)
    while True:
        for socket, _ in poller.poll():
            (leader if socket is client else client).send(socket.recv())


def lead(sockets: Path, directory: Path) -> None:
    """The leader: write, send, sync beside; answer when two of three are synced."""
    context = zmq.Context()
    router = _connect(context, sockets / "leader")
    followers = [_bind(context, sockets / name) for name in ("follower-1", "follower-2")]
    file = MappedFile(directory / "leader")
    syncer = context.socket(zmq.PAIR)
    syncer.bind("inproc://sync")
    threading.Thread(target=_sync_on_request, args=(context, file), daemon=True).start()
    poller = zmq.Poller()
    for socket in (router, syncer, *followers):
        poller.register(socket, zmq.POLLIN)
    synced = dict.fromkeys((syncer, *followers), 0)
    answered = 0
    while True:
        for socket, _ in poller.poll():
            value = socket.recv()
            if socket is not router:
                synced[socket] += 1
                continue
            file.append(value)
            for follower in followers:
                follower.send(value)
            syncer.send(b"")
        if sorted(synced.values())[1] > answered:
            answered += 1
            router.send(b"done")


def _sync_on_request(context: zmq.Context[zmq.Socket[bytes]], file: MappedFile) -> None:
    requests = context.socket(zmq.PAIR)
    requests.connect("inproc://sync")
    while True:
        requests.recv()
        file.sync()
        requests.send(b"")


def follow(name: str) -> Callable[[Path, Path], None]:
    """A follower: write, sync, answer."""

    def run(sockets: Path, directory: Path) -> None:
        leader = _connect(zmq.Context(), sockets / name)
        file = MappedFile(directory / name)
        while True:
            file.append(leader.recv())
            file.sync()
            leader.send(b"")

    return run


ROLES: dict[str, Callable[[Path, Path], None]] = {
    "router": route,
    "leader": lead,
    "follower-1": follow("follower-1"),
    "follower-2": follow("follower-2"),
}


def _bind(context: zmq.Context[zmq.Socket[bytes]], path: Path) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.PAIR)
    socket.bind(f"ipc://{path}")
    return socket


def _connect(context: zmq.Context[zmq.Socket[bytes]], path: Path) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.PAIR)
    socket.connect(f"ipc://{path}")
    return socket


def compare(rounds: int, operations: int, directory: Path) -> tuple[Histogram, Histogram]:
    """Durations of `operations` single operations per round on the bare chain and on a cluster, taking turns."""
    from ..client.aio import connect_async
    from ..cluster import LocalCluster

    bare, ours = Histogram(), Histogram()

    async def put_one_by_one(endpoints: list[str]) -> None:
        async with connect_async(endpoints) as client:
            put = client.map("chain").put
            await put("key", VALUE)
            for round_number in range(rounds + 1):
                chain_ns = [_timed(chain.operate) for _ in range(operations)]
                cluster_ns = []
                for _ in range(operations):
                    began = time.perf_counter_ns()
                    await put("key", VALUE)
                    cluster_ns.append(time.perf_counter_ns() - began)
                if round_number:  # the first round is for warming up
                    bare.record(chain_ns)
                    ours.record(cluster_ns)

    with ExitStack() as stack:
        chain = stack.enter_context(Chain(directory))
        cluster = stack.enter_context(LocalCluster(shards=1, replicas=3, data=directory / "cluster"))
        asyncio.run(put_one_by_one(cluster.endpoints))
    return bare, ours


def _timed(operate: Callable[[], None]) -> int:
    began = time.perf_counter_ns()
    operate()
    return time.perf_counter_ns() - began


def rows(bare: Histogram, ours: Histogram) -> Rows:
    """The table: both, and the ratio of their medians."""
    ratio = ours.quantile(0.5) / max(bare.quantile(0.5), 1)
    return [
        ("bare chain", _durations(bare)),
        ("cluster", _durations(ours)),
        ("ratio", f"{ratio:.2f} of the medians, {len(ours)} operations each"),
    ]


def _durations(histogram: Histogram) -> str:
    summary = histogram.summary_ms()
    return f"p50 {summary['p50']:.3f} ms  p90 {summary['p90']:.3f} ms  p99 {summary['p99']:.3f} ms"


def main() -> None:
    """Play one role of the chain, or compare and show."""
    parser = argparse.ArgumentParser(description="Latency of one operation at a time: cluster and bare chain.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ops", type=int, default=400, help="operations per round")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("directories", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        _end_with_parent()
        ROLES[arguments.role](*arguments.directories)
        return
    with tempfile.TemporaryDirectory(prefix="ocelog-chain-data-") as directory:
        bare, ours = compare(arguments.rounds, arguments.ops, Path(directory))
    show("one operation at a time, 1 x 3", rows(bare, ours))


if __name__ == "__main__":
    main()
