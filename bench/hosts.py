"""Hosts that are network namespaces of this machine, on a wire that can be cut, be lossy and be pulled out.

    with LinkedCluster(links=Network(3), shards=1, replicas=3) as cluster:
        cluster.links.cut(0, 1, 2)       # no packet of host 1 reaches host 2 any more
        cluster.links.lose(0, 20)        # host 0 gets four of five packets
        cluster.links.unplug(1)
        cluster.links.heal()

Every replica is on a host of its own and speaks TCP with its peers: the product's own sockets on addresses of that network,
and no forwarder between them, which would end each connection itself and so hide what one makes of lost packets. Routers and
the compactor reach it by socket files, which are the same in all namespaces.

Nothing is left on the machine, whatever ends this process: a namespace has no name, it is held by a process that ends at the
end of its standard input, and is gone with the last process in it. The machine's own interfaces are not touched. It takes root.

Cutting needs no more than `ip`, losing `nft`, slowing `tc`; `lacks` tells what is missing. A cut of one direction takes the
acknowledgements of the other with it: what is sent there arrives until the sender has waited for one in vain, then only
repetitions do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from ..cluster.plan import ChildPlan, command_of

PORT = 7100
"""Shard 0 listens here, shard 1 on the next."""
START_S_MAX = 5.0
TOOL_S_MAX = 20.0
PACKET_BITS = 1500 * 8

NOBODY = "02:00:00:00:00:ff"

NFT_TABLE = "table ip faults {\n chain arriving { type filter hook input priority 0; policy accept; }\n}"


class NoHosts(Exception):
    """This machine cannot have such hosts, or cannot do to them what it was asked; the text says why."""

    exit_code = os.EX_UNAVAILABLE


class Passing(Enum):
    """What becomes of the packets from one host to another; a refused one ends its connection at the sender."""

    FREE = "free"
    CUT = "cut"
    REFUSED = "refused"


class Host:
    """A network namespace."""

    def __init__(self) -> None:
        try:
            self._holder = subprocess.Popen(
                ["unshare", "--net", "--", "cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                process_group=0,  # a Ctrl-C in the terminal is for the campaign
            )
        except FileNotFoundError:
            raise NoHosts("unshare is not on the PATH") from None
        self.pid = self._holder.pid
        self._await()

    def _await(self) -> None:
        """Until the process has left this one's namespace."""
        assert self._holder.stderr is not None
        deadline = time.monotonic() + START_S_MAX
        while self._holder.poll() is None and time.monotonic() < deadline:
            with suppress(OSError):
                if os.readlink(f"/proc/{self.pid}/ns/net") != os.readlink("/proc/self/ns/net"):
                    return
            time.sleep(0.005)
        self._holder.kill()
        raise NoHosts(f"no network namespace can be made: {_first_line(self._holder.communicate()[1])}")

    def command(self, *command: str) -> list[str]:
        """What runs a command on this host; it keeps its process id."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def do(self, *command: str, text: str = "") -> None:
        """Run it here, with this on its standard input. Raises NoHosts with what it complained of."""
        for program in ("nsenter", command[0]):
            if shutil.which(program) is None:
                raise NoHosts(f"{program} is not on the PATH")
        done = subprocess.run(self.command(*command), input=text.encode(), capture_output=True, timeout=TOOL_S_MAX)
        if done.returncode:
            raise NoHosts(f"{command[0]} fails on a host: {_first_line(done.stderr)}")

    def close(self) -> None:
        """It is gone once nothing runs on it."""
        self._holder.communicate()


def _first_line(said: bytes) -> str:
    return said.decode(errors="replace").strip().partition("\n")[0] or "it does not say why"


class Network:
    """A host for every replica, and one that is the switch between them. Any thread may call anything but `stop`.

    The same for all shards: a wire carries what all of them send. `lacks` has "loss" or "slow" where the tool for it is not
    there, with the reason. Raises NoHosts where this machine or user cannot have any.
    """

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        self.lacks: dict[str, str] = {}
        self._lock = threading.Lock()
        self._passing: dict[tuple[int, int], Passing] = {}
        self._loss: dict[int, int] = {}
        self._packet_seconds: dict[int, float] = {}
        self._unplugged: set[int] = set()
        self._made: list[Host] = []
        try:
            self._switch = self._make()
            self._hosts = [self._make() for _ in range(replicas)]
            self._plug_in()
        except BaseException:
            self.stop()
            raise
        self._cuts_with_nft = True
        self._settled = dict(self._wanted())
        self._look_for_tools()

    def _make(self) -> Host:
        self._made.append(Host())
        return self._made[-1]

    def _plug_in(self) -> None:
        wires = ["link add name wire type bridge", "link set dev wire up"]
        for number, host in enumerate(self._hosts):
            far_end = f"name eth0 address {_mac(number)} netns {host.pid}"
            wires += [f"link add name port{number} type veth peer {far_end}"]
            wires += [f"link set dev port{number} master wire up"]
        self._switch.do("ip", "-batch", "-", text="\n".join(wires))
        for number, host in enumerate(self._hosts):
            own = ["link set dev lo up", f"addr add {_ip(number)}/24 dev eth0", "link set dev eth0 up"]
            host.do("ip", "-batch", "-", text="\n".join([*own, self._neighbours(number)]))

    def _look_for_tools(self) -> None:
        """Try each for what it is wanted for: a kernel may lack what a program on the PATH asks of it."""
        try:
            for host in self._hosts:
                host.do("nft", "-f", "-", text=NFT_TABLE)
            self.lose(0, 50)
            self.break_off(0, 1, 0)
            self.heal()
        except NoHosts as error:
            self.lacks["loss"] = str(error)
            self._cuts_with_nft = False
            self._forget_faults()
            self._settled = dict(self._wanted())
        try:
            self.slow(0, 0, 1, 0.001)
            self.heal()
        except NoHosts as error:
            self.lacks["slow"] = str(error)
            self._forget_faults()
            self._settled = dict(self._wanted())

    def command(self, plan: ChildPlan) -> list[str]:
        """What starts a replica on its host."""
        _, shard, replica = plan.key
        peers = [f"tcp://{_ip(number)}:{PORT + shard}" for number in range(self.replicas)]
        return self._hosts[replica].command(*command_of(replace(plan, arguments={**plan.arguments, "peers": peers})))

    def stop(self) -> None:
        """Let go of all hosts."""
        while self._made:
            self._made.pop().close()

    # -- faults ----------------------------------------------------------------------------------------

    def cut(self, shard: int, sender: int, receiver: int) -> None:
        """No packet of the one reaches the other any more."""
        self._pass([(sender, receiver)], Passing.CUT)

    def break_off(self, shard: int, sender: int, receiver: int) -> None:
        """Packets are refused: the sender's connections end, and the receiver is not told. Without `nft` they are cut."""
        self._pass([(sender, receiver)], Passing.REFUSED)

    def isolate(self, shard: int, replica: int, *, hears: bool = False, is_heard: bool = False) -> None:
        """Cut a host off from all others, but for a direction that is let through."""
        leaving = [(replica, other) for other in self._others(replica) if not is_heard]
        arriving = [(other, replica) for other in self._others(replica) if not hears]
        self._pass(leaving + arriving, Passing.CUT)

    def slow(self, shard: int, sender: int, receiver: int, seconds: float) -> None:
        """A full packet takes the sender's wire so long, whoever it is for; a queue forms behind it."""
        with self._lock:
            self._packet_seconds[sender] = seconds
            self._settle()

    def lose(self, receiver: int, percent: int) -> None:
        """So many of the packets that reach a host are lost. Needs "loss"."""
        with self._lock:
            self._loss[receiver] = percent
            self._settle()

    def unplug(self, replica: int) -> None:
        """Pull a host's cable out: nothing enters or leaves it, and nobody is told, whatever happens on it."""
        with self._lock:
            self._unplugged.add(replica)
            self._settle()

    def heal(self) -> None:
        """The network is whole again. What was lost comes once its sender repeats it, or has made another connection."""
        with self._lock:
            self._forget_faults()
            self._settle()

    def _pass(self, ways: Iterable[tuple[int, int]], passing: Passing) -> None:
        with self._lock:
            self._passing.update(dict.fromkeys(ways, passing))
            self._settle()

    def _forget_faults(self) -> None:
        for faults in (self._passing, self._loss, self._packet_seconds, self._unplugged):
            faults.clear()

    # -- what the tools are told -----------------------------------------------------------------------

    def _settle(self) -> None:
        """Tell the tools what has changed."""
        for (host, command), text in self._wanted():
            if self._settled[host, command] != text:
                where = self._switch if host is None else self._hosts[host]
                where.do(*command.split(), text=text)
                self._settled[host, command] = text

    def _wanted(self) -> Iterator[tuple[tuple[int | None, str], str]]:
        """Where (None: on the switch) which tool has to have been given what."""
        yield (None, "ip -batch -"), "\n".join(map(self._port, range(self.replicas)))
        for number in range(self.replicas):
            if self._cuts_with_nft:
                yield (number, "nft -f -"), "\n".join(["flush chain ip faults arriving", *self._rules(number)])
            else:
                yield (number, "ip -batch -"), self._neighbours(number)
            yield (number, "tc -batch -"), self._speed(number)

    def _port(self, number: int) -> str:
        return f"link set dev port{number} {'down' if number in self._unplugged else 'up'}"

    def _rules(self, receiver: int) -> Iterator[str]:
        """What a host does with the packets that reach it, as rules of nftables."""
        endings = {Passing.CUT: "drop", Passing.REFUSED: "meta l4proto tcp reject with tcp reset"}
        for (sender, to), passing in self._passing.items():
            if to == receiver:
                yield f"add rule ip faults arriving ip saddr {_ip(sender)} {endings[passing]}"
        if percent := self._loss.get(receiver):
            yield f"add rule ip faults arriving numgen random mod 100 < {percent} drop"

    def _neighbours(self, sender: int) -> str:
        """Where a host sends its packets. Those that are cut go to an address on the wire that is nobody's."""
        return "\n".join(
            f"neigh replace {_ip(other)} lladdr {NOBODY if (sender, other) in self._passing else _mac(other)}"
            " dev eth0 nud permanent"
            for other in self._others(sender)
        )

    def _speed(self, sender: int) -> str:
        seconds = self._packet_seconds.get(sender)
        if not seconds:
            return "qdisc delete dev eth0 root"
        return f"qdisc replace dev eth0 root tbf rate {round(PACKET_BITS / seconds)}bit burst 3000 limit 256kb"

    def _others(self, number: int) -> list[int]:
        return [other for other in range(self.replicas) if other != number]


def _ip(number: int) -> str:
    return f"10.0.0.{number + 1}"


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number + 1:02x}"
