"""Bad inputs, from outside: a user's mistakes and damaged files each end in one clear sentence, and harm nobody else.

What is checked closer to its cause is not repeated here: settings in unit_cluster and unit_packaging, signals and ports in
test_cluster_verbs, each file's damage in unit_log and test_replica_process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ocelog
import psutil
import pytest
from ocelog.cluster import LocalCluster

WAIT_S_MAX = 60.0

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=1, session={"in_flight_max": 8}) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[ocelog.Client]:
    with ocelog.connect(cluster.endpoints) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda c: c.map("m").put("k", None), ocelog.BadArgument, "None is not a value"),
        (lambda c: c.map("m").put("k", b"x" * (1 << 20)), ocelog.Refused, "the limit is 1048576"),
        (lambda c: c.counter("c").add("five"), ocelog.BadArgument, "expected an integer"),
        (lambda c: c.command("c", "counter", "add", "five"), ocelog.Refused, "argument 1 must be int, not str"),
        (lambda c: c.command("m", "map", "put", b"k", None), ocelog.Refused, "must be bytes, not NoneType"),
        (lambda c: c.command("m", "map", "explode"), ocelog.UnknownOperation, "a map has no command 'explode'"),
        (lambda c: c.query("m", "map", "explode"), ocelog.UnknownOperation, "a map has no query 'explode'"),
        (lambda c: c.command("x", "teapot", "brew"), ocelog.Refused, "no machine of type 'teapot' is installed"),
    ],
)
def test_a_mistake_in_a_call_is_definite_and_the_next_call_works(
    client: ocelog.Client, call: Callable[[ocelog.Client], object], error: type[ocelog.OcelogError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        call(client)
    assert caught.value.definite
    assert client.counter("after").increment() >= 1


def test_a_name_has_one_type(client: ocelog.Client) -> None:
    client.map("taken").put("k", 1)
    with pytest.raises(ocelog.WrongType, match="'taken' is a map, not a counter"):
        client.counter("taken").increment()


def test_more_calls_than_the_window_wait_and_all_succeed(cluster: LocalCluster) -> None:
    async def flood() -> tuple[list[int], int]:
        async with ocelog.connect_async(cluster.endpoints, timeout=30) as client:
            hits = client.counter("flood")
            return await asyncio.gather(*(hits.increment() for _ in range(500))), await hits.get()

    answers, total = asyncio.run(flood())
    assert (sorted(answers), total) == (list(range(1, 501)), 500)


def test_a_client_after_a_fork_says_so_and_its_maker_goes_on(client: ocelog.Client) -> None:
    before = client.counter("forks").increment()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client.counter("forks").increment()
        except ocelog.Closed as error:
            code = 0 if "after a fork" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.counter("forks").increment() == before + 1


def test_garbage_on_the_port_disturbs_nobody(cluster: LocalCluster, client: ocelog.Client) -> None:
    host, port = cluster.endpoints[0].removeprefix("tcp://").split(":")
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, os.urandom(65536), b"\xff" + bytes(8) + b"\x7f"):
        with socket.create_connection((host, int(port)), timeout=WAIT_S_MAX) as stranger:
            stranger.sendall(noise)
            assert client.counter("noise").increment() >= 1
    assert cluster.status()["healthy"]


# -- what a stopped cluster's files can suffer ---------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped cluster with something in it; to be copied, not used."""
    data = tmp_path_factory.mktemp("written") / "data"
    with LocalCluster(shards=1, replicas=1, data=data) as cluster, ocelog.connect(cluster.endpoints) as client:
        for number in range(50):
            client.map("m").put(number, "x" * 50)
    return data


@pytest.fixture
def data(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "data"))


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


def damage_segment(data: Path) -> str:
    flip(data / "shard-0/replica-0/log/1-1.seg", 64 + 1200)
    return r"1-1\.seg at offset \d+, entry \d+ is damaged"


def damage_manifest(data: Path) -> str:
    flip(data / "shard-0/replica-0/manifest", 20)
    return r"replica-0/manifest at offset \d+ is damaged"


def damage_meta(data: Path) -> str:
    for copy in ("meta.0", "meta.1"):
        flip(data / "shard-0/replica-0" / copy, 20)
    return r"replica-0/meta\.\d at offset \d+ is damaged"


def damage_identity(data: Path) -> str:
    flip(data / "shard-0/replica-0/identity", 20)
    return r"replica-0/identity at offset \d+ is damaged"


def damage_cluster_file(data: Path) -> str:
    flip(data / "cluster", 60)
    return r"/cluster is damaged"


def lose_directory(data: Path) -> str:
    shutil.rmtree(data / "shard-0/replica-0")
    return r"replica-0/identity is damaged: it is missing, but .*/members/0-0 says that this replica has run before"


@pytest.mark.parametrize(
    "damage",
    [damage_segment, damage_manifest, damage_meta, damage_identity, damage_cluster_file, lose_directory],
)
def test_a_cluster_with_damaged_files_names_them_and_ends_with_65(data: Path, damage: Callable[[Path], str]) -> None:
    said = damage(data)
    arguments = ("up", "--shards=1", "--replicas=1", f"--data={data}", "--listen=tcp://127.0.0.1:0")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ocelog", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
    )
    assert done.returncode == 65, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("ocelog: ")
    assert re.search(said, last), last
    assert "Traceback" not in done.stderr


# -- what a machine may lack -----------------------------------------------------------------------------


def up_with(limit: str, data: Path, *arguments: str) -> subprocess.Popen[str]:
    """`ocelog up` under a limit that the shell's ulimit sets."""
    command = [sys.executable, "-P", "-m", "ocelog", "up", "--shards=1", "--replicas=1", f"--data={data}", *arguments]
    shell = ["sh", "-c", f'ulimit {limit}; exec "$0" "$@"', *command]
    return subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_too_few_open_files_are_told_before_anything_is_started(tmp_path: Path) -> None:
    """The hard limit is what counts: a soft one is raised."""
    process = up_with("-n 100", tmp_path / "data")
    _, said = process.communicate(timeout=WAIT_S_MAX)
    assert process.returncode == os.EX_UNAVAILABLE
    assert said == (
        "ocelog: a cluster needs 256 open files in each process, and 100 are allowed here: raise the limit (ulimit -n)\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_low_soft_limit_of_open_files_is_raised_for_every_process(tmp_path: Path) -> None:
    process = up_with("-S -n 100", tmp_path / "data", "--listen=tcp://127.0.0.1:0")
    try:
        assert process.stdout is not None
        assert any(line.startswith("ready") for line in process.stdout)
        processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        allowed = [each.rlimit(psutil.RLIMIT_NOFILE) for each in processes]
        assert len(allowed) >= 4
        assert all(soft == min(hard, 65_536) for soft, hard in allowed), allowed
    finally:
        process.terminate()
        process.communicate(timeout=WAIT_S_MAX)


def test_a_data_directory_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in (("file", "File exists"), ("file/below", "Not a directory"), ("x" * 300, "File name too long")):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ocelog", "up", f"--data={tmp_path / path}"],
            capture_output=True,
            text=True,
            timeout=WAIT_S_MAX,
        )
        assert done.returncode == os.EX_CANTCREAT
        assert done.stderr.startswith("ocelog: the data directory cannot be made (")
        assert reason in done.stderr
        assert done.stderr.endswith("give another with --data\n")


def test_nobody_reading_what_it_says_keeps_a_supervisor_from_nothing(tmp_path: Path) -> None:
    """Its standard error is a pipe that is full and stays full: a replica that was killed comes back, and it stops."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 512)
    os.set_blocking(writer, True)
    command = [sys.executable, "-P", "-m", "ocelog", "up", "--shards=1", "--replicas=1", f"--data={tmp_path / 'data'}"]
    process = subprocess.Popen(
        [*command, "--listen=tcp://127.0.0.1:0"], stdout=subprocess.PIPE, stderr=writer, text=True
    )
    try:
        assert process.stdout is not None
        assert any(line.startswith("ready") for line in process.stdout)
        children = {child.pid for child in psutil.Process(process.pid).children()}
        (replica,) = [pid for pid in children if "ocelog.shard" in psutil.Process(pid).cmdline()]
        for _ in range(3):
            os.kill(replica, signal.SIGKILL)
            replica = started_after(process.pid, replica)
        process.terminate()
        assert process.wait(timeout=WAIT_S_MAX) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


def started_after(supervisor: int, killed: int) -> int:
    """The replica that takes the place of the one that was killed."""
    deadline = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline:
        for child in psutil.Process(supervisor).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid != killed and "ocelog.shard" in child.cmdline():
                    return child.pid
        time.sleep(0.05)
    raise AssertionError("no replica was started in place of the one that was killed")
