"""Gathering a cluster's figures and serving them over HTTP, for collectors that come and fetch.

What the figures are is `metrics`; here are the questions to the routers and the sockets of the server.

Invariants: however many collectors ask at once, the cluster is asked by one of them at a time; a cluster that cannot be
asked is a 503, never a page without figures.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..client.protocol.errors import BadArgument, OcelogError
from . import metrics, status

ROUTER_S = 1.5
"""A router that has not told its figures by then counts as down."""
REQUEST_S = 10.0
DEFAULT_HOST = "127.0.0.1"

Fetch = Callable[[Sequence[str], float], dict[str, Any]]


def report(endpoints: Sequence[str], timeout: float, fetch: Fetch = status.fetch) -> dict[str, Any]:
    """The status with the figures of every router, each of which knows only its own; `timeout` in seconds.

    Raises OcelogError when no router answers.
    """
    found = fetch(endpoints, timeout)

    def ask(router: Mapping[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        if router["pid"] is not None and router["clients"] is None:
            try:
                own = _row(fetch([router["endpoint"]], min(timeout, ROUTER_S)), router["id"])
            except OcelogError:
                own = {}
        known = {**router, **own}
        return {**known, "up": known["clients"] is not None}

    routers = found["routers"]
    if routers:
        with ThreadPoolExecutor(len(routers)) as pool:
            found["routers"] = list(pool.map(ask, routers))
    return found


def _row(found: Mapping[str, Any], router: int) -> dict[str, Any]:
    return next((dict(row) for row in found["routers"] if row["id"] == router), {})


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `:PORT` or `PORT`; without a host, this machine's loopback. Raises BadArgument."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise BadArgument(f"not an address: {address!r:.100}; expected HOST:PORT, for example {DEFAULT_HOST}:9400")
    return host.strip("[]") or DEFAULT_HOST, int(port)


class MetricsServer(ThreadingHTTPServer):
    """Serves `GET /metrics` with what `text` returns. Raises OSError when it cannot listen; `url` tells where it does."""

    daemon_threads = True

    def __init__(self, host: str, port: int, text: Callable[[], str]) -> None:
        self.text = text
        self.one_at_a_time = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where the figures are."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(str(self.server_address[0])).is_loopback


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version = "ocelog"
    sys_version = ""
    timeout = REQUEST_S  # a collector that says nothing does not keep its thread for ever

    def do_GET(self) -> None:
        if self.path.split("?")[0] != "/metrics":
            self._answer(404, "text/plain; charset=utf-8", "the figures are at /metrics\n")
            return
        try:
            with self.server.one_at_a_time:
                text = self.server.text()
        except OcelogError as error:
            self._answer(503, "text/plain; charset=utf-8", f"{error}\n")
            return
        self._answer(200, metrics.CONTENT_TYPE, text)

    def _answer(self, code: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A collector that comes every few seconds is not worth a line each time."""
