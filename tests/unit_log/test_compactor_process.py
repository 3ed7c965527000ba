"""The compactor as a real process: ready line, requests over a socket, and every way it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from ocelog.log.compaction_request import CompactionRequest, CompactionResult
from ocelog.log.files import OsDisk
from ocelog.log.log import LogConfig

from .compaction_driver import entries_of, request, rewritten, write_live_set, write_log

pytestmark = pytest.mark.system

WAIT_MS = 20_000
LOGGING = {"level": "info", "file_bytes_max": 1 << 20, "files_max": 2}
Process = subprocess.Popen[str]
Connect = Callable[[], zmq.Socket[bytes]]
Ask = Callable[[bytes], CompactionResult]


def arguments(tmp_path: Path, sockets: Path, **settings: Any) -> str:
    return json.dumps({"data": str(tmp_path), "sockets": str(sockets), "settings": {"logging": LOGGING, **settings}})


def start(*arguments: str) -> Process:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "ocelog.log.compactor_process", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: Process) -> tuple[int, str]:
    """The exit code and what was said."""
    code = process.wait(WAIT_MS / 1000)
    assert process.stderr is not None
    return code, process.stderr.read()


@pytest.fixture
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def compactor(tmp_path: Path, sockets: Path) -> Iterator[Process]:
    process = start(arguments(tmp_path, sockets, compaction={"nice": 7}))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == {"ready": True, "pid": process.pid}
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def connect(sockets: Path) -> Iterator[Connect]:
    """Makes a connection as a replica does."""
    context = zmq.Context()

    def connected() -> zmq.Socket[bytes]:
        socket = context.socket(zmq.DEALER)
        socket.connect(f"ipc://{sockets}/compactor")
        return socket

    yield connected
    context.destroy(linger=0)


@pytest.fixture
def ask(connect: Connect) -> Ask:
    """Sends a request by a connection of its own and waits for the answer."""

    def asked(data: bytes) -> CompactionResult:
        socket = connect()
        socket.send(data)
        return answer(socket)

    return asked


def answer(socket: zmq.Socket[bytes]) -> CompactionResult:
    assert socket.poll(WAIT_MS), "no answer"
    return CompactionResult.from_wire(socket.recv())


def prepared(tmp_path: Path, *, payloads: int = 65, payload: bytes = b"payload") -> CompactionRequest:
    """A replica with three closed segments of 20 entries, or more; one entry in each lives."""
    directory = str(tmp_path / "shard-3/replica-0")
    disk = OsDisk()
    disk.make_directory(directory)
    config = LogConfig(segment_bytes_max=1 << 16, segment_entries_max=20)
    records = write_log(disk, directory, [payload] * payloads, config)
    snapshot = write_live_set(disk, directory, payloads - 1, [record.first_index for record in records])
    return request(directory, snapshot, *(((record,), 8000 + at) for at, record in enumerate(records)))


def written(wanted: CompactionRequest) -> list[str]:
    """The files of targets that are there."""
    names = {group.target.file_name for group in wanted.groups}
    return [path.name for path in Path(wanted.directory, "log").iterdir() if path.name in names]


def test_it_rewrites_what_it_is_asked_to(compactor: Process, tmp_path: Path, ask: Ask) -> None:
    wanted = prepared(tmp_path)
    result = ask(wanted.to_wire())
    assert [(group.generation, group.entries, group.error) for group in result.groups] == [
        (8000, 1, None),
        (8001, 1, None),
        (8002, 1, None),
    ]
    for group in wanted.groups:
        segment = rewritten(OsDisk(), wanted.directory, group.target)
        assert entries_of(segment) == {segment.first_index: b"payload"}


def test_it_is_nice_as_the_settings_say(compactor: Process) -> None:
    assert psutil.Process(compactor.pid).nice() == os.nice(0) + 7


def test_bad_requests_are_answered_and_the_next_one_is_served(compactor: Process, tmp_path: Path, ask: Ask) -> None:
    assert ask(b"nonsense").error
    assert ask(b"").error
    wanted = prepared(tmp_path)
    outside = CompactionRequest(**vars(wanted) | {"directory": "/"})
    assert "is not below" in str(ask(outside.to_wire()).groups[0].error)
    missing = CompactionRequest(**vars(wanted) | {"snapshot_path": f"{wanted.directory}/snapshots/1-1.snap"})
    assert "1-1.snap" in str(ask(missing.to_wire()).groups[0].error)
    assert ask(wanted.to_wire()).groups[0].error is None


def test_an_answer_that_nobody_takes_leaves_no_files(
    compactor: Process, tmp_path: Path, connect: Connect, ask: Ask
) -> None:
    """The replica has gone: it would never put them into its manifest, and its successor does not know them."""
    wanted = prepared(tmp_path, payloads=1201)
    gone = connect()
    gone.send(wanted.to_wire())
    wait_until(lambda: written(wanted))
    gone.close(linger=0)
    wait_until(lambda: not written(wanted))
    assert ask(wanted.to_wire()).groups[0].error is None


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again, until it is so or far too much time has passed."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.002)


@pytest.mark.parametrize("how", ["SIGTERM", "end of stdin"])
@pytest.mark.parametrize("busy", [False, True])
def test_it_stops_soon_and_leaves_nothing(
    compactor: Process, tmp_path: Path, connect: Connect, how: str, busy: bool
) -> None:
    wanted = prepared(tmp_path, payloads=2001)
    if busy:
        connect().send(wanted.to_wire())
        wait_until(lambda: written(wanted))
    if how == "SIGTERM":
        compactor.send_signal(signal.SIGTERM)
    else:
        assert compactor.stdin is not None
        compactor.stdin.close()
    assert ended(compactor) == (0, "")
    assert not written(wanted)


def test_an_interrupt_from_the_terminal_is_not_for_it(compactor: Process, ask: Ask) -> None:
    compactor.send_signal(signal.SIGINT)
    assert ask(b"nonsense").error
    assert compactor.poll() is None


def test_it_writes_a_log(compactor: Process, tmp_path: Path, ask: Ask) -> None:
    ask(prepared(tmp_path).to_wire())
    compactor.send_signal(signal.SIGTERM)
    assert ended(compactor)[0] == 0
    assert "3 groups rewritten, 0 failed; 3 entries" in (tmp_path / "logs/compactor.log").read_text()


@pytest.mark.parametrize(
    "argument", ["", "{}", "[]", "3", '{"data": 3, "sockets": "", "settings": {}}', '{"data": "/", "sockets": "/"}']
)
def test_an_argument_that_describes_no_compactor_is_a_usage_error(argument: str) -> None:
    code, said = ended(start(argument))
    assert code == os.EX_USAGE and "does not describe a compactor" in said and "Traceback" not in said


def test_no_argument_is_a_usage_error() -> None:
    code, said = ended(start())
    assert code == os.EX_USAGE and said.startswith("usage:")


def test_a_place_that_cannot_be_listened_on_is_told(tmp_path: Path) -> None:
    code, said = ended(start(arguments(tmp_path, tmp_path / "none" / "such")))
    assert code == os.EX_UNAVAILABLE
    assert said.startswith("compactor: ipc://") and "Traceback" not in said
