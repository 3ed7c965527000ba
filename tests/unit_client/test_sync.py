"""The blocking client against a router on a real socket: threads, loops, forks and exits."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading

import ocelog
import pytest
from ocelog.client import status
from ocelog.client.protocol.errors import Closed, ConnectFailed, DeadlineExceeded, OutcomeUnknown


def test_maps_and_counters(router):
    with ocelog.connect(router.endpoint, timeout=10) as client:
        users, hits = client.map("users"), client.counter("hits")
        assert users.put("ada", {"born": 1815}) is None
        assert users.put("ada", 1) == {"born": 1815}
        assert users.get("ada") == 1
        assert users.keys() == ["ada"]
        assert users.remove("ada") == 1
        assert hits.increment() == 1
        assert hits.decrement(3) == -2
        assert hits.compare_and_set(-2, 9) is True
        assert hits.get() == 9
        assert client.command("users", "map", "put", b"k", b"v") is None
        assert client.query("users", "map", "get", b"k") == b"v"


def test_endpoints_may_come_from_the_environment(router, monkeypatch):
    monkeypatch.setenv("OCELOG_ENDPOINTS", f"tcp://127.0.0.1:9,{router.endpoint}")
    with ocelog.connect() as client:
        assert client.counter("hits").increment() == 1


def test_threads_share_a_client_and_each_gets_its_own_results(router):
    wrong = []

    def work(client, number):
        numbers = client.map("numbers")
        for n in range(50):
            numbers.put(f"{number}-{n}", [number, n])
            if numbers.get(f"{number}-{n}") != [number, n]:
                wrong.append((number, n))

    with ocelog.connect(router.endpoint) as client:
        threads = [threading.Thread(target=work, args=(client, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert client.map("numbers").size() == 400
    assert wrong == []


def test_it_works_inside_a_running_event_loop(router):
    async def scenario():
        with ocelog.connect(router.endpoint) as client:
            return client.counter("hits").increment()

    assert asyncio.run(scenario()) == 1


def test_deadlines(router):
    with ocelog.connect(router.endpoint, timeout=5) as client:
        users = client.map("users")
        users.put("a", 1)
        router.deaf = True
        with pytest.raises(OutcomeUnknown):
            users.put("a", 2, timeout=0.1)
        with pytest.raises(DeadlineExceeded):
            users.get("a", timeout=0.1)
        router.deaf = False
        assert users.get("a") == 1


def test_connecting_to_nobody(kit):
    with pytest.raises(ConnectFailed, match=r"tcp://127\.0\.0\.1:9: connection refused"):
        ocelog.connect("tcp://127.0.0.1:9", timeout=0.3)
    kit.until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ocelog-client"])


def test_a_closed_client_says_so(router):
    client = ocelog.connect(router.endpoint)
    users = client.map("users")
    users.put("a", 1)
    client.close()
    client.close()
    with pytest.raises(Closed):
        users.put("a", 2)
    assert not any(shard.sessions for shard in router.shards)


def test_closing_frees_the_threads_that_wait(router, kit):
    client = ocelog.connect(router.endpoint, timeout=0.3)
    users = client.map("users")
    users.put("a", 1, timeout=10)
    router.deaf = True
    before = len(router.requests)
    errors = []

    def wait():
        try:
            users.put("a", 2, timeout=60)
        except OutcomeUnknown as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    kit.until(lambda: len(router.requests) > before)
    client.close()
    thread.join(5)
    assert len(errors) == 1


def test_another_process_than_its_makers_cannot_use_a_client(router):
    client = ocelog.connect(router.endpoint)
    users = client.map("users")
    users.put("a", 1)
    child = os.fork()
    if child == 0:
        try:
            users.get("a")
        except Closed as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(1)
    _, code = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(code) == 0
    assert users.get("a") == 1, "and the parent does not mind"
    client.close()


@pytest.mark.parametrize("deaf", [False, True], ids=["router-lives", "router-stuck"])
def test_a_client_never_closed_does_not_keep_the_interpreter(router, deaf):
    program = f"""
        import ocelog, sys
        client = ocelog.connect({router.endpoint!r})
        client.map("users").put("a", 1)
        print("put", flush=True)
        sys.stdin.readline()
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "put\n"
        router.deaf = deaf
        _, errors = child.communicate("\n", timeout=20)
    assert (child.returncode, errors) == (0, "")


def test_a_forked_child_exits_cleanly(router):
    program = f"""
        import ocelog, os, sys
        client = ocelog.connect({router.endpoint!r})
        client.map("users").put("a", 1)
        child = os.fork()
        if child == 0:
            sys.exit(3)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert client.map("users").get("a") == 1
        client.close()
        sys.exit(code)
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")


def test_the_client_imports_neither_numpy_nor_a_server_room():
    program = """
        import sys, ocelog
        ocelog.connect, ocelog.connect_async
        import ocelog.client.status
        rooms = ("ocelog.shard", "ocelog.log", "ocelog.cluster", "ocelog.bench", "numpy")
        print([name for name in sys.modules if name.startswith(rooms)])
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "[]\n"


def test_status_is_one_question_without_a_session(router):
    assert status.fetch(router.endpoint, timeout=5) == {"cluster_id": "c1", "shards": []}
    assert not any(shard.sessions for shard in router.shards)


def test_status_of_a_router_that_does_not_report(router):
    router.deaf = True
    with pytest.raises(DeadlineExceeded, match="did not report"):
        status.fetch(router.endpoint, timeout=0.3)


def test_status_of_nobody_tells_the_reason_in_time():
    with pytest.raises(ConnectFailed, match=r"0\.3 s: tcp://127\.0\.0\.1:9: connection refused"):
        status.fetch("tcp://127.0.0.1:9", timeout=0.3)


def test_a_client_that_was_never_closed_is_warned_of(router, recwarn):
    """As with files and sockets; not of one that was, however it came to its end."""
    with ocelog.connect(router.endpoint) as client:
        client.map("users").put("a", 1)
    del client
    with pytest.raises(ConnectFailed):
        ocelog.connect("tcp://127.0.0.1:9", timeout=0.1)
    gc.collect()
    assert not recwarn.list
    client = ocelog.connect(router.endpoint)
    with pytest.warns(ResourceWarning, match="<Client of .*> was never closed"):
        del client
        gc.collect()


def test_a_client_that_is_open_at_the_end_of_the_program_is_not_warned_of(router):
    script = f"import ocelog; client = ocelog.connect({router.endpoint!r}); client.map('users').put('a', 1)"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
