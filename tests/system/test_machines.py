"""Machines of one's own in real processes: from the command line, through typed proxies, and from one version to the next."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ocelog
import pytest
from ocelog.cluster import LocalCluster
from ocelog.cluster.errors import ConfigError, StartFailed

from .bank import Bank, BankTwo

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
    with LocalCluster(shards=2, replicas=1, machines=[Bank]) as cluster:
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

class Outer:
    class Inner(StateMachine):
        type_name = "inner"
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
        (["raising_machines:Bank"], r"cannot be imported .ZeroDivisionError: division by zero"),
    ],
)
def test_a_machine_that_cannot_be_had_is_told_before_anything_is_started(
    tmp_path: Path, machines: list[str], said: str
) -> None:
    (tmp_path / "broken_machines.py").write_text(BROKEN)
    (tmp_path / "raising_machines.py").write_text("1 / 0\n")
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
