"""Machines of one's own in real processes: from the command line, through typed proxies, and from one version to the next."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ocelog
import pytest
from ocelog.cluster import LocalCluster
from ocelog.cluster.errors import ConfigError, StartFailed
from ocelog.cluster.plan import ChildPlan, command_of
from ocelog.cluster.supervisor import Supervisor

from .bank import Bank, BankTwo, Bell

WAIT_S_MAX = 60.0
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


class Accounts(ocelog.Resource):
    """A typed proxy."""

    type_name = "bank"

    def balance(self, account: str) -> int:
        """What an account holds."""
        balance: int = self.query("balance", account)
        return balance


class AsyncAccounts(ocelog.AsyncResource):
    """The same for asyncio."""

    type_name = "bank"

    async def balance(self, account: str) -> int:
        """What an account holds."""
        balance: int = await self.query("balance", account)
        return balance


class Unnamed(ocelog.Resource):
    """Says nothing of its type."""


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.05)


def ocelog_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "ocelog", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=2 * WAIT_S_MAX)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=2, replicas=1, machines=[Bank, Bell]) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[ocelog.Client]:
    with ocelog.connect(cluster.endpoints) as client:
        yield client


# -- using them ----------------------------------------------------------------------------------------


def test_commands_queries_and_errors_by_name(client: ocelog.Client) -> None:
    accounts = client.resource("by name", "bank")
    assert accounts.command("deposit", "a", 10) == 10
    assert accounts.command("transfer", "a", "b", 4) is None
    assert accounts.query("balance", "b") == 4
    with pytest.raises(ocelog.MachineError, match="ValueError: a has only 6"):
        accounts.command("transfer", "a", "b", 7)
    with pytest.raises(ocelog.Refused, match="argument 2 must be int, not str"):
        accounts.command("deposit", "a", "ten")
    with pytest.raises(ocelog.UnknownOperation, match="a bank has no command 'rob'"):
        accounts.command("rob")
    assert client.exists("by name") == "bank"
    assert client.delete("by name")


def test_typed_proxies_blocking_and_asyncio(cluster: LocalCluster, client: ocelog.Client) -> None:
    accounts = client.resource("typed", Accounts)
    accounts.command("deposit", "a", 3)
    assert accounts.balance("a") == 3
    assert type(accounts.with_consistency(queries=ocelog.SEQUENTIAL)) is Accounts

    async def asynchronous() -> int:
        async with ocelog.connect_async(cluster.endpoints) as client:
            accounts = client.resource("typed", AsyncAccounts)
            await accounts.command("deposit", "a", 4)
            return await accounts.balance("a")

    assert asyncio.run(asynchronous()) == 7


@pytest.mark.parametrize("wrong", ["", 3, None, dict, Unnamed, ocelog.AsyncResource])
def test_what_is_no_type_is_told(client: ocelog.Client, wrong: Any) -> None:
    with pytest.raises(ocelog.BadArgument, match="type"):
        client.resource("x", wrong)


def test_events_of_a_machine(client: ocelog.Client) -> None:
    accounts = client.resource("events", "bank")
    with accounts.events(timeout=WAIT_S_MAX) as events:
        accounts.command("deposit", "a", 1)
        accounts.command("deposit", "a", 2)
        first, second = next(events), next(events)
    assert isinstance(first, ocelog.ResourceEvent)
    assert (first.kind, first.key, first.old, first.new) == ("balance", "a", None, 1)
    assert (second.old, second.new) == (1, 3)


def test_requests_that_wait(cluster: LocalCluster, client: ocelog.Client) -> None:
    """Answered at once, later, and not in time; from both kinds of clients."""
    bell = client.resource("bell", "bell")
    assert bell.request("hear", 0) == 0
    assert bell.request("hear", 1, timeout=0.05) is None
    assert bell.query("waiting") == 0

    async def asynchronous() -> Any:
        async with ocelog.connect_async(cluster.endpoints) as other:
            heard = asyncio.create_task(other.resource("bell", "bell").request("hear", 1, timeout=WAIT_S_MAX))
            await asyncio.to_thread(eventually, lambda: bell.query("waiting") == 1, "somebody who waits")
            assert await asyncio.to_thread(bell.command, "ring", 3) == 1
            return await heard

    assert asyncio.run(asynchronous()) == 3


def test_from_the_command_line(cluster: LocalCluster) -> None:
    where = f"--endpoints={','.join(cluster.endpoints)}"
    assert ocelog_program("resource", "cli", "bank", "command", "deposit", "a", "5", where).stdout == "5\n"
    assert ocelog_program("resource", "cli", "bank", "query", "balance", "a", where).stdout == "5\n"
    none = ocelog_program("resource", "cli", "bank", "command", "transfer", "a", "b", "1", where)
    assert (none.returncode, none.stdout) == (1, "")
    wrong = ocelog_program("resource", "cli", "bank", "command", "transfer", "a", "b", "100", where)
    assert wrong.returncode == 65
    assert wrong.stderr.startswith("ocelog: ValueError: a has only 4 (")
    listed = json.loads(ocelog_program("machines", "--json", where).stdout)
    (bank,) = [row for row in listed if row["type"] == "bank"]
    assert bank["installed"] == {"1": ["0/0", "1/0"]}
    assert 1 in bank["in force"].values()
    assert "bank" in ocelog_program("machines", where).stdout
    missing = ocelog_program("machines", "switch", "bank", "7", where)
    assert missing.returncode == 65
    assert "version 7 of 'bank' is not installed here, but 1" in missing.stderr


# -- what cannot be installed --------------------------------------------------------------------------

BROKEN = """
import time
from ocelog import StateMachine

class Fine(StateMachine):
    type_name = "fine"

class Nameless(StateMachine):
    pass

class Map(StateMachine):
    type_name = "map"

class Again(StateMachine):
    type_name = "fine"

class Sized(StateMachine):
    type_name = "sized"

    def __init__(self, size):
        super().__init__()

class Hasty(StateMachine):
    type_name = "hasty"

    def __init__(self):
        self.total = 0

class Dated(StateMachine):
    type_name = "dated"

    def __init__(self):
        super().__init__()
        self.since = time.time()

class Forgetful(StateMachine):
    type_name = "forgetful"
    made = 0

    def __init__(self):
        super().__init__()
        Forgetful.made += 1
        self.number = self.made

    def snapshot(self):
        return self.number

    def install(self, state):
        self.number = state

class Unkept(StateMachine):
    type_name = "unkept"

    def snapshot(self):
        return {1, 2}

    def install(self, state):
        pass

class Outer:
    class Inner(StateMachine):
        type_name = "inner"
"""

SNAPSHOTLESS = """
from ocelog import SNAPSHOT, StateMachine, command

class Bank(StateMachine):
    type_name = "bank"

    @command(mode=SNAPSHOT)
    def go(self, commit):
        pass
"""


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        (["broken_machines"], "is to be written as module:Class"),
        (["no_such_module:Bank"], "cannot be imported .ModuleNotFoundError"),
        (["broken_machines:Nobody"], "there is no Nobody in broken_machines"),
        (["broken_machines:time"], "is no subclass of ocelog.StateMachine"),
        (["broken_machines:Nameless"], "has the type_name '' and the version 1"),
        (["broken_machines:Map"], "'map' is a type of Ocelog's own"),
        (["broken_machines:Fine", "broken_machines:Again"], "two machines are called 'fine'"),
        (["broken_machines:Sized"], r"Sized\(\) raises TypeError: .* missing 1 required positional argument"),
        (["broken_machines:Hasty"], r"its __init__ must begin with super\(\).__init__\(\)"),
        (["broken_machines:Dated"], r"__init__ \(line \d+\) calls time.time\(\): a clock differs between replicas"),
        (["broken_machines:Forgetful"], "two of them differ before any command"),
        (["broken_machines:Unkept"], "its empty state has no snapshot .TypeError: can"),
        (["snapshotless_machines:Bank"], "go keep their state in the snapshot, so the machine must define snapshot"),
        (["leaving_machines:Bank"], "cannot be imported .SystemExit: 0"),
        (["ending_machines:Bank"], "the modules of ending_machines:Bank end the process that imports them, with 0"),
        (["raising_machines:Bank"], r"cannot be imported .ZeroDivisionError: division by zero"),
    ],
)
def test_a_machine_that_cannot_be_had_is_told_before_anything_is_started(
    tmp_path: Path, machines: list[str], said: str
) -> None:
    (tmp_path / "broken_machines.py").write_text(BROKEN)
    (tmp_path / "raising_machines.py").write_text("1 / 0\n")
    (tmp_path / "leaving_machines.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "ending_machines.py").write_text("import os\nos._exit(0)\n")
    (tmp_path / "snapshotless_machines.py").write_text(SNAPSHOTLESS)
    settings = {"machine_path": [str(tmp_path)]}
    with pytest.raises(ConfigError, match=said):
        LocalCluster(shards=1, replicas=1, data=tmp_path / "data", machines=machines, cluster=settings).start()


def test_a_module_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocelog.cluster import machine_check

    (tmp_path / "endless_machines.py").write_text("while True: pass\n")
    with pytest.raises(ConfigError, match="still being imported after 2 s"):
        machine_check.check_machines(["endless_machines:Bank"], [str(tmp_path)], seconds=2)


def test_a_class_that_no_other_process_can_import_is_told() -> None:
    class Local(Bank):
        pass

    with pytest.raises(ConfigError, match=r"Local of .* cannot be imported by the replicas"):
        LocalCluster(machines=[Local])


def test_a_file_of_settings_finds_the_modules_beside_it(tmp_path: Path) -> None:
    """From wherever it is started."""
    (tmp_path / "mine.py").write_text(BROKEN)
    (tmp_path / "ocelog.toml").write_text('[cluster]\nshards = 1\nreplicas = 1\nmachines = ["mine:Outer.Inner"]\n')
    up = (
        "up",
        f"--config={tmp_path / 'ocelog.toml'}",
        f"--data={tmp_path / 'data'}",
        "--listen=tcp://127.0.0.1:0",
        "-d",
    )
    done = ocelog_program(*up)
    assert done.returncode == 0, done.stderr
    try:
        (endpoint,) = [word for word in done.stdout.split() if word.startswith("tcp://")][:1]
        with ocelog.connect(endpoint) as client:
            assert ("inner", [1]) in [(row.type, row.installed) for row in client.machines()]
    finally:
        assert ocelog_program("stop", f"--data={tmp_path / 'data'}").returncode == 0


# -- from one version to the next ----------------------------------------------------------------------


def start(data: Path, machines: list[type]) -> LocalCluster:
    return LocalCluster(shards=1, replicas=3, data=data, machines=machines)


def test_a_new_version_of_a_machine(tmp_path: Path) -> None:
    """Installed beside the old one, put in force by a command, and alone after the next snapshot; then a replica without it."""
    data = tmp_path / "data"
    with start(data, [Bank]) as cluster, ocelog.connect(cluster.endpoints) as client:
        accounts = client.resource("accounts", "bank")
        accounts.command("deposit", "a", 10)
        accounts.command("note", "opened")
    with start(data, [Bank, BankTwo]) as cluster, ocelog.connect(cluster.endpoints) as client:
        accounts = client.resource("accounts", "bank")
        assert accounts.query("state", None) == [1, [["a", 10]], ["opened"]]
        client.switch_machine("bank", 2)
        assert accounts.command("deposit", "a", 10) == 21
        (row,) = [row for row in client.machines() if row.type == "bank"]
        assert (row.version, row.installed) == (2, [1, 2])
        done = ocelog_program("snapshot", f"--endpoints={','.join(cluster.endpoints)}")
        assert done.returncode == 0, done.stderr
    with start(data, [BankTwo]) as cluster, ocelog.connect(cluster.endpoints) as client:
        assert client.resource("accounts", "bank").query("state", None) == [2, [["a", 21]], ["opened"]]
    said = (
        r"no leader in shard 0: entry \d+ needs version 2 of the machine 'bank', and version 1 of it is installed here"
    )
    with pytest.raises(StartFailed, match=said):
        LocalCluster(shards=1, replicas=3, data=data, machines=[Bank], timeout=8).start()


class Mixed:
    """A cluster of three replicas of which each has machines of its own, as while it is upgraded from host to host."""

    def __init__(self, data: Path) -> None:
        self.machines = {replica: [Bank] for replica in range(3)}
        self.cluster = start(data, [Bank])
        self.cluster.supervisor = Supervisor(self.cluster.settings, command=self._command)

    def _command(self, plan: ChildPlan) -> Sequence[str]:
        kind, _, replica = plan.key
        if kind == "replica":
            own = [f"{machine.__module__}:{machine.__qualname__}" for machine in self.machines[replica]]
            plan = replace(plan, arguments={**plan.arguments, "machines": own})
        return command_of(plan)

    def install(self, replica: int, machines: list[type]) -> None:
        self.machines[replica] = machines
        self.cluster.restart(0, replica)

    def row(self, replica: int) -> dict[str, Any]:
        (row,) = [row for row in self.cluster.status()["shards"][0]["replicas"] if row["id"] == replica]
        return dict(row)

    def caught_up(self, replica: int) -> bool:
        """Whether it has applied all that the leader has."""
        here, there = (self.row(one)["applied_index"] for one in (replica, self.cluster.leader(0)))
        return None not in (here, there) and here >= there


def test_a_rolling_upgrade_that_forgets_a_replica(tmp_path: Path) -> None:
    """Replica by replica under the eyes of a client; the one that was forgotten stops at the switch, and later catches up."""
    mixed = Mixed(tmp_path / "data")
    with mixed.cluster as cluster, ocelog.connect(cluster.endpoints) as client:
        accounts = client.resource("accounts", "bank")
        assert accounts.command("deposit", "a", 10) == 10
        forgotten = next(replica for replica in range(3) if replica != cluster.leader(0))
        upgraded = [replica for replica in range(3) if replica != forgotten]
        for step, replica in enumerate(upgraded):
            mixed.install(replica, [Bank, BankTwo])
            assert accounts.command("deposit", "a", 10) == 20 + 10 * step, "version 1 is in force"
        eventually(
            lambda: mixed.cluster.leader(0) in upgraded or _hand_over(mixed, forgotten), "a leader that has both"
        )
        client.switch_machine("bank", 2)
        assert accounts.command("deposit", "a", 10) == 41
        eventually(lambda: mixed.row(forgotten).get("missing_machine"), "the forgotten replica to stop")
        said = mixed.row(forgotten)["missing_machine"]
        assert "needs version 2 of the machine 'bank', and version 1 of it is installed here: install it" in said
        done = ocelog_program("machines", f"--endpoints={','.join(cluster.endpoints)}", "--json")
        (bank,) = [row for row in json.loads(done.stdout) if row["type"] == "bank"]
        assert bank["installed"] == {"1": ["0/0", "0/1", "0/2"], "2": [f"0/{replica}" for replica in upgraded]}
        killed = cluster.leader(0)
        cluster.kill(0, killed)
        assert accounts.command("deposit", "a", 1) == 43, "one leads, and the forgotten one votes and keeps the log"
        assert cluster.leader(0) == next(replica for replica in upgraded if replica != killed)
        cluster.restart(0, killed)
        mixed.install(forgotten, [Bank, BankTwo])
        eventually(lambda: mixed.caught_up(forgotten), "the forgotten replica to catch up")
        assert mixed.row(forgotten)["missing_machine"] is None


def _hand_over(mixed: Mixed, replica: int) -> None:
    """Have another replica lead than this one, which has just nothing new."""
    mixed.cluster.restart(0, replica)
