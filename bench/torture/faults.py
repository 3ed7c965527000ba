"""What goes wrong: one class for each fault. `strike` does it, lasts as long as it is told, and puts everything back.

*Light* faults stop processes or hold messages; they may strike at the same time as others. *Heavy* ones take from one replica
what it had on its disk, or stop it for good reason: the next one waits until all replicas are well again, since no more than
one of three may lose its disk at a time.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from ...client import OcelogError
from ...cluster.errors import ClusterError
from .scene import DISK_BYTES, DISK_REPLICA, Scene

WELL_S_MAX = 90.0
POLL_S = 0.1


class Fault:
    """One thing that goes wrong. `needs` names the tool without which it cannot."""

    name: ClassVar[str]
    heavy: ClassVar[bool] = False
    needs: ClassVar[str] = ""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self.scene = scene
        self.rng = rng

    def strike(self, seconds: float) -> None:
        """Do it for so long and put everything back. May raise OcelogError or TimeoutError when nobody leads just now."""
        raise NotImplementedError


class KillLeader(Fault):
    """SIGKILL to the leader."""

    name = "leader killed"

    def strike(self, seconds: float) -> None:
        """Kill it, and start it again after a while."""
        leader = self.scene.leader(0, timeout=20)
        self.scene.kill(0, leader)
        time.sleep(seconds)
        self.scene.restart(0, leader)


class KillFollower(Fault):
    """SIGKILL to a follower."""

    name = "follower killed"

    def strike(self, seconds: float) -> None:
        """Kill it, and start it again after a while."""
        follower = self.rng.choice(self.scene.followers())
        self.scene.kill(0, follower)
        time.sleep(seconds)
        self.scene.restart(0, follower)


class KillAll(Fault):
    """SIGKILL to every replica at once."""

    name = "all replicas killed"

    def strike(self, seconds: float) -> None:
        """Kill them, and start them again after a while."""
        for replica in range(3):
            self.scene.kill(0, replica)
        time.sleep(seconds / 2)
        for replica in range(3):
            self.scene.restart(0, replica)


class PauseLeader(Fault):
    """SIGSTOP to the leader: it comes back believing that it leads."""

    name = "leader paused"

    def strike(self, seconds: float) -> None:
        """Stop it, and let it go on."""
        leader = self.scene.leader(0, timeout=20)
        self.scene.pause(0, leader)
        time.sleep(2 * seconds)
        self.scene.resume(0, leader)


class PauseFollower(Fault):
    """SIGSTOP to a follower, which keeps its connections."""

    name = "follower paused"

    def strike(self, seconds: float) -> None:
        """Stop it, and let it go on."""
        follower = self.rng.choice(self.scene.followers())
        self.scene.pause(0, follower)
        time.sleep(2 * seconds)
        self.scene.resume(0, follower)


class KillRouter(Fault):
    """SIGKILL to a router."""

    name = "router killed"

    def strike(self, seconds: float) -> None:
        """Kill it, and start it again after a while."""
        router = self.rng.randrange(3)
        self.scene.kill_router(router)
        time.sleep(seconds)
        self.scene.restart_router(router)


class PauseRouter(Fault):
    """SIGSTOP to a router."""

    name = "router paused"

    def strike(self, seconds: float) -> None:
        """Stop it, and let it go on."""
        router = self.rng.randrange(3)
        self.scene.pause_router(router)
        time.sleep(seconds)
        self.scene.resume_router(router)


class KillCompactor(Fault):
    """SIGKILL to the compactor, perhaps in the middle of a run; its supervisor starts it again."""

    name = "compactor killed"

    def strike(self, seconds: float) -> None:
        """Kill it."""
        self.scene.kill_compactor()
        time.sleep(seconds / 4)


class CutOff(Fault):
    """The leader or another replica is cut off from both others, in one direction or both."""

    name = "replica cut off"

    def strike(self, seconds: float) -> None:
        """Cut it off, and heal."""
        replica = self.rng.randrange(3)
        hears, is_heard = self.rng.choice(((False, False), (True, False), (False, True)))
        self.scene.links.isolate(0, replica, hears=hears, is_heard=is_heard)
        time.sleep(2 * seconds)
        self.scene.links.heal()


class Flap(Fault):
    """A connection between two replicas breaks again and again, others are slow where that can be had."""

    name = "links flapping"

    def strike(self, seconds: float) -> None:
        """Break and heal, some times a second."""
        end = time.monotonic() + 2 * seconds
        while time.monotonic() < end:
            one, other = self.rng.sample(range(3), 2)
            self.scene.links.break_off(0, one, other)
            if "slow" not in self.scene.lacks:
                self.scene.links.slow(0, other, one, self.rng.random() * 0.2)
            time.sleep(self.rng.random() * 0.3)
            self.scene.links.heal()
            time.sleep(self.rng.random() * 0.3)


class LosePackets(Fault):
    """Of the packets that reach a host, up to a third is lost, and those that leave another one come slowly."""

    name = "packets lost"
    needs = "loss"

    def strike(self, seconds: float) -> None:
        """Lose them for a while."""
        network = self.scene.network
        assert network is not None
        one, other = self.rng.sample(range(3), 2)
        network.lose(one, self.rng.randint(5, 30))
        if "slow" not in network.lacks:
            network.slow(0, other, one, self.rng.choice((0.0, 0.001, 0.005)))
        time.sleep(3 * seconds)
        network.heal()


class Unplug(Fault):
    """The cable of a host is pulled out: nobody is told, whatever happens there; perhaps its replica is killed meanwhile."""

    name = "host unplugged"
    needs = "hosts"

    def strike(self, seconds: float) -> None:
        """Pull it out, and plug it in."""
        network = self.scene.network
        assert network is not None
        replica = self.rng.randrange(3)
        network.unplug(replica)
        if self.rng.random() < 0.3:
            self.scene.kill(0, replica)
            time.sleep(seconds)
            self.scene.restart(0, replica)
        time.sleep(2 * seconds)
        network.heal()


class ClockJump(Fault):
    """A replica's wall clock jumps by up to an hour, in either direction."""

    name = "clock jump"
    needs = "faketime"

    def strike(self, seconds: float) -> None:
        """Let it jump, and back."""
        replica = self.rng.randrange(3)
        self.scene.shift_clock(replica, self.rng.choice((-3600, -61, -1, 1, 61, 3600)))
        time.sleep(seconds)
        self.scene.shift_clock(replica, 0)


class FillDisk(Fault):
    """One replica's disk is full for a while."""

    name = "disk full"
    needs = "disk"

    def strike(self, seconds: float) -> None:
        """Fill it, and make room."""
        assert self.scene.small_disk is not None
        ballast = self.scene.small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            for _ in range(DISK_BYTES // 65536):
                file.write(bytes(65536))
                file.flush()
        time.sleep(2 * seconds)
        ballast.unlink(missing_ok=True)


class FailSync(Fault):
    """`fdatasync` of one replica fails once: it must stop at once, and is started again."""

    name = "sync fails"
    heavy = True
    needs = "strace"

    def strike(self, seconds: float) -> None:
        """Attach, let the next sync fail, and let go."""
        pid = self.scene.pid(0, self.rng.randrange(3))
        if pid is None:
            return
        inject = "inject=fdatasync:error=EIO:when=1"
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e", inject, "-p", str(pid)]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            tracer.wait(timeout=5)  # it ends with the process it traces
        except subprocess.TimeoutExpired:
            tracer.terminate()
            try:
                tracer.wait(timeout=5)
            except subprocess.TimeoutExpired:  # it waits for a process that is stopped
                tracer.kill()
                tracer.wait(timeout=5)


class FlipBits(Fault):
    """Bytes of one replica's files change while it is down."""

    name = "bits flipped"
    heavy = True

    def strike(self, seconds: float) -> None:
        """Kill a replica, change a byte in up to three of its files, and start it again."""
        replica = self.rng.randrange(3)
        self.scene.kill(0, replica)
        files = [path for path in self.scene.files_of(replica) if _may_rot(path)]
        for path in self.rng.sample(files, min(len(files), self.rng.randint(1, 3))):
            _flip(path, self.rng)
        self.scene.restart(0, replica)


class Wipe(Fault):
    """One replica loses all its files."""

    name = "files lost"
    heavy = True
    needs = "removable"

    def strike(self, seconds: float) -> None:
        """Kill a replica, delete what it had, and start it again."""
        replica = self.rng.choice([number for number in range(3) if number != DISK_REPLICA])
        self.scene.kill(0, replica)
        shutil.rmtree(self.scene.directory(0, replica))
        self.scene.restart(0, replica)


class LosePower(Fault):
    """The power of one replica or of all goes: what they had not synced is lost."""

    name = "power lost"
    heavy = True
    needs = "power"

    def strike(self, seconds: float) -> None:
        """Cut it, and restore it after a while."""
        self.scene.lose_power(self.rng.choice(([0], [1], [2], [0, 1], [0, 1, 2], [0, 1, 2])), seconds / 2)


def _may_rot(path: Path) -> bool:
    """The lock is held and empty; everything else is read as hostile input."""
    return path.name not in ("lock", "ballast") and path.stat().st_size > 0


def _flip(path: Path, rng: random.Random) -> None:
    with path.open("r+b") as file:
        # Files are longer than what is in them; most damage should meet something.
        place = rng.randrange(min(path.stat().st_size, rng.choice((64, 4096, 1 << 20))))
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


FAULTS: tuple[type[Fault], ...] = (
    *(KillLeader, KillFollower, KillAll, PauseLeader, PauseFollower, KillRouter, PauseRouter, KillCompactor),
    *(CutOff, Flap, LosePackets, Unplug, ClockJump, FillDisk, FailSync, FlipBits, Wipe, LosePower),
)
"""All of them."""


def well(scene: Scene, stopped: Callable[[], bool]) -> bool:
    """Wait until every replica is there, votes and lacks nothing; False when that did not happen in WELL_S_MAX seconds."""
    deadline = time.monotonic() + WELL_S_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OcelogError, ClusterError):
            if scene.status()["healthy"]:
                return True
        if stopped():
            return False
        time.sleep(POLL_S)
    return False
