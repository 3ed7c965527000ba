"""`ocelog up`, `stop`, `status`, `map` and `counter` as an operator uses them: real processes, files and sockets."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

WAIT_S_MAX = 60.0

pytestmark = pytest.mark.system


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.02)


def ocelog(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-P", "-m", "ocelog", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=2 * WAIT_S_MAX,
    )


class Up:
    """One `ocelog up` in the foreground, on a port of the system's choice."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.output = data.parent / "up.out"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ocelog", "up", f"--data={data}", *arguments],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            eventually(lambda: "\nready" in self.text or self.process.poll() is not None, "ready")
            assert self.process.poll() is None, self.text
        except AssertionError as error:
            self.end()
            raise AssertionError(f"{error}\n{self.text}") from None

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def endpoint(self) -> str:
        return re.search(r"endpoints (tcp://127\.0\.0\.1:\d+)", self.text)[1]

    def ocelog(self, *arguments: str) -> subprocess.CompletedProcess:
        return ocelog(*arguments, OCELOG_ENDPOINTS=self.endpoint)

    def status(self) -> dict:
        return json.loads(self.ocelog("status", "--json").stdout)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(WAIT_S_MAX)


@pytest.fixture
def up(tmp_path) -> Iterator[Callable[..., Up]]:
    """Starts `ocelog up` on the test's data directory."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path / "data", "--listen=tcp://127.0.0.1:0", *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            one.process.send_signal(signal.SIGTERM)
            one.process.wait(WAIT_S_MAX)


def runs(process: psutil.Process) -> bool:
    """False also for a process that has ended and was not reaped, as orphans are in a container without an init."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_up_status_map_counter_and_the_data_is_there_again(up):
    first = up()
    for expected in ("ocelog 0.", f"data      {first.data}", "2, 3 replicas each", "loopback only", "ocelog status"):
        assert expected in first.text
    status = first.status()
    assert status["verdict"] == "healthy: every shard can lose 1 more replica"
    assert [len(shard["replicas"]) for shard in status["shards"]] == [3, 3]
    assert first.ocelog("map", "put", "users", "ada", '{"born": 1815}').returncode == 0
    assert first.ocelog("counter", "add", "visits", "41").stdout == "41\n"

    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(WAIT_S_MAX) == 0
    assert first.text.endswith("stopped\n")

    second = up()
    assert second.status()["cluster_id"] == status["cluster_id"]
    assert json.loads(second.ocelog("map", "get", "users", "ada").stdout) == {"born": 1815}
    assert second.ocelog("counter", "increment", "visits").stdout == "42\n"


def test_absent_and_false_end_with_1(up):
    cluster = up("--shards=1", "--replicas=1")
    for arguments, code, output in (
        (("map", "get", "m", "k"), 1, ""),
        (("map", "get", "m", "k", "--json"), 1, "null\n"),
        (("map", "replace", "m", "k", "v"), 1, ""),
        (("map", "put", "m", "k", "plain text"), 0, ""),
        (("map", "get", "m", "k"), 0, "plain text\n"),
        (("map", "get", "m", "k", "--json"), 0, '"plain text"\n'),
        (("map", "put-if-absent", "m", "k", "other"), 1, "plain text\n"),
        (("map", "put_if_absent", "m", "7", "[1, 2]"), 0, ""),
        (("map", "keys", "m"), 0, "k\n7\n"),
        (("map", "keys", "m", "--json"), 0, '["k", 7]\n'),
        (("map", "contains", "m", "7"), 0, "true\n"),
        (("map", "remove", "m", "7"), 0, "[1, 2]\n"),
        (("map", "remove", "m", "7"), 1, ""),
        (("map", "contains", "m", "7"), 1, "false\n"),
        (("map", "size", "m"), 0, "1\n"),
        (("map", "clear", "m"), 0, ""),
        (("counter", "get", "c"), 0, "0\n"),
        (("counter", "decrement", "c"), 0, "-1\n"),
        (("counter", "compare-and-set", "c", "5", "6"), 1, "false\n"),
        (("counter", "compare-and-set", "c", "-1", "6"), 0, "true\n"),
        (("counter", "set", "c", "3"), 0, ""),
    ):
        done = cluster.ocelog(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (code, output, ""), arguments
    refused = cluster.ocelog("map", "get", "c", "k")
    assert (refused.returncode, "is a counter, not a map" in refused.stderr) == (65, True)


def test_detached_and_stopped(tmp_path):
    data = f"--data={tmp_path / 'data'}"
    started = ocelog("up", "-d", "--shards=1", "--listen=tcp://127.0.0.1:0", data)
    try:
        assert started.returncode == 0, started.stderr
        endpoint = re.search(r"tcp://127\.0\.0\.1:\d+", started.stdout)[0]
        assert ocelog("status", "--endpoints", endpoint).stdout.endswith(
            "healthy: every shard can lose 1 more replica\n"
        )
        second = ocelog("up", "-d", data)
        assert second.returncode == 73
        assert re.search(r"is in use by another ocelog, process \d+", second.stderr)
    finally:
        stopped = ocelog("stop", data)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    again = ocelog("stop", data)
    assert (again.returncode, "no cluster is running on" in again.stderr) == (1, True)
    gone = ocelog("status", "--endpoints", endpoint, "--timeout", "0.5")
    assert (gone.returncode, "Traceback" in gone.stderr) == (69, False)


def test_a_port_in_use_is_refused_clearly_and_nothing_runs_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = ocelog("up", "--shards=1", f"--listen=tcp://127.0.0.1:{port}", f"--data={tmp_path / 'data'}")
    assert done.returncode == 69
    assert re.search(
        rf"^ocelog: .*cannot listen on tcp://127\.0\.0\.1:{port}: address in use", done.stderr, re.MULTILINE
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "supervisor").exists()


def test_another_number_of_shards_on_old_data_is_refused(up):
    up("--shards=1", "--replicas=1").end()
    with pytest.raises(AssertionError, match="was made with 1 shards"):
        up("--shards=2", "--replicas=1")


def test_a_killed_replica_comes_back_and_the_verdict_says_so(up):
    cluster = up("--shards=1")
    victim = cluster.status()["shards"][0]["replicas"][2]["pid"]
    os.kill(victim, signal.SIGSTOP)  # a paused one is as good as dead to its peers
    try:
        eventually(lambda: cluster.status()["verdict"].startswith("degraded"), "the verdict")
        down = cluster.status()["shards"][0]["replicas"][2]
        assert (down["role"], down["pid"]) == ("down", None)
    finally:
        os.kill(victim, signal.SIGKILL)
    eventually(lambda: cluster.status()["healthy"], "the replica to come back")
    assert cluster.status()["shards"][0]["replicas"][2]["pid"] != victim


def test_without_a_majority_the_status_is_unavailable(up):
    cluster = up("--shards=1")
    victims = [replica["pid"] for replica in cluster.status()["shards"][0]["replicas"][:2]]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: "has no majority" in cluster.ocelog("status").stdout, "the verdict")
    assert cluster.ocelog("status").returncode == 69


def test_a_killed_supervisor_leaves_nothing_and_the_data_starts_again(up):
    first = up("--shards=1")
    assert first.ocelog("map", "put", "m", "k", "v").returncode == 0
    children = first.children()
    assert len(children) == 5
    first.process.kill()
    first.process.wait(WAIT_S_MAX)
    second = up("--shards=1")  # at once: it waits for the children of the first
    assert not any(map(runs, children))
    assert second.ocelog("map", "get", "m", "k").stdout == "v\n"


def test_several_routers_are_named_by_every_verb_and_restarted_one_by_one(up, tmp_path):
    settings = tmp_path / "ocelog.toml"
    settings.write_text("[cluster]\nshards = 1\nreplicas = 1\nrouters = 2\n")
    cluster = up(f"--config={settings}")
    named = re.search(r"endpoints (tcp://\S+), (tcp://\S+)\n", cluster.text)
    assert named, cluster.text
    status = cluster.status()
    assert status["endpoints"] == list(named.groups())
    table = cluster.ocelog("status").stdout
    first, second = status["routers"]
    assert f"router 0 pid {first['pid']}, {first['endpoint']}\n" in table
    assert f"router 1 pid {second['pid']}, {second['endpoint']}\n" in table

    os.kill(second["pid"], signal.SIGKILL)
    assert cluster.ocelog("map", "put", "m", "k", "v").returncode == 0
    eventually(lambda: cluster.status()["routers"][1]["pid"] not in (None, second["pid"]), "another start")
    assert cluster.status()["routers"][0]["pid"] == first["pid"]
    assert cluster.status()["endpoints"] == status["endpoints"]
    assert ocelog("map", "get", "m", "k", "--endpoints", second["endpoint"]).stdout == "v\n"


def test_figures_for_collectors(up):
    cluster = up("--shards=1", "--replicas=1", "--routers=2")
    text = cluster.ocelog("metrics").stdout
    assert text.startswith("# TYPE ocelog_cluster info\n")
    assert text.endswith("# EOF\n")
    assert text.count("ocelog_router_up{") == 2
    found = {family["name"]: family for family in json.loads(cluster.ocelog("metrics", "--json").stdout)}
    assert [sample["value"] for sample in found["ocelog_replica_up"]["samples"]] == [1]
    assert found["ocelog_replica_memory_bytes"]["samples"][0]["value"] > 1 << 20
    refused = cluster.ocelog("metrics", "--listen", "nowhere")
    assert (refused.returncode, "expected HOST:PORT" in refused.stderr) == (64, True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = cluster.ocelog("metrics", "--listen", f":{other.getsockname()[1]}")
    assert (taken.returncode, taken.stderr) == (74, "ocelog: Address already in use\n")


def test_a_second_signal_stops_at_once(up):
    cluster = up("--shards=1")
    children = cluster.children()
    for replica in (child for child in children if "ocelog.shard" in child.cmdline()):
        replica.suspend()
    cluster.process.send_signal(signal.SIGINT)
    eventually(lambda: "once more" in cluster.text, "the first signal to be handled")
    cluster.process.send_signal(signal.SIGINT)
    assert cluster.process.wait(WAIT_S_MAX) in (0, 130)  # 0 when the first was quicker
    assert not any(map(runs, children))
