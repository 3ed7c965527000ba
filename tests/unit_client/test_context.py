"""Clients of one process share a ZeroMQ context, which lives as long as any of them."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import ocelog
import pytest
import zmq
from ocelog.client import context


def names() -> list[str]:
    """The system's names of this process's threads: ZeroMQ's are not Python's."""
    return [path.joinpath("comm").read_text().strip() for path in Path("/proc/self/task").iterdir()]


def carriers() -> int:
    return sum(name.startswith("ZMQbg/IO") for name in names())


@pytest.fixture
def alone(kit):
    """Clients that other tests have left to the collector are gone."""
    kit.until(lambda: not context._shared.users)


def test_several_clients_have_one_thread_between_them(alone, router):
    before = carriers()
    clients = [ocelog.connect(router.endpoint) for _ in range(3)]
    assert carriers() == before + 1
    first, *others = clients
    first.close()
    for client in others:
        assert client.map("users").put("ada", 1) in (None, 1)
        client.close()
    assert carriers() == before


def test_after_the_last_there_is_another_one(alone, router):
    for _ in range(3):
        with ocelog.connect(router.endpoint) as client:
            client.map("users").put("ada", 1)
    assert context._shared.context is None


def test_clients_may_come_and_go_in_many_threads(alone, router):
    failed = []

    def come_and_go():
        try:
            for _ in range(5):
                with ocelog.connect(router.endpoint) as client:
                    client.counter("hits").increment()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    with ocelog.connect(router.endpoint) as client:
        assert client.counter("hits").get() == 20


def _in_child(endpoint, results):
    with ocelog.connect(endpoint) as client:
        results.put(client.counter("hits").increment())


def test_a_forked_process_makes_its_own(router):
    forking = multiprocessing.get_context("fork")
    results = forking.Queue()
    with ocelog.connect(router.endpoint) as client:
        client.counter("hits").increment()
        child = forking.Process(target=_in_child, args=(router.endpoint, results))
        child.start()
        assert results.get(timeout=30) == 2
        child.join(30)
        assert child.exitcode == 0
        assert client.counter("hits").increment() == 3


def test_there_may_be_more_clients_than_a_context_has_room_for_at_first(alone):
    taken = context.acquire()
    try:
        assert taken.get(zmq.MAX_SOCKETS) == taken.get(zmq.SOCKET_LIMIT) > 1023
    finally:
        context.release(taken)
