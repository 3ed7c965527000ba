"""The supervisor: runs a cluster's processes on this machine, watches them, starts them again and stops them in order.

It knows nothing of Raft, sessions or messages. What to run is `plan.py`, what to do about an end `restart_policy.py`,
the loop `watch.py`; this file owns the data directory and the thread the loop runs on. The public methods may be called
from any thread, `request_stop` and `request_kill` from a signal handler too.

Invariants: the data directory's lock is held from before the first child until after the last; every child has a pipe
to this process and stops when it ends, so none outlives it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from ..log.errors import DirectoryInUse
from ..log.files import DirectoryLock
from . import clusterfile, descriptors, run_record, status
from .child import Child, Command
from .clusterfile import ClusterFile
from .config import Settings
from .error_file import ErrorFile
from .errors import AlreadyRunning, ClusterError, NotRunning, StartFailed
from .machine_check import check_machines
from .plan import COMPACTOR, Key, can_be_ready, command_of, machine_path, plan_children
from .run_record import RunRecord
from .watch import STOP_S_MAX, Watch

logger = logging.getLogger(__name__)

LOGS_NAME = "logs"
CALL_S_MAX = 30.0
START_S_MAX = 60.0
POLL_S = 0.03
UNSEEN_S_MAX = 5.0
"""So long the router may take to find replicas that are up, once every shard has a leader."""

STATUS_S = 3.0

StatusOf = Callable[[list[str], float], dict[str, Any]]


class Supervisor:
    """Runs the cluster of `settings`. Start it once; a stopped one is not started again.

    `command` gives the command line of a child, `status_of` the cluster's status: tests pass their own.
    """

    def __init__(
        self, settings: Settings, *, command: Command = command_of, status_of: StatusOf = status.fetch
    ) -> None:
        self.settings = settings
        self.data = Path(settings.cluster.data).absolute()
        self._command = command
        self._status_of = status_of
        self._children: dict[Key, Child] = {}
        self._lock: DirectoryLock | None = None
        self._record: RunRecord | None = None
        self._watch: Watch | None = None
        self._stopped = threading.Event()
        self._unseen_until = inf

    def start(self) -> None:
        """Take the directory, start the processes and return at once; `wait_ready` waits for them.

        Raises AlreadyRunning, ConfigError, DataError or StartFailed, and leaves nothing behind then.
        """
        assert self._watch is None, f"the supervisor of {self.data} was started before"
        descriptors.check()
        self._make_directory()
        self._lock = take_lock(self.data)
        try:
            run_record.clear_predecessor(self.data)
            cluster = clusterfile.load_or_create(self.data, self.settings)
            check_machines(self.settings.cluster.machines, machine_path(self.settings))
            self._prepare(cluster)
        except BaseException:
            self._release()
            raise
        threading.Thread(target=self._run, name="ocelog-supervisor", daemon=True).start()

    def _make_directory(self) -> None:
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
            reason = f"{error.filename}: {error.strerror}"
            raise StartFailed(f"the data directory cannot be made ({reason}): give another with --data", code) from None

    def _prepare(self, cluster: ClusterFile) -> None:
        logs = self.data / LOGS_NAME
        logs.mkdir(exist_ok=True)
        sockets = run_record.make_sockets(cluster.shards, cluster.replicas)
        self._record = RunRecord(supervisor=run_record.identify(os.getpid()), sockets=sockets)
        for plan in plan_children(self.settings, cluster, self.data, sockets):
            self._children[plan.key] = Child(plan, ErrorFile(logs / f"{plan.file_stem}.err"), self._command)
        self._watch = Watch(
            list(self._children.values()),
            can_be_ready=lambda down: can_be_ready(down, cluster.shards, cluster.replicas),
            changed=self._write_record,
        )
        self._write_record()

    def _run(self) -> None:
        assert self._watch is not None
        try:
            self._watch.run()
        except BaseException as error:
            logger.exception("the supervisor failed")
            self._watch.failure = StartFailed(f"the supervisor failed: {error}", os.EX_SOFTWARE)
        finally:
            self._release()
            self._stopped.set()

    def _release(self) -> None:
        if self._record is not None:
            run_record.remove_sockets(self._record.sockets)
            run_record.remove(self.data)
        if self._lock is not None:
            self._lock.release()

    def _write_record(self) -> None:
        """Record what runs now, so that `ocelog stop` and the next supervisor find it."""
        record = self._record
        assert record is not None and self._watch is not None
        record.endpoints = self.endpoints
        record.ready = self._watch.ever_ready
        record.routers = [(child.endpoint or "", child.pid if child.ready else None) for child in self._routers()]
        record.compactor = self._children[COMPACTOR].pid
        record.children = [run_record.identify(child.pid) for child in self._children.values() if child.pid]
        try:
            record.write(self.data)
        except OSError as error:  # a full disk must not take the supervisor down
            logger.warning("%s cannot be written: %s", self.data / run_record.FILE_NAME, error)

    # -- the cluster as a whole ------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[str]:
        """Where clients connect to; empty until the routers are up for the first time."""
        return [child.endpoint for child in self._children.values() if child.endpoint is not None]

    def _routers(self) -> list[Child]:
        return [child for child in self._children.values() if child.plan.key[0] == "router"]

    @property
    def failure(self) -> ClusterError | None:
        """Why the cluster stopped by itself, None if it did not."""
        return self._watch.failure if self._watch else None

    def wait_ready(self, timeout: float = START_S_MAX) -> None:
        """Wait until every process that is needed is up and every shard has a leader; `timeout` in seconds.

        Raises StartFailed, naming what is missing, or NotRunning when the cluster was stopped meanwhile.
        """
        watch = self._running()
        deadline = time.monotonic() + timeout
        self._unseen_until = inf
        while (missing := self._missing()) and not watch.stopping:
            if time.monotonic() >= deadline:
                raise StartFailed(f"not ready after {timeout:g} s: {missing}; see {self.data / LOGS_NAME}")
            self._stopped.wait(POLL_S)
        if watch.stopping:
            self._stopped.wait(2 * STOP_S_MAX)
            raise watch.failure or NotRunning("the cluster was stopped while it was starting")
        watch.ever_ready = True
        self._call(self._write_record)

    def _missing(self) -> str:
        """What the cluster still lacks to be ready, in words; empty when nothing."""
        needed = [child for child in self._children.values() if child.plan.is_needed]
        waiting = [child.name for child in needed if not (child.ready or child.down_reason)]
        if waiting:
            return f"{', '.join(waiting)} not up"
        try:
            shards = self._status_of(self.endpoints, STATUS_S)["shards"]
        except Exception as error:  # whatever it is, there is no answer yet; the caller's deadline tells of it
            return f"no status from {', '.join(self.endpoints)}: {error}"
        leaderless = [shard for shard in shards if shard["leader"] is None]
        if not leaderless:
            return self._unseen(shards)
        numbers = ", ".join(str(shard["id"]) for shard in leaderless)
        lacking = (row.get("missing_machine") for shard in leaderless for row in shard.get("replicas", ()))
        reason = next(filter(None, lacking), None)
        return f"no leader in shard {numbers}" + (f": {reason}" if reason else "")

    def _unseen(self, shards: Sequence[Mapping[str, Any]]) -> str:
        """Replicas that are up, and not found by the router yet: a status would call them down. Waited for, but not for ever."""
        self._unseen_until = min(self._unseen_until, time.monotonic() + UNSEEN_S_MAX)
        if time.monotonic() >= self._unseen_until:
            return ""
        rows = (
            (shard["id"], row) for shard in shards for row in shard.get("replicas", ()) if row["role"] == status.DOWN
        )
        up = {child.plan.key for child in self._children.values() if child.ready and not child.down_reason}
        unseen = [f"{shard}/{row['id']}" for shard, row in rows if ("replica", shard, row["id"]) in up]
        return f"replica {', '.join(unseen)} not found by the router" if unseen else ""

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """The cluster's status, as `ocelog status --json` prints it; `timeout` in seconds."""
        return self._status_of(self.endpoints, timeout)

    def request_stop(self) -> None:
        """Begin to stop, and return at once."""
        if self._watch is not None:
            self._watch.request_stop()

    def request_kill(self) -> None:
        """Kill every process without waiting for any, and return at once."""
        if self._watch is not None:
            self._watch.request_kill()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the cluster has stopped, for `timeout` seconds at most (None: for ever)."""
        self._stopped.wait(timeout)

    def stop(self) -> None:
        """Stop every process in order and return when the last has ended; may be called again."""
        if self._watch is not None:
            self.request_stop()
            self.join()

    # -- one process -----------------------------------------------------------------------------------

    def pid(self, shard: int, replica: int) -> int | None:
        """The process id of a replica, None while it is down."""
        return self._replica(shard, replica).pid

    def kill(self, shard: int, replica: int) -> None:
        """Kill a replica (SIGKILL), wait for its end, and leave it down until `restart`."""
        self._kill(self._replica(shard, replica))

    def pause(self, shard: int, replica: int) -> None:
        """Stop a replica's process in its tracks (SIGSTOP) until `resume`."""
        self._signal(self._replica(shard, replica), signal.SIGSTOP)

    def resume(self, shard: int, replica: int) -> None:
        """Let a paused replica go on (SIGCONT)."""
        self._signal(self._replica(shard, replica), signal.SIGCONT)

    def restart(self, shard: int, replica: int) -> None:
        """Start a replica that is down, or kill it and start it again; returns when it is up.

        Raises StartFailed when it stays down.
        """
        self._restart(self._replica(shard, replica))

    def router_pid(self, router: int) -> int | None:
        """The process id of a router, None while it is down."""
        return self._router(router).pid

    def kill_router(self, router: int) -> None:
        """Kill a router (SIGKILL), wait for its end, and leave it down until `restart_router`."""
        self._kill(self._router(router))

    def pause_router(self, router: int) -> None:
        """Stop a router's process in its tracks (SIGSTOP) until `resume_router`."""
        self._signal(self._router(router), signal.SIGSTOP)

    def resume_router(self, router: int) -> None:
        """Let a paused router go on (SIGCONT)."""
        self._signal(self._router(router), signal.SIGCONT)

    def restart_router(self, router: int) -> None:
        """Start a router that is down, or kill it and start it again; returns when it is up.

        Raises StartFailed when it stays down.
        """
        self._restart(self._router(router))

    def _replica(self, shard: int, replica: int) -> Child:
        child = self._children.get(("replica", shard, replica))
        if child is None:
            raise ValueError(f"there is no replica {replica} of shard {shard}")
        return child

    def _router(self, router: int) -> Child:
        child = self._children.get(("router", router, 0))
        if child is None:
            raise ValueError(f"there is no router {router}")
        return child

    def _kill(self, child: Child) -> None:
        self._call(lambda: self._running().hold(child))
        self._await(lambda: child.pid is None, f"{child.name} to end")

    def _signal(self, child: Child, number: signal.Signals) -> None:
        self._call(lambda: child.send(number))

    def _restart(self, child: Child) -> None:
        if child.pid is not None:
            self._kill(child)
        self._call(lambda: self._running().start(child))
        self._await(lambda: child.ready or bool(child.down_reason), f"{child.name} to be up")
        if child.down_reason:
            raise StartFailed(f"{child.name} stays down: {child.down_reason}")

    def _running(self) -> Watch:
        if self._watch is None or self._stopped.is_set():
            raise self.failure or NotRunning(f"no cluster is running on {self.data}")
        return self._watch

    def _call(self, work: Callable[[], object]) -> None:
        """Have the loop's thread do it, and wait until it has."""
        done: Future[object] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._running().post(run)
        self._await(done.done, "the supervisor")
        done.result()

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + CALL_S_MAX
        while not condition():
            if self._stopped.wait(POLL_S / 10):
                raise NotRunning("the cluster has stopped")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {CALL_S_MAX:g} s for {what}")


def take_lock(data: Path) -> DirectoryLock:
    """The lock of a data directory. Raises AlreadyRunning, naming the process that has it."""
    try:
        return DirectoryLock.acquire(str(data))
    except DirectoryInUse as error:
        with suppress(AttributeError):
            raise AlreadyRunning(f"{data} is in use by another ocelog, process {error.pid}", error.pid) from None
        raise
