"""Requests are numbered by clients, and some number wrongly: whatever they send, the state can be restored from a snapshot.

Few numbers, few names and long patience, so that requests meet others of their number that wait, were granted, or are over. After
each step the machine is one that was made from the snapshot of the one before.
"""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from ocelog.shard.machines.base import Commit
from ocelog.shard.machines.registry import registry

NUMBERS = (1, 2)
PATIENCE = (None, None, 50, 300)
NAMES = (b"a", b"b", b"c")

COMMANDS = {
    "barrier": {
        "wait": (NUMBERS, PATIENCE, (2, 3)),
        "enter": (NUMBERS, PATIENCE, (2, 3)),
        "leave": (NUMBERS, PATIENCE, range(1, 9), NUMBERS),
        "cancel": (NUMBERS,),
        "reset": (),
    },
    "election": {
        "lead": (NUMBERS, PATIENCE, NAMES),
        "run": (NAMES,),
        "anoint": (NAMES,),
        "evict": (NAMES,),
        "resign": (NUMBERS,),
        "cancel": (NUMBERS,),
    },
    "read_write_lock": {
        "read": (NUMBERS, PATIENCE),
        "write": (NUMBERS, PATIENCE),
        "unlock": (NUMBERS,),
        "cancel": (NUMBERS,),
    },
    "semaphore": {
        "acquire": (NUMBERS, PATIENCE, (1, 2, 3), (None, 3)),
        "give_back": (NUMBERS,),
        "set_capacity": ((2, 3),),
        "cancel": (NUMBERS,),
    },
    "set_partitioner": {
        "join": (NAMES, NUMBERS),
        "claim": (NUMBERS, PATIENCE, NAMES, ("round",), ([b"1"], [b"1", b"2"], [b"3"], [])),
        "release_set": (NAMES,),
        "cancel": (NUMBERS,),
    },
}


class Shard:
    """One machine, with timers in log time and sessions that end."""

    def __init__(self, name: str, drawn: Random) -> None:
        self.kind, self.drawn = registry()[name], drawn
        self.machine = self.kind()
        self.commands = COMMANDS[name]
        self.index, self.time, self.timers = 1, 1000, []
        self.sessions = [1, 2]

    def step(self) -> None:
        self.index += 1
        self.time += self.drawn.choice((0, 0, 1, 30))
        while self.timers and min(self.timers)[0] <= self.time:
            self.timers.remove(due := min(self.timers))
            getattr(self.machine, due[2])(Commit(self.index, self.time, 0), *due[3])
            self._take()
        if self.drawn.random() < 0.05:
            self._end_session()
        else:
            self._run()
        self._take()
        other = self.kind()
        other.install(msgpack.unpackb(msgpack.packb(self.machine.snapshot())))
        assert other.snapshot() == self.machine.snapshot()
        self.machine = other

    def _end_session(self) -> None:
        session = self.drawn.choice(self.sessions)
        self.sessions.remove(session)
        self.sessions.append(self.index + 100)
        if self.machine.watches(session):
            self.machine.session_expired(Commit(self.index, self.time, session))
        assert not self.machine.watches(session)

    def _run(self) -> None:
        name, choices = self.drawn.choice(list(self.commands.items()))
        arguments = [self.drawn.choice(those) for those in choices]
        arguments = [self.machine.round if argument == "round" else argument for argument in arguments]
        before = self.machine.snapshot()
        commit = Commit(self.index, self.time, self.drawn.choice(self.sessions))
        try:
            getattr(self.machine, name)(commit, *arguments)
        except ValueError:
            self.machine.forget_pending()
            assert self.machine.snapshot() == before, f"{name}{arguments} failed, and has changed something"

    def _take(self) -> None:
        timers = self.machine.pending_timers
        self.timers += [(max(due, self.time + 1), self.index, method, more) for due, method, more in timers]
        self.machine.forget_pending()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", COMMANDS)
def test_numbers_that_were_used_already_leave_nothing_behind_that_cannot_be_restored(name, seed):
    shard = Shard(name, Random(f"{name} {seed}"))
    for _ in range(2000):
        shard.step()
