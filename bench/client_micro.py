"""What one operation costs in the client process: `python -m ocelog.bench.client_micro`.

A loopback router in a process of its own answers puts at once, without a log or a disk, so what is measured is the
client: proxy, hand-over, session, result, future. CPU is that of this whole process, all threads. Prints one line per
shape of load: operations per second, and microseconds of CPU per operation.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import threading
import time
from typing import Any

import msgpack
import ocelog
import zmq

from ..client.protocol import frames
from ..client.protocol.errors import OK
from ..client.protocol.limits import SLOTS, Limits

VALUE = b"x" * 100
_NIL = bytes((OK, 0xC0))


def _reply(kind: int, request: frames.Request, body: bytes = b"", count: int = 0) -> bytes:
    header = frames.REPLY.pack(
        frames.VERSION,
        kind,
        request.shard,
        OK,
        0,
        count,
        request.request,
        request.session,
        request.first_sequence,
        1,
        0,
        1,
        0,
        0,
    )
    return header + body


def _answer(request: frames.Request) -> bytes | None:
    """Canned answers: every command but the first (an open) has nil for a result."""
    if request.kind == frames.HELLO:
        welcome = {"version": 1, "server": "loopback", "cluster_id": "0", "shards": 1, "slots": [[0, SLOTS - 1, 0]]}
        return _reply(frames.WELCOME, request, msgpack.packb(welcome))
    if request.kind == frames.REGISTER:
        fields = {**Limits().as_dict(), "timeout_ms": 30_000}
        return _reply(frames.REGISTERED, request._replace(session=1), msgpack.packb(fields))
    if request.kind == frames.COMMAND:
        results = [_NIL] * request.count
        if request.first_sequence == 1:
            results[0] = bytes((OK, 1))
        return _reply(frames.RESULTS, request, frames.pack_results([1] * request.count, results), request.count)
    if request.kind == frames.QUERY:
        return _reply(frames.ANSWERS, request, frames.pack_parts([_NIL] * request.count), request.count)
    if request.kind == frames.UNREGISTER:
        return _reply(frames.UNREGISTERED, request)
    return None


def serve(pipe: Any) -> None:
    """The loopback router: tells its endpoint through the pipe, answers until it is terminated."""
    router = zmq.Context().socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    pipe.send_bytes(f"tcp://127.0.0.1:{port}".encode())
    while True:
        identity, *message = router.recv_multipart()
        request, _ = frames.parse_request(message)
        answer = _answer(request)
        if answer is not None:
            router.send_multipart([identity, answer])


async def asyncio_puts(endpoint: str, operations: int, in_flight: int) -> None:
    """`in_flight` tasks that put one after the other."""
    async with ocelog.connect_async(endpoint) as client:
        users = client.map("users")

        async def worker() -> None:
            for number in range(operations // in_flight):
                await users.put(number, VALUE)

        await asyncio.gather(*[worker() for _ in range(in_flight)])


def blocking_puts(endpoint: str, operations: int, in_flight: int) -> None:
    """`in_flight` threads that put one after the other."""
    with ocelog.connect(endpoint) as client:
        users = client.map("users")

        def worker() -> None:
            for number in range(operations // in_flight):
                users.put(number, VALUE)

        threads = [threading.Thread(target=worker) for _ in range(in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    """Run all shapes of load, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--operations", type=int, default=100_000)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    endpoint = here.recv_bytes().decode()
    shapes = [("asyncio", n, options.operations) for n in (256, 1024, 16, 1)]
    shapes += [("blocking", n, options.operations // 5) for n in (1, 8)]
    for kind, in_flight, operations in shapes:
        operations = operations if in_flight > 1 else operations // 10
        wall, cpu = time.perf_counter(), time.process_time()
        if kind == "asyncio":
            asyncio.run(asyncio_puts(endpoint, operations, in_flight))
        else:
            blocking_puts(endpoint, operations, in_flight)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rate, cost = operations / wall, cpu / operations * 1e6
        sys.stdout.write(f"{kind:9} {in_flight:5} in flight  {rate:9.0f} puts/s  {cost:6.2f} us CPU/put\n")
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
