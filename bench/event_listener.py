"""One listener in a process of its own: an ordinary client whose callback notes when each event came.

`python -P -m ocelog.bench.event_listener ENDPOINTS NAME` listens to a map whose values are numbers, and writes to stdout,
as msgpack arrays, the numbers and when they came, by a clock that all processes of the machine share.
`Listener` starts it and reads what it tells.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import msgpack
import psutil

START_SECONDS = 30.0
SHIPMENT_SECONDS = 0.02
"""So long a listener's rows wait for company; the time in them is that of the event."""


class ListenerFailed(Exception):
    """The listener ended, missed events, or did not get one in time."""


class Listener:
    """The process, as long as it is entered; `count` is the highest number that came, plus one."""

    def __init__(self, endpoints: Sequence[str], name: str) -> None:
        self.count = 0
        self._times: dict[int, int] = {}
        self._problem = ""
        self._ready = threading.Event()
        self._advanced = threading.Condition()
        command = [sys.executable, "-P", "-m", "ocelog.bench.event_listener", ",".join(endpoints), name]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, name="listener-reader", daemon=True)
        self._reader.start()

    def __enter__(self) -> Listener:
        if not self._ready.wait(START_SECONDS) or self._problem:
            self._end()
            raise ListenerFailed(self._problem or "the listener did not begin in time")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._child.kill()
        self._child.wait()
        self._reader.join()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            pipe.close()

    def when(self, number: int, seconds: float) -> int:
        """When the event of that number came (ns, as `time.perf_counter_ns`). Raises ListenerFailed."""
        with self._advanced:
            self._advanced.wait_for(lambda: self._problem or number in self._times, seconds)
            if number not in self._times:
                raise ListenerFailed(self._problem or f"event {number} did not come within {seconds:g} s")
            return self._times[number]

    def cpu_ns(self) -> int:
        """The CPU time that the process has used."""
        times = psutil.Process(self._child.pid).cpu_times()
        return int((times.user + times.system) * 1e9)

    def _read(self) -> None:
        assert self._child.stdout is not None
        unpacker = msgpack.Unpacker()
        while data := self._child.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            unpacker.feed(data)
            for message in unpacker:
                self._take(message)
        with self._advanced:
            self._problem = self._problem or "the listener ended"
            self._advanced.notify_all()
        self._ready.set()

    def _take(self, message: Any) -> None:
        with self._advanced:
            if message == "ready":
                self._ready.set()
            elif type(message) is str:
                self._problem = message
            else:
                self._times.update(message)
                self.count = max(self.count, message[-1][0] + 1)
            self._advanced.notify_all()


def main(endpoints: str, name: str) -> int:
    """Listen until stdin ends."""
    from ..client.changes import Resync
    from ..client.sync import connect

    out, rows = sys.stdout.buffer, deque[tuple[int, int]]()
    over = threading.Event()

    def tell(message: Any) -> None:
        out.write(msgpack.packb(message))
        out.flush()

    def came(event: Any) -> None:
        now = time.perf_counter_ns()
        if isinstance(event, Resync):
            tell("events were missed")
            over.set()
        else:
            rows.append((event.new, now))

    def until_stdin_ends() -> None:
        sys.stdin.read()
        over.set()

    with connect(endpoints.split(",")) as client:
        client.map(name).on_change(came)
        tell("ready")
        threading.Thread(target=until_stdin_ends, daemon=True).start()
        while not over.wait(SHIPMENT_SECONDS):
            if rows:
                tell([rows.popleft() for _ in range(len(rows))])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
