"""Whether a peer's process has surely ended: told by the kernel, and never of one that only lost its connection."""

from __future__ import annotations

import select
import subprocess
import sys

import pytest
from ocelog.shard.lives import Lives

PATIENCE_MS = 10_000
LISTENER = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def peer(tmp_path):
    """A process that listens, and its address."""
    path = str(tmp_path / "peer")
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process, f"ipc://{path}"
    process.kill()
    process.communicate()


def spoken(descriptor, patience_ms=PATIENCE_MS):
    """Whether the descriptor speaks in time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience_ms))


def test_the_end_of_a_process_is_told(peer):
    process, address = peer
    lives = Lives({1: address})
    descriptor = lives.watch(1)
    assert not spoken(descriptor, 0)
    assert lives.ended(()) == []
    process.kill()
    assert spoken(descriptor)
    assert lives.ended({descriptor}) == [1]
    assert lives.ended({descriptor}) == [], "told once"


def test_a_process_that_lost_its_socket_is_not_taken_for_dead(peer, tmp_path):
    """What others do to the file says nothing about the process."""
    _, address = peer
    lives = Lives({1: address})
    descriptor = lives.watch(1)
    (tmp_path / "peer").unlink()
    assert not spoken(descriptor, 50)
    lives.close()


@pytest.mark.parametrize("address", ["ipc:///nowhere/at/all", "tcp://127.0.0.1:1"])
def test_of_others_nothing_is_known(address):
    """Nobody listens, or somebody on another host may."""
    assert Lives({1: address}).watch(1) is None


def test_a_new_connection_takes_the_place_of_the_one_before(peer):
    _, address = peer
    lives = Lives({1: address})
    first = lives.watch(1)
    second = lives.watch(1)
    assert second is not None
    assert lives.ended({first} - {second}) == []
    lives.close()
    assert lives.ended({second}) == []
