"""What the Raft core costs without disks and sockets: `python -m ocelog.bench.raft_micro`.

Three cores in one process pass messages by hand; durability is immediate. One line per load: entries, turns and messages per
second, and microseconds per message, which holds everything that three members do for it. Then what a message costs as
frames.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from ..shard.peers import Entries, PeerIdentity, decode, encode
from ..shard.raft import LEADER, Raft, RaftConfig
from ..shard.raft.membership import Configuration
from ..shard.raft.messages import Accepted, Append, Heartbeat, Message

ENTRY_BYTES = 152
"""An entry with 100 bytes of payload, padded."""


class Terms:
    """A log of terms alone, as runs: what the core sees of a long log, at the cost that the real one has."""

    def __init__(self) -> None:
        self.last_index = 0
        self.dense_index = 0
        self.term = 0

    def term_at(self, index: int) -> int:
        return self.term if index else 0

    def fit(self, first: int, last: int, bytes_max: int) -> int:
        return max(first, min(last, first - 1 + bytes_max // ENTRY_BYTES))

    def bytes_between(self, first: int, last: int) -> int:
        return (last - first + 1) * ENTRY_BYTES


class Trio:
    """Three members; `settle` passes messages until nobody has anything to say."""

    def __init__(self) -> None:
        self.logs = [Terms() for _ in range(3)]
        self.cores = [
            Raft(
                member=member,
                configuration=Configuration.bootstrap(range(3)),
                config=RaftConfig(),
                log=self.logs[member],
                rng=random.Random(member),
            )
            for member in range(3)
        ]
        self.wire: deque[Message] = deque()
        self.delivered = 0
        self._elect()

    def _elect(self) -> None:
        while self.cores[0].role is not LEADER:
            self.cores[0].tick()
            self.end_turn(0)
            self.settle()
        self.propose(1)
        self.settle()

    def propose(self, count: int) -> None:
        """The leader's turn with `count` new entries."""
        log = self.logs[0]
        log.last_index += count
        log.term = self.cores[0].term
        self.cores[0].appended()
        self.end_turn(0)

    def end_turn(self, member: int) -> None:
        """Take what a turn asks for, and make it durable at once."""
        core = self.cores[member]
        output = core.take()
        self.wire.extend(output.messages)
        if output.hard_state is not None:
            core.stored(*output.hard_state)
        core.persisted(self.logs[member].last_index)
        self.wire.extend(output.messages_after_sync)

    def settle(self) -> None:
        """Deliver everything, a turn for each message."""
        wire = self.wire
        while wire:
            message = wire.popleft()
            self.delivered += 1
            accepted = self.cores[message.to].receive(message)
            if isinstance(accepted, Accepted):
                log = self.logs[message.to]
                log.last_index, log.term = accepted.message.last_index, message.term
            self.end_turn(message.to)


def put(trio: Trio, batch: int) -> None:
    """One turn's entries, committed and known to be committed by all three."""
    trio.propose(batch)
    trio.settle()


def read(trio: Trio, batch: int) -> None:
    """One turn's reads, confirmed in one round."""
    for read_id in range(batch):
        trio.cores[0].read(read_id)
    trio.end_turn(0)
    trio.settle()


def measure(load: Callable[[Trio, int], None], batch: int, seconds: float) -> str:
    """Repeat a load for `seconds`; a line of figures."""
    trio = Trio()
    delivered = trio.delivered
    turns = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        load(trio, batch)
        turns += 1
    messages = trio.delivered - delivered
    return (
        f"{load.__name__} x {batch:<5} {turns * batch / elapsed:12,.0f} operations/s {turns / elapsed:9,.0f} turns/s"
        f" {messages / elapsed:9,.0f} messages/s {elapsed / messages * 1e6:6.2f} us/message"
    )


def frame_cost(name: str, message: Message, seconds: float) -> str:
    """What encoding and decoding one message takes."""
    sender, receiver = (PeerIdentity(cluster_id="0" * 32, shard=0, member=member, incarnation=0) for member in (0, 1))
    frames = encode(message, sender)
    costs = [_each(lambda: encode(message, sender), seconds), _each(lambda: decode(frames, receiver), seconds)]
    return f"frames of {name:<20} encode {costs[0]:6.2f} us, decode {costs[1]:6.2f} us"


def _each(action: Callable[[], object], seconds: float) -> float:
    """Microseconds per call."""
    calls = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        for _ in range(100):
            action()
        calls += 100
    return elapsed / calls * 1e6


def append_of(count: int) -> Append:
    """An Append of `count` entries."""
    entries = Entries(memoryview(bytes(count * ENTRY_BYTES)), np.full(count, ENTRY_BYTES, np.uint32))
    return Append(
        term=1,
        sender=0,
        to=1,
        prev_index=9,
        prev_term=1,
        last_index=9 + count,
        commit_index=9,
        runs=((10, 1),),
        entries=entries,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m ocelog.bench.raft_micro", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each line (default %(default)s)")
    seconds = parser.parse_args(arguments).seconds
    lines = [measure(load, batch, seconds) for load in (put, read) for batch in (1, 100, 1000)]
    beat = Heartbeat(term=1, sender=0, to=1, commit_index=9, round=1, sent_through=9)
    lines.append(frame_cost("a Heartbeat", beat, seconds / 2))
    lines += [frame_cost(f"an Append of {count}", append_of(count), seconds / 2) for count in (1, 100, 1000)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
