"""A cluster whose replicas reach one another through links that can be cut, one direction at a time, and made slow.

    with LinkedCluster(shards=1, replicas=3) as cluster:
        cluster.links.cut(0, 1, 2)       # of shard 0: what replica 1 sends to replica 2 arrives no more
        cluster.links.heal()

Replicas of one host talk over socket files, which no firewall cuts. Each sends to each other one over a connection of its own,
so a link is a direction. It forwards bytes and knows nothing of messages. Cut, it holds what was sent, as a network does
that drops packets under TCP: what comes when it is healed comes late. Broken, its connection is closed and no other is taken.
"""

from __future__ import annotations

import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any, Protocol

from ..cluster.local import LocalCluster
from ..cluster.plan import ChildPlan, command_of
from ..cluster.supervisor import Supervisor
from ..shard.assembly import link_address, peer_address

CHUNK_BYTES = 64 * 1024
HELD_BYTES_MAX = 1 << 20
"""A link holds so much, then its sender waits."""
TURN_S = 0.05

LinkId = tuple[int, int, int]
"""Shard, the replica that sends, the one that receives."""


class State(Enum):
    """What a link does with what it is given."""

    OPEN = "open"
    CUT = "cut"
    BROKEN = "broken"


class Wiring(Protocol):
    """What stands between the replicas: here `Links`, or a network (`hosts`). Replicas go by shard and number."""

    replicas: int

    def command(self, plan: ChildPlan) -> list[str]:
        """What starts a replica that reaches its peers through it."""

    def cut(self, shard: int, sender: int, receiver: int) -> None:
        """What the one sends to the other arrives no more."""

    def break_off(self, shard: int, sender: int, receiver: int) -> None:
        """Connections of that direction end, and none is made any more."""

    def isolate(self, shard: int, replica: int, *, hears: bool = False, is_heard: bool = False) -> None:
        """Cut a replica off from all others, but for a direction that is let through."""

    def slow(self, shard: int, sender: int, receiver: int, seconds: float) -> None:
        """What is sent in that direction takes so much longer."""

    def heal(self) -> None:
        """Everything is whole and fast again."""

    def stop(self) -> None:
        """The cluster has ended: remove what was made for it."""


class _Link:
    """One direction between two replicas; `delay` in seconds."""

    def __init__(self, listener: socket.socket, receiver: LinkId) -> None:
        self.listener = listener
        self.receiver = receiver
        self.state = State.OPEN
        self.delay = 0.0
        self.pipes: list[_Pipe] = []


class _Pipe:
    """One connection through a link: what came in, and when it goes out. The receiver's answers go back at once."""

    def __init__(self, link: _Link, sender: socket.socket, receiver: socket.socket) -> None:
        self.link = link
        self.sender = sender
        self.receiver = receiver
        self.held: deque[tuple[float, bytes]] = deque()
        self.bytes = 0

    @property
    def full(self) -> bool:
        """Whether the sender has to wait."""
        return self.bytes >= HELD_BYTES_MAX

    def take(self, now: float) -> None:
        """Hold what the sender has sent. Raises OSError when it has ended."""
        with suppress(BlockingIOError):
            data = _received(self.sender)
            self.held.append((now + self.link.delay, data))
            self.bytes += len(data)

    def give_back(self) -> None:
        """What the receiver says, all of the handshake, goes to the sender. Raises OSError when it has ended."""
        with suppress(BlockingIOError):
            self.sender.sendall(_received(self.receiver))

    def hand_on(self, now: float) -> None:
        """Give the receiver what is due. Raises OSError when it has ended."""
        while self.link.state is State.OPEN and self.held and self.held[0][0] <= now:
            due, data = self.held[0]
            try:
                sent = self.receiver.send(data)
            except BlockingIOError:
                return
            self.bytes -= sent
            if sent < len(data):
                self.held[0] = due, data[sent:]
            else:
                self.held.popleft()


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(CHUNK_BYTES)
    if not data:
        raise ConnectionResetError
    return data


class Links:
    """All links of a cluster, forwarded by one thread. Any thread may call anything."""

    def __init__(self, shards: int, replicas: int) -> None:
        self.directory = tempfile.mkdtemp(prefix="ocelog-links-")
        self.replicas = replicas
        self._lock = threading.Lock()
        self._links: dict[LinkId, _Link] = {}
        self._selector = selectors.DefaultSelector()
        self._sockets = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ocelog-links", daemon=True)
        for shard in range(shards):
            for sender in range(replicas):
                for receiver in range(replicas):
                    if sender != receiver:
                        self._links[shard, sender, receiver] = self._listen(shard, sender, receiver)

    def _listen(self, shard: int, sender: int, receiver: int) -> _Link:
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        listener.bind(link_address(self.directory, shard, sender, receiver).removeprefix("ipc://"))
        listener.listen()
        link = _Link(listener, (shard, sender, receiver))
        self._selector.register(listener, selectors.EVENT_READ, link)
        return link

    def command(self, plan: ChildPlan) -> list[str]:
        """What starts a replica that reaches its peers through these links."""
        self.serve(plan.arguments["sockets"])
        return command_of(replace(plan, arguments={**plan.arguments, "links": self.directory}))

    def serve(self, sockets: str) -> None:
        """Forward to the replicas, whose sockets are in that directory, from now on."""
        with self._lock:
            self._sockets = sockets
            if not self._thread.is_alive():
                self._thread.start()

    def stop(self) -> None:
        """Close every link."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for link in self._links.values():
            link.listener.close()
            while link.pipes:
                self._close(link.pipes[0])
        self._selector.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- faults ----------------------------------------------------------------------------------------

    def cut(self, shard: int, sender: int, receiver: int) -> None:
        """What the one sends to the other arrives no more, and comes late when it is healed."""
        self._set([(shard, sender, receiver)], State.CUT)

    def break_off(self, shard: int, sender: int, receiver: int) -> None:
        """The connection of that direction ends, and none is taken any more."""
        self._set([(shard, sender, receiver)], State.BROKEN)

    def isolate(self, shard: int, replica: int, *, hears: bool = False, is_heard: bool = False) -> None:
        """Cut a replica off from all others, but for a direction that is let through."""
        others = [other for other in range(self.replicas) if other != replica]
        self._set([(shard, replica, other) for other in others if not is_heard], State.CUT)
        self._set([(shard, other, replica) for other in others if not hears], State.CUT)

    def slow(self, shard: int, sender: int, receiver: int, seconds: float) -> None:
        """What is sent in that direction arrives so much later."""
        with self._lock:
            self._links[shard, sender, receiver].delay = seconds

    def heal(self) -> None:
        """All links are open and fast again."""
        with self._lock:
            for link in self._links.values():
                link.state, link.delay = State.OPEN, 0.0

    def _set(self, links: Iterable[LinkId], state: State) -> None:
        with self._lock:
            for link in links:
                self._links[link].state = state

    # -- forwarding ------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = TURN_S
        while not self._ended.is_set():
            ready = self._selector.select(pause)
            with self._lock:
                pause = self._turn([key for key, _ in ready], time.monotonic())

    def _turn(self, ready: list[selectors.SelectorKey], now: float) -> float:
        """Take what is there, hand on what is due; returns the seconds until something may be due."""
        for key in ready:
            if isinstance(key.data, _Link):
                self._accept(key.data)
            elif key.data in key.data.link.pipes:
                pipe = key.data
                self._do(pipe, pipe.give_back if key.fileobj is pipe.receiver else partial(pipe.take, now))
        pause = TURN_S
        for link in self._links.values():
            for pipe in list(link.pipes):
                if link.state is State.BROKEN:
                    self._close(pipe)
                elif self._do(pipe, partial(pipe.hand_on, now)):
                    self._read(pipe, not pipe.full)
                    if pipe.held and link.state is State.OPEN:
                        pause = min(pause, max(pipe.held[0][0] - now, 0.001))
        return pause

    def _do(self, pipe: _Pipe, step: Callable[[], None]) -> bool:
        """Whether the connection stands after the step; one that has ended at one end is closed at the other."""
        try:
            step()
        except OSError:
            self._close(pipe)
            return False
        return True

    def _read(self, pipe: _Pipe, wanted: bool) -> None:
        """Hear of the sender, or no more for the time being."""
        if (pipe.sender.fileno() in self._selector.get_map()) != wanted:
            if wanted:
                self._selector.register(pipe.sender, selectors.EVENT_READ, pipe)
            else:
                self._selector.unregister(pipe.sender)

    def _accept(self, link: _Link) -> None:
        with suppress(BlockingIOError):
            sender, _ = link.listener.accept()
            receiver = socket.socket(socket.AF_UNIX)
            shard, _, member = link.receiver
            try:
                if link.state is State.BROKEN:
                    raise ConnectionRefusedError
                receiver.connect(peer_address(self._sockets, shard, member).removeprefix("ipc://"))
            except OSError:
                sender.close()
                receiver.close()
                return
            pipe = _Pipe(link, sender, receiver)
            link.pipes.append(pipe)
            for end in (sender, receiver):
                end.setblocking(False)
                self._selector.register(end, selectors.EVENT_READ, pipe)

    def _close(self, pipe: _Pipe) -> None:
        pipe.link.pipes.remove(pipe)
        self._read(pipe, False)
        self._selector.unregister(pipe.receiver)
        pipe.sender.close()
        pipe.receiver.close()


class LinkedCluster(LocalCluster):
    """A LocalCluster whose replicas talk through `links`, its own to stop; without any, through socket files."""

    def __init__(self, *, shards: int = 2, replicas: int = 3, links: Wiring | None = None, **options: Any) -> None:
        super().__init__(shards=shards, replicas=replicas, **options)
        self.links = links or Links(shards, replicas)
        self.supervisor = Supervisor(self.settings, command=self._command)

    def _command(self, plan: ChildPlan) -> list[str]:
        return self.links.command(plan) if plan.key[0] == "replica" else command_of(plan)

    def stop(self) -> None:
        """Stop it, and the links."""
        super().stop()
        self.links.stop()
