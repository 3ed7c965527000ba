"""The read-write lock's handles and `ocelog rwlock`, operation by operation, against a real cluster."""

from __future__ import annotations

import math
import queue
import sys
import threading
import time

import ocelog
import pytest
from ocelog.client.protocol.errors import BadArgument, DeadlineExceeded, ResourceDeleted

pytestmark = pytest.mark.system

SECONDS_MAX = 20
OCELOG = (sys.executable, "-m", "ocelog")


def test_operations(client, name):
    lock = client.read_write_lock(name)
    first, second = lock.read(timeout=5), lock.try_read()
    assert lock.try_write() is None
    assert [holder[:3] for holder in lock.status().holders] == [first, second]
    with pytest.raises(DeadlineExceeded):
        lock.write(timeout=0.2)
    assert lock.unlock(first) is True and lock.unlock(first) is False and lock.unlock(second) is True
    grant = lock.write(timeout=5)
    assert grant.token > second.token > first.token
    assert lock.try_read() is None and lock.try_write() is None
    status = lock.status()
    assert (status.holding, status.waiting, status.holders[0].wants) == (1, 0, True)
    assert lock.unlock(grant) is True and lock.status().holding == 0
    with pytest.raises(BadArgument):
        lock.unlock(grant.token)


def test_blocks_hold_it(endpoints, name):
    with ocelog.connect(endpoints) as client:
        lock = client.read_write_lock(name)
        with lock.held_read(timeout=5), lock.held_read(timeout=5):
            assert lock.status().holding == 2
        with pytest.raises(KeyError), lock.held_write(timeout=5) as grant:
            assert lock.status().holders[0].index == grant.token
            raise KeyError
        assert lock.status().holding == 0


def test_a_writer_that_waits_goes_before_readers_that_come_later(endpoints, name):
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        lock, theirs = client.read_write_lock(name), other.read_write_lock(name)
        reading, tokens, lost = lock.read(), queue.SimpleQueue(), queue.SimpleQueue()

        def work(take):
            grant = take(timeout=math.inf)
            tokens.put(grant.token)
            theirs.unlock(grant)

        threads = []
        for number, take in enumerate((theirs.write, theirs.read, theirs.read), 1):
            threads.append(threading.Thread(target=work, args=(take,)))
            threads[-1].start()
            deadline = time.monotonic() + SECONDS_MAX
            while lock.status().waiting < number:
                assert time.monotonic() < deadline
        assert lock.try_read(lost=lost.put) is None
        lock.unlock(reading)
        for thread in threads:
            thread.join(SECONDS_MAX)
        written, first, second = (tokens.get(timeout=SECONDS_MAX) for _ in range(3))
        assert reading.token < written < first == second and lost.empty()


def test_deleting_tells_those_who_wait_and_those_who_hold(endpoints, name):
    lost, raised = queue.SimpleQueue(), queue.SimpleQueue()
    with ocelog.connect(endpoints) as client, ocelog.connect(endpoints) as other:
        grant = client.read_write_lock(name).read(lost=lost.put)

        def wait():
            with pytest.raises(ResourceDeleted) as found:
                other.read_write_lock(name).write(timeout=SECONDS_MAX)
            raised.put(found.value)

        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + SECONDS_MAX
        while not client.read_write_lock(name).status().waiting:
            assert time.monotonic() < deadline
        assert client.delete(name)
        assert lost.get(timeout=SECONDS_MAX) == grant
        assert raised.get(timeout=SECONDS_MAX).context["resource"] == name
        thread.join(SECONDS_MAX)


def test_the_command_line_holds_it_for_a_command(run, name):
    status = (*OCELOG, "rwlock", name, "--status")
    code, text = run("rwlock", name, "--read", "--", *status)
    assert code == 0 and text.splitlines()[0].endswith(", to read"), text
    assert run("rwlock", name, "--", *status)[1].splitlines()[0].endswith(", to write")
    assert run("rwlock", name, "--read", "--", *OCELOG, "rwlock", name, "--read", "--", "true") == (0, "")
    assert run("rwlock", name, "--read", "--", *OCELOG, "rwlock", name, "--timeout", "0.2", "--", "true") == (75, "")
