"""The verbs `ocelog up`, `stop`, `status`, `metrics`, `compact` and `snapshot`: their arguments, output and exit codes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from .. import __version__
from ..client import endpoints
from ..client.endpoints import DEFAULT
from ..client.protocol import frames
from ..client.protocol.admin import COMPACT, SNAPSHOT, AdminRequest
from ..client.protocol.errors import BadArgument
from ..client.verbs import add_connection_options
from ..log.process_log import start_console
from . import descriptors, maintenance, metrics, run_record, scrape, sources, status
from .config import Settings
from .endpoint import is_ipc
from .error_file import ErrorFile
from .errors import StopTimeout
from .run_record import RunRecord
from .supervisor import LOGS_NAME, Supervisor

STOP_S_MAX = 60.0
MAINTENANCE_S = 300.0
POLL_S = 0.05
STYLES = {
    "leader": "green",
    status.DOWN: "red",
    status.LACKING: "red",
    status.CUT_OFF: "red",
    status.DIVERGED: "bold red",
}
FOR_THIS_USER = "a socket file; no encryption, no authentication: this user alone may connect"
SECURITY = "loopback only; no encryption, no authentication: every user of this machine may connect"


# -- up ------------------------------------------------------------------------------------------------


def configure_up(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog up`; what is not given comes from the environment or the file."""
    parser.add_argument("-d", "--detach", action="store_true", help="return when the cluster is ready; it runs on")
    parser.add_argument("--shards", type=int, metavar="N", help="independent Raft groups (2)")
    parser.add_argument("--replicas", type=int, metavar="N", help="processes per shard (3); a majority must be up")
    parser.add_argument("--routers", type=int, metavar="N", help="processes that clients connect to (1)")
    parser.add_argument(
        "--listen",
        metavar="ENDPOINT",
        help=f"where clients connect to ({DEFAULT}); further routers take the ports after",
    )
    parser.add_argument(
        "--machine",
        action="append",
        dest="machines",
        metavar="MODULE:CLASS",
        help="a state machine of one's own; its module is found here, or beside the settings (may be repeated)",
    )
    _add_data_options(parser)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", help="the data directory (./data)")
    parser.add_argument("--config", metavar="FILE", help=f"settings (./{sources.FILE_NAME} if there is one)")


def _settings(options: argparse.Namespace) -> Settings:
    names = ("shards", "replicas", "routers", "listen", "data", "machines")
    flags = {name: getattr(options, name, None) for name in names}
    return sources.from_process(file=options.config, flags={"cluster": flags})


def run_up(options: argparse.Namespace) -> int:
    """Run a cluster until SIGINT or SIGTERM, or with `-d` until it is ready. Raises ClusterError."""
    settings = _settings(options)
    if options.detach:
        return _run_detached(options, settings)
    descriptors.raise_limit()
    told = start_console(sys.stderr, level=settings.logging.level)
    try:
        return _run_attached(settings)
    finally:
        told.stop()


def _run_attached(settings: Settings) -> int:
    supervisor = Supervisor(settings)
    asked = _stop_on_signals(supervisor)
    supervisor.start()
    started = time.monotonic()
    print(_heading(settings, supervisor.data), flush=True)
    try:
        supervisor.wait_ready()
        print(_invitation(supervisor.endpoints), flush=True)
        print(f"ready after {time.monotonic() - started:.1f} s", flush=True)
        supervisor.join()
    except BaseException:
        supervisor.stop()
        if not asked:
            raise
    if supervisor.failure is not None:
        raise supervisor.failure
    print("stopped" if len(asked) < 2 else "killed", flush=True)
    return 0 if len(asked) < 2 else 128 + asked[-1]


def _stop_on_signals(supervisor: Supervisor) -> list[int]:
    """The first SIGINT or SIGTERM stops in order, the second at once. Returns the list of those that have come."""
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            supervisor.request_stop()
            if select.select([], [2], [], 0)[1]:  # a pipe that nobody reads must not keep it from stopping
                os.write(2, b"stopping; once more to stop at once\n")  # print is not safe in a handler
        else:
            supervisor.request_kill()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return asked


def _heading(settings: Settings, data: Path) -> str:
    cluster = settings.cluster
    return "\n".join(
        (
            f"ocelog {__version__}",
            f"  shards    {cluster.shards}, {cluster.replicas} replicas each",
            f"  routers   {cluster.routers}",
            f"  data      {data}",
            f"  security  {FOR_THIS_USER if is_ipc(cluster.listen) else SECURITY}",
            "starting",
        )
    )


def _invitation(listening: list[str]) -> str:
    elsewhere = "" if listening == [DEFAULT] else f" --endpoints {','.join(listening)}"
    program = _own_name()
    return "\n".join(
        (
            f"  endpoints {', '.join(listening)}",
            f"  try       {program} status{elsewhere}",
            f"            {program} map put greetings hello world{elsewhere}",
            f"            {program} map get greetings hello{elsewhere}",
        )
    )


def _own_name() -> str:
    """What to type to run this program again: its bare name where the shell would find it, else its path."""
    typed = sys.argv[0]
    found = shutil.which("ocelog")
    if not typed.endswith("ocelog") or (found is not None and os.path.realpath(found) == os.path.realpath(typed)):
        return "ocelog"
    return os.path.relpath(typed)


def _run_detached(options: argparse.Namespace, settings: Settings) -> int:
    """Start `ocelog up` in a session of its own and wait until it is ready or has ended."""
    data = Path(settings.cluster.data).absolute()
    (data / LOGS_NAME).mkdir(parents=True, exist_ok=True)
    output = ErrorFile(data / LOGS_NAME / "supervisor.log")
    descriptor = output.open()
    arguments = [
        f"--{name}={getattr(options, name)}"
        for name in ("shards", "replicas", "routers", "listen", "data", "config")
        if getattr(options, name) is not None
    ]
    arguments += [f"--machine={machine}" for machine in options.machines or ()]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ocelog", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    try:
        record = _await_ready(process, data)
    except BaseException:
        process.terminate()
        raise
    if record is None:
        print(output.last_line(), file=sys.stderr)
        return process.returncode or os.EX_SOFTWARE
    print(_heading(settings, data).removesuffix("\nstarting"))
    print(_invitation(record.endpoints))
    print(f"ready, pid {process.pid}; `ocelog stop{f' --data {options.data}' if options.data else ''}` stops it")
    return 0


def _await_ready(process: subprocess.Popen[bytes], data: Path) -> RunRecord | None:
    """The record of the supervisor once it is ready, None when it has ended; it gives up by itself."""
    while process.poll() is None:
        record = RunRecord.read(data)
        if record is not None and record.ready and record.supervisor[0] == process.pid:
            return record
        time.sleep(POLL_S)
    return None


# -- stop ----------------------------------------------------------------------------------------------


def configure_stop(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog stop`."""
    _add_data_options(parser)


def run_stop(options: argparse.Namespace) -> int:
    """Stop the cluster of a data directory and wait for its end; 1 when none runs there. Raises StopTimeout."""
    data = Path(_settings(options).cluster.data).absolute()
    record = RunRecord.read(data)
    process = run_record.process_of(record.supervisor) if record else None
    if record is None or process is None:
        print(f"no cluster is running on {data}", file=sys.stderr)
        return 1
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    if run_record.wait_ended([record.supervisor], STOP_S_MAX):
        raise StopTimeout(
            f"process {process.pid} on {data} is still running after {STOP_S_MAX:g} s; "
            f"`ocelog stop` once more stops it at once"
        )
    print(f"stopped the cluster on {data}")
    return 0


# -- status --------------------------------------------------------------------------------------------


def configure_status(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog status`."""
    add_connection_options(parser)


def run_status(options: argparse.Namespace) -> int:
    """Print the cluster's status; 69 when a shard cannot serve. Raises OcelogError when no router answers."""
    report = status.fetch(endpoints.parse(options.endpoints), options.timeout)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print_table(report)
    return os.EX_UNAVAILABLE if report["verdict"].startswith("unavailable") else 0


def _print_table(report: dict[str, Any]) -> None:
    rows = status.rows(report)
    lines = status.columns(status.HEADINGS, rows).splitlines()
    styles = ["bold", *(STYLES.get(row[status.HEADINGS.index("role")], "") for row in rows)]
    lines += [*status.router_lines(report), status.compactor_line(report), report["verdict"]]
    styles += ["" if router["pid"] else "red" for router in report["routers"]]
    styles += ["" if report["compactor"] else "red"]
    styles.append("bold green" if report["healthy"] else "bold red")
    if sys.stdout.isatty():
        with suppress(ImportError):  # colours need rich, which is an extra
            _print_in_colour(lines, styles)
            return
    print("\n".join(lines))


def _print_in_colour(lines: list[str], styles: list[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line, style in zip(lines, styles, strict=True):
        # A terminal that is too narrow wraps the line: rich would cut the cells, and a number cut short is a wrong one.
        console.print(Text(line, style), soft_wrap=True)


# -- metrics -------------------------------------------------------------------------------------------


def configure_metrics(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog metrics`."""
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="serve them at http://HOST:PORT/metrics until Ctrl-C; loopback if no HOST"
    )
    add_connection_options(parser)


def run_metrics(options: argparse.Namespace) -> int:
    """Print the figures in the OpenMetrics text format, or serve them. Raises OcelogError when no router answers."""
    asked = endpoints.parse(options.endpoints)
    if options.listen is not None:
        return _serve_metrics(options.listen, lambda: metrics.text(scrape.report(asked, options.timeout)))
    report = scrape.report(asked, options.timeout)
    if options.json:
        print(json.dumps(metrics.as_json(report), indent=2))
    else:
        print(metrics.text(report), end="")
    return 0


def _serve_metrics(address: str, text: Callable[[], str]) -> int:
    server = scrape.MetricsServer(*scrape.parse_address(address), text)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=server.serve_forever, name="ocelog-metrics", daemon=True).start()
    print(f"serving {server.url}", flush=True)
    if not server.is_loopback:
        print("other machines can reach it, and there is no authentication", file=sys.stderr)
    ended.wait()
    server.shutdown()
    server.server_close()
    return 0


# -- compact and snapshot ------------------------------------------------------------------------------


def configure_compact(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog compact`."""
    parser.add_argument("--major", action="store_true", help="rewrite every sealed segment, and combine small ones")
    _add_maintenance_options(parser)


def configure_snapshot(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog snapshot`."""
    _add_maintenance_options(parser)


def _add_maintenance_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shard", type=int, metavar="N", help="this shard only (all)")
    add_connection_options(parser, MAINTENANCE_S)


def run_compact(options: argparse.Namespace) -> int:
    """Have every replica compact its log and wait; 75 when one did not. Raises OcelogError."""
    return _maintain(options, AdminRequest(COMPACT, options.major))


def run_snapshot(options: argparse.Namespace) -> int:
    """Have every replica take a snapshot and wait; 75 when one did not. Raises OcelogError."""
    return _maintain(options, AdminRequest(SNAPSHOT))


def _maintain(options: argparse.Namespace, wanted: AdminRequest) -> int:
    if options.shard is not None and not 0 <= options.shard < frames.NO_SHARD:
        raise BadArgument(f"--shard {options.shard}: there is no such shard")
    asked = endpoints.parse(options.endpoints)
    outcomes = maintenance.carry_out(asked, wanted, options.shard, options.timeout)
    if options.json:
        print(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes], indent=2))
    else:
        print(status.columns(maintenance.HEADINGS, [outcome.cells for outcome in outcomes]))
    return 0 if all(outcome.result == maintenance.DONE for outcome in outcomes) else os.EX_TEMPFAIL
