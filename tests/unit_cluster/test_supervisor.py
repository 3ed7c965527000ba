"""The supervisor over fake children: starting, restarting, giving up, stopping, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ocelog.cluster import supervisor as supervisor_module
from ocelog.cluster import watch
from ocelog.cluster.config import Settings
from ocelog.cluster.errors import AlreadyRunning, ConfigError, NotRunning, StartFailed
from ocelog.cluster.restart_policy import FAILED_STARTS_MAX
from ocelog.cluster.run_record import RunRecord, clear_predecessor, process_of
from ocelog.cluster.supervisor import Supervisor

FAKE_CHILD = Path(__file__).with_name("fake_child.py")
WAIT_S_MAX = 20.0


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.005)


def fake_command(plan) -> list[str]:
    return [sys.executable, str(FAKE_CHILD), json.dumps(plan.arguments)]


def all_lead(endpoints: list[str], timeout: float) -> dict:
    return {"shards": [{"id": 0, "leader": 1}]}


def none_leads(endpoints: list[str], timeout: float) -> dict:
    return {"shards": [{"id": 0, "leader": None}]}


class Fakes:
    """Makes supervisors on one data directory, and tells the children how to behave."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.made: list[Supervisor] = []

    def supervisor(self, *, status_of=all_lead, **cluster) -> Supervisor:
        sections = {"cluster": {"shards": 1, "replicas": 3, "data": str(self.data), **cluster}}
        self.made.append(Supervisor(Settings.from_sections(sections), command=fake_command, status_of=status_of))
        return self.made[-1]

    def running(self, **cluster) -> Supervisor:
        supervisor = self.supervisor(**cluster)
        supervisor.start()
        supervisor.wait_ready(WAIT_S_MAX)
        return supervisor

    def behave(self, name: str, words: str) -> None:
        (self.data / "behaviour").mkdir(parents=True, exist_ok=True)
        (self.data / "behaviour" / name).write_text(words)

    def starts(self, name: str) -> list[list[str]]:
        """Process id and `listen` of every start of a child."""
        path = self.data / f"{name}.starts"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def fakes(tmp_path) -> Iterator[Fakes]:
    fakes = Fakes(tmp_path / "data")
    yield fakes
    for supervisor in fakes.made:
        supervisor.request_kill()
        supervisor.stop()
    clear_predecessor(fakes.data)  # of a supervisor that the test killed


def pids_of(data: Path) -> list[int]:
    record = RunRecord.read(data)
    assert record is not None
    return [pid for pid, _ in record.children]


def runs(pid: int) -> bool:
    """False also for a process that has ended and was not reaped, as orphans are in a container without an init."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# -- starting ------------------------------------------------------------------------------------------


def test_a_cluster_comes_up_and_says_where(fakes):
    supervisor = fakes.running(shards=2, listen="tcp://127.0.0.1:0", status_of=all_lead)
    assert supervisor.endpoints == ["tcp://127.0.0.1:45678"]
    record = RunRecord.read(fakes.data)
    assert record is not None
    assert (record.ready, record.endpoints) == (True, supervisor.endpoints)
    assert process_of(record.supervisor).pid == os.getpid()
    assert len(record.children) == 8
    assert record.compactor in [pid for pid, _ in record.children]
    assert os.stat(record.sockets).st_mode & 0o777 == 0o700


def test_children_run_in_process_groups_of_their_own(fakes):
    fakes.running()
    for pid in pids_of(fakes.data):
        assert os.getpgid(pid) == pid


def test_ready_waits_for_leaders(fakes):
    supervisor = fakes.supervisor(status_of=none_leads)
    supervisor.start()
    with pytest.raises(StartFailed, match="no leader in shard 0"):
        supervisor.wait_ready(1.0)


def found_after(looks: int):
    """A status that has a leader, and calls replica 2 down until it was asked for so often."""
    left = [looks]

    def status(endpoints: list[str], timeout: float) -> dict:
        left[0] -= 1
        roles = ("follower", "leader", "down" if left[0] >= 0 else "follower")
        rows = [{"id": number, "role": role} for number, role in enumerate(roles)]
        return {"shards": [{"id": 0, "leader": 1, "replicas": rows}]}

    status.left = left
    return status


def test_ready_waits_until_the_router_has_found_what_is_up(fakes):
    """Or the first `ocelog status` of a cluster that has just come up would call a replica down."""
    status = found_after(5)
    fakes.running(status_of=status)
    assert status.left[0] < 0


def test_a_replica_that_the_router_never_finds_keeps_nobody_waiting_for_ever(fakes, monkeypatch):
    monkeypatch.setattr(supervisor_module, "UNSEEN_S_MAX", 0.3)
    supervisor = fakes.supervisor(status_of=found_after(10**9))
    supervisor.start()
    supervisor.wait_ready(WAIT_S_MAX)


def test_ready_waits_for_every_child(fakes):
    fakes.behave("replica-0-2", "silent")
    supervisor = fakes.supervisor()
    supervisor.start()
    with pytest.raises(StartFailed, match="replica 0/2 not up"):
        supervisor.wait_ready(1.0)


def test_a_router_that_cannot_start_stops_everything_and_its_reason_is_told(fakes):
    fakes.behave("router-0", "exit=69")
    supervisor = fakes.supervisor()
    supervisor.start()
    with pytest.raises(StartFailed, match="router 0 cannot start: router-0 cannot do it") as caught:
        supervisor.wait_ready(WAIT_S_MAX)
    assert caught.value.exit_code == 69
    assert RunRecord.read(fakes.data) is None


def test_one_replica_that_stays_down_is_borne_a_majority_is_not(fakes, caplog):
    fakes.behave("replica-0-0", "exit=65")
    fakes.running().stop()
    assert (
        "replica 0/0 ended with exit code 65: replica-0-0 cannot do it; it stays down: its data is damaged"
        in caplog.text
    )
    assert len(fakes.starts("replica-0-0")) == 1
    fakes.behave("replica-0-1", "exit=65")
    supervisor = fakes.supervisor()
    supervisor.start()
    with pytest.raises(StartFailed) as caught:
        supervisor.wait_ready(WAIT_S_MAX)
    assert caught.value.exit_code == 65


def test_a_command_that_does_not_exist_is_a_failed_start(fakes):
    supervisor = fakes.supervisor()
    supervisor._command = lambda plan: ["/does/not/exist"]
    supervisor.start()
    with pytest.raises(StartFailed, match="/does/not/exist"):
        supervisor.wait_ready(WAIT_S_MAX)


def test_a_second_supervisor_is_refused_naming_the_first(fakes):
    fakes.running()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as caught:
        fakes.supervisor().start()
    assert (caught.value.exit_code, caught.value.pid) == (73, os.getpid())
    assert RunRecord.read(fakes.data) is not None


def test_another_number_of_shards_on_old_data_is_refused(fakes):
    fakes.running().stop()
    with pytest.raises(ConfigError, match=r"cluster\.shards is 4, but"):
        fakes.supervisor(shards=4).start()
    fakes.running()  # and the lock was given back


def test_a_long_name_for_the_sockets_is_refused_with_a_clear_sentence(fakes, tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with pytest.raises(ConfigError, match="may have 107; set XDG_RUNTIME_DIR or TMPDIR"):
        fakes.supervisor().start()


def test_a_cluster_is_ready_without_its_compactor(fakes, caplog):
    fakes.behave("compactor", "exit=70")
    fakes.running()
    eventually(lambda: "compactor ended with exit code 70: compactor cannot do it; it stays down" in caplog.text, "it")
    # It is said first and recorded at the end of the loop's round; no other start can come in between.
    eventually(lambda: RunRecord.read(fakes.data).compactor is None, "the record to say so")
    assert len(fakes.starts("compactor")) == FAILED_STARTS_MAX


# -- restarting ----------------------------------------------------------------------------------------


def test_a_killed_replica_is_started_again(fakes):
    supervisor = fakes.running()
    first = supervisor.pid(0, 1)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(fakes.starts("replica-0-1")) == 2, "the second start")
    assert supervisor.pid(0, 1) != first


def test_a_killed_compactor_is_started_again_and_the_record_tells_which_it_is(fakes):
    fakes.running()
    eventually(lambda: len(fakes.starts("compactor")) == 1, "the first start")
    first = int(fakes.starts("compactor")[0][0])

    def recorded() -> int | None:
        record = RunRecord.read(fakes.data)
        return record.compactor if record else None

    eventually(lambda: recorded() == first, "its record")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: recorded() not in (None, first), "the second start")


def test_a_router_takes_the_same_port_again(fakes):
    supervisor = fakes.running(listen="tcp://127.0.0.1:0")
    os.kill(int(fakes.starts("router-0")[0][0]), signal.SIGKILL)
    eventually(lambda: len(fakes.starts("router-0")) == 2, "the second start")
    assert [listen for _, listen in fakes.starts("router-0")] == ["tcp://127.0.0.1:0", "tcp://127.0.0.1:45678"]
    assert supervisor.endpoints == ["tcp://127.0.0.1:45678"]


def test_a_replica_killed_by_request_stays_down_until_restarted(fakes):
    supervisor = fakes.running()
    first = supervisor.pid(0, 1)
    supervisor.kill(0, 1)
    assert supervisor.pid(0, 1) is None
    supervisor.restart(0, 2)  # the loop has turned meanwhile
    assert len(fakes.starts("replica-0-1")) == 1
    supervisor.restart(0, 1)
    assert supervisor.pid(0, 1) not in (None, first)


def test_restart_tells_when_it_fails(fakes):
    supervisor = fakes.running()
    supervisor.kill(0, 1)
    fakes.behave("replica-0-1", "exit=65")
    with pytest.raises(StartFailed, match="replica 0/1 stays down: its data is damaged"):
        supervisor.restart(0, 1)


def test_pause_and_resume(fakes):
    supervisor = fakes.running()
    process = psutil.Process(supervisor.pid(0, 1))
    supervisor.pause(0, 1)
    eventually(lambda: process.status() == psutil.STATUS_STOPPED, "the pause")
    supervisor.resume(0, 1)
    eventually(lambda: process.status() != psutil.STATUS_STOPPED, "the end of it")


def test_a_replica_that_is_not_there_is_refused(fakes):
    with pytest.raises(ValueError, match="no replica 7 of shard 0"):
        fakes.running().kill(0, 7)


# -- stopping ------------------------------------------------------------------------------------------


def test_stop_ends_everything_and_tidies_up(fakes):
    supervisor = fakes.running()
    pids, record = pids_of(fakes.data), RunRecord.read(fakes.data)
    supervisor.pause(0, 1)  # a paused process stops as well
    supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not os.path.exists(record.sockets)
    assert RunRecord.read(fakes.data) is None
    supervisor.stop()
    with pytest.raises(NotRunning):
        supervisor.kill(0, 0)


def test_a_stubborn_child_is_killed_after_the_deadline(fakes, monkeypatch, caplog):
    monkeypatch.setattr(watch, "STOP_S_MAX", 0.3)
    fakes.behave("replica-0-1", "stubborn")
    supervisor = fakes.running()
    pid = supervisor.pid(0, 1)
    supervisor.stop()
    assert not psutil.pid_exists(pid)
    assert "replica 0/1 did not stop within 0.3 s and is killed" in caplog.text


def test_a_child_that_was_still_starting_may_end_by_the_signal(fakes, caplog):
    fakes.behave("replica-0-1", "young silent")
    supervisor = fakes.supervisor()
    supervisor.start()
    eventually(lambda: fakes.starts("replica-0-1"), "the child to start")
    supervisor.stop()
    assert "while stopping" not in caplog.text


def test_a_child_that_was_ready_and_ends_by_the_signal_is_told(fakes, caplog):
    fakes.behave("replica-0-1", "young")
    fakes.running().stop()
    assert "replica 0/1 was killed by SIGTERM while stopping\n" in caplog.text


def test_replicas_are_not_asked_to_stop_before_the_router_has(fakes, monkeypatch):
    fakes.behave("router-0", "stubborn")
    supervisor = fakes.running()
    replica = supervisor.pid(0, 1)
    supervisor.request_stop()
    supervisor.join(0.5)
    assert psutil.pid_exists(replica)
    supervisor.request_kill()
    supervisor.join(WAIT_S_MAX)
    assert not psutil.pid_exists(replica)


def test_a_kill_does_not_wait_for_the_stubborn(fakes):
    for name in ("replica-0-0", "replica-0-1", "replica-0-2", "router-0"):
        fakes.behave(name, "stubborn")
    supervisor = fakes.running()
    pids = pids_of(fakes.data)
    supervisor.request_stop()
    supervisor.request_kill()
    supervisor.join(watch.STOP_S_MAX / 2)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_stop_while_starting_is_no_failure(fakes):
    supervisor = fakes.supervisor(status_of=none_leads)
    supervisor.start()
    supervisor.request_stop()
    with pytest.raises(NotRunning):
        supervisor.wait_ready(WAIT_S_MAX)
    assert supervisor.failure is None


# -- a supervisor that is killed -----------------------------------------------------------------------

DOOMED = """
import json, sys
from ocelog.cluster.config import Settings
from ocelog.cluster.supervisor import Supervisor

supervisor = Supervisor(
    Settings.from_sections({"cluster": {"shards": 1, "data": sys.argv[1]}}),
    command=lambda plan: [sys.executable, sys.argv[2], json.dumps(plan.arguments)],
    status_of=lambda endpoints, timeout: {"shards": [{"id": 0, "leader": 0}]},
)
supervisor.start()
supervisor.wait_ready()
print("ready", flush=True)
supervisor.join()
"""


@pytest.fixture
def doomed(fakes) -> Iterator[subprocess.Popen]:
    """A supervisor in a process of its own, ready."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", DOOMED, str(fakes.data), str(FAKE_CHILD)], stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_supervisor_leaves_no_children(fakes, doomed):
    assert doomed.stdout.readline() == b"ready\n"
    pids = pids_of(fakes.data)
    assert len(pids) == 5
    doomed.kill()
    eventually(lambda: not any(map(runs, pids)), "the children to end")
    assert (fakes.data / "replica-0-0.ends").exists(), "they stopped by themselves, at the end of their input"


def test_the_next_supervisor_tidies_up_after_a_killed_one(fakes, doomed, monkeypatch):
    monkeypatch.setattr("ocelog.cluster.run_record.CHILDREN_END_S_MAX", 0.5)
    fakes.behave("replica-0-1", "stubborn")
    assert doomed.stdout.readline() == b"ready\n"
    pids, sockets = pids_of(fakes.data), RunRecord.read(fakes.data).sockets
    doomed.kill()
    doomed.wait()
    supervisor = fakes.running()
    assert not any(map(runs, pids))
    assert not os.path.exists(sockets)
    assert supervisor.pid(0, 1) not in pids


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"supervisor": 3}', b"\xff", b'{"supervisor": ["a", "b"]}', b'{"supervisor": [1e999, 1]}']
)
def test_a_record_that_cannot_be_read_is_no_record(fakes, content):
    fakes.data.mkdir()
    (fakes.data / "supervisor").write_bytes(content)
    assert RunRecord.read(fakes.data) is None
    fakes.running()


def test_a_process_id_that_was_given_to_another_process_is_left_alone(fakes):
    fakes.data.mkdir()
    RunRecord(supervisor=(os.getpid(), 1.0), sockets="/nowhere/else", children=[(os.getppid(), 1.0)]).write(fakes.data)
    assert process_of(RunRecord.read(fakes.data).supervisor) is None
    fakes.running()
    assert psutil.pid_exists(os.getppid())
