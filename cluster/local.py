"""A real cluster inside a program or a test: processes, files and sockets, in a directory that goes away.

    from ocelog.cluster import LocalCluster

    with LocalCluster(shards=1, replicas=3) as cluster:
        with ocelog.connect(cluster.endpoints) as client:
            client.map("greetings").put("hello", "world")

The same supervisor as `ocelog up`, on a thread of the calling process; replicas and routers can be killed, paused and
restarted.
Settings come from the arguments alone, never from `ocelog.toml` or the environment.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .config import Settings
from .errors import ConfigError
from .supervisor import POLL_S, START_S_MAX, Supervisor

LEADER_S_MAX = 30.0


class LocalCluster:
    """A cluster of this process; a context manager, or `start` and `stop`.

    `data` is kept when it is given, else it is a temporary directory. `machines` are state machines of one's own, classes at
    the top of a module or `module:Class`. `sections` are settings, for example `raft={"tick_ms": 10}`. `timeout` is how many
    seconds the start may take. Raises ConfigError for settings that are
    not valid, and on entering AlreadyRunning, DataError or StartFailed.
    """

    def __init__(
        self,
        *,
        shards: int = 2,
        replicas: int = 3,
        routers: int = 1,
        data: str | Path | None = None,
        machines: Iterable[type | str] = (),
        timeout: float = START_S_MAX,
        **sections: Mapping[str, Any],
    ) -> None:
        self._temporary = data is None
        self._timeout = timeout
        self._directory = Path(data) if data is not None else Path(tempfile.mkdtemp(prefix="ocelog-data-"))
        try:
            own = {"shards": shards, "replicas": replicas, "routers": routers, "data": str(self._directory)}
            self.settings = _settings({**own, **_machines(machines)}, sections)
        except BaseException:
            self._remove()
            raise
        self.supervisor = Supervisor(self.settings)

    def start(self) -> LocalCluster:
        """Start the cluster and wait until every shard has a leader."""
        try:
            self.supervisor.start()
            self.supervisor.wait_ready(self._timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every process; remove the data if it is temporary. May be called again."""
        self.supervisor.stop()
        self._remove()

    def _remove(self) -> None:
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> LocalCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.supervisor.data

    @property
    def endpoints(self) -> list[str]:
        """Where clients connect to, by number of the router: pass it, or a part of it, to `ocelog.connect`."""
        return self.supervisor.endpoints

    def status(self) -> dict[str, Any]:
        """The dictionary that `ocelog status --json` prints. Raises OcelogError when no router answers in 5 s."""
        return self.supervisor.status()

    def leader(self, shard: int, timeout: float = LEADER_S_MAX) -> int:
        """The id of the replica that leads a shard; while nobody does, waits `timeout` seconds for one.

        Raises TimeoutError, and OcelogError as `status` does.
        """
        deadline = time.monotonic() + timeout
        while (leader := self.status()["shards"][shard]["leader"]) is None:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"shard {shard} had no leader for {timeout:g} s")
            time.sleep(POLL_S)
        return int(leader)

    def directory(self, shard: int, replica: int) -> Path:
        """Where a replica keeps its files."""
        from ..shard.assembly import replica_directory  # brings the log and numpy, which nothing else here needs

        return Path(replica_directory(str(self.data), shard, replica))

    def wipe(self, shard: int, replica: int) -> None:
        """Delete the files of a replica that is down, as if its disk had been lost; `restart` brings it back without.

        Raises ValueError while it runs.
        """
        if (pid := self.pid(shard, replica)) is not None:
            raise ValueError(f"replica {replica} of shard {shard} runs as process {pid}: kill it before its files go")
        shutil.rmtree(self.directory(shard, replica))

    def pid(self, shard: int, replica: int) -> int | None:
        """The process id of a replica, None while it is down."""
        return self.supervisor.pid(shard, replica)

    def kill(self, shard: int, replica: int) -> None:
        """Kill a replica (SIGKILL) and leave it down until `restart`."""
        self.supervisor.kill(shard, replica)

    def pause(self, shard: int, replica: int) -> None:
        """Freeze a replica (SIGSTOP) until `resume`."""
        self.supervisor.pause(shard, replica)

    def resume(self, shard: int, replica: int) -> None:
        """Let a paused replica go on."""
        self.supervisor.resume(shard, replica)

    def restart(self, shard: int, replica: int) -> None:
        """Start a replica that is down, or kill it and start it again; returns when it is up. Raises StartFailed."""
        self.supervisor.restart(shard, replica)

    def router_pid(self, router: int) -> int | None:
        """The process id of a router, None while it is down."""
        return self.supervisor.router_pid(router)

    def kill_router(self, router: int) -> None:
        """Kill a router (SIGKILL) and leave it down until `restart_router`."""
        self.supervisor.kill_router(router)

    def pause_router(self, router: int) -> None:
        """Freeze a router (SIGSTOP) until `resume_router`."""
        self.supervisor.pause_router(router)

    def resume_router(self, router: int) -> None:
        """Let a paused router go on."""
        self.supervisor.resume_router(router)

    def restart_router(self, router: int) -> None:
        """Start a router that is down, or kill it and start it again, on the same endpoint; returns when it is up.

        Raises StartFailed.
        """
        self.supervisor.restart_router(router)


def _machines(machines: Iterable[type | str]) -> dict[str, Any]:
    """The settings for these machines; their modules are found where this process finds its own."""
    texts = [text_of(machine) if isinstance(machine, type) else machine for machine in machines]
    if not texts:
        return {}
    return {"machines": texts, "machine_path": [folder for folder in sys.path if folder]}


def text_of(machine: type) -> str:
    """How another process finds the class. Raises ConfigError for one that it cannot import."""
    if machine.__module__ == "__main__" or "<locals>" in machine.__qualname__:
        raise ConfigError(
            f"{machine.__qualname__} of {machine.__module__} cannot be imported by the replicas: put it at the top of a module"
        )
    return f"{machine.__module__}:{machine.__qualname__}"


def _settings(own: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]]) -> Settings:
    cluster = {**own, "listen": "tcp://127.0.0.1:0", **sections.get("cluster", {})}
    return Settings.from_sections({**sections, "cluster": cluster})
