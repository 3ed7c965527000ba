"""Machines that are wrong, each in one way, and two that are right; imported by other processes, so by nobody's relative name."""

from __future__ import annotations

import contextlib
import datetime
import os
import random
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from ocelog.shard.machines.base import RELEASE, SNAPSHOT, Commit, StateMachine, command, query


class Ledger(StateMachine):
    """Right: accounts in the snapshot."""

    type_name = "ledger"

    def __init__(self) -> None:
        super().__init__()
        self.accounts: dict[str, int] = {}

    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, name: str, amount: int) -> int:
        self.accounts[name] = self.accounts.get(name, 0) + amount
        return self.accounts[name]

    @query
    def balance(self, commit: Commit, name: str) -> int:
        return self.accounts.get(name, 0)

    def snapshot(self) -> Any:
        return list(self.accounts.items())

    def install(self, state: Any) -> None:
        self.accounts = dict(map(tuple, state))


class Untold(StateMachine):
    """Right, but for not telling its live entries: one value per key, each in the entry that put it."""

    type_name = "shelf"

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, tuple[int, int]] = {}

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: str, value: int) -> None:
        self._take_out(key)
        self.live[key] = (commit.index, value)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> None:
        self.release(commit.index)
        self._take_out(key)

    def _take_out(self, key: str) -> None:
        if key in self.live:
            self.release(self.live.pop(key)[0])


class Shelf(Untold):
    """Right."""

    def live_entries(self) -> Iterable[int]:
        return [index for index, _ in self.live.values()]


# -- state that does not come back ---------------------------------------------------------------------


class ForgetsToSnapshot(Ledger):
    def snapshot(self) -> Any:
        return []


class InstallsAnotherOrder(Ledger):
    def install(self, state: Any) -> None:
        self.accounts = dict(sorted(map(tuple, state)))


class ReleasesTooEarly(Shelf):
    @command(mode=RELEASE)
    def put(self, commit: Commit, key: str, value: int) -> None:
        self._take_out(key)
        self.live[key] = (commit.index, value)
        self.release(commit.index)
        del self.live[key]
        self.seen = (key, value)


class CountsInMemory(Shelf):
    """State of two commands in one number that is in no place."""

    def __init__(self) -> None:
        super().__init__()
        self.removed = 0

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> int:
        self.release(commit.index)
        self._take_out(key)
        self.removed += 1
        return self.removed


class OverwritesInPlace(Shelf):
    """The order of a dictionary that keeps the first place of a key, which live entries do not."""

    def _take_out(self, key: str) -> None:
        if key in self.live:
            self.release(self.live[key][0])
            self.live[key] = (0, 0)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> None:
        self.release(commit.index)
        if key in self.live:
            self.release(self.live.pop(key)[0])


class ForgetsItsTimer(Shelf):
    """A time to live that a restore does not arm."""

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: str, value: int) -> None:
        self._take_out(key)
        self.live[key] = (commit.index, value)
        self.schedule(commit.time + 3, "end", key)

    @put.restore
    def _(self, commit: Commit, key: str, value: int) -> None:
        self.live[key] = (commit.index, value)

    def end(self, commit: Commit, key: str) -> None:
        self._take_out(key)


class AsksWhenItRestores(Shelf):
    @command(mode=RELEASE)
    def replace(self, commit: Commit, key: str, value: int) -> bool:
        if key not in self.live:
            self.release(commit.index)
            return False
        self._take_out(key)
        self.live[key] = (commit.index, value)
        return True


class KeepsTheSessionsOfMemory(Ledger):
    """What a session's end changes is in no snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[int] = []

    def session_closed(self, commit: Commit) -> None:
        self.gone.append(commit.session)


class SnapshotsWhatCannotBePacked(Ledger):
    def snapshot(self) -> Any:
        return set(self.accounts)


# -- releases ------------------------------------------------------------------------------------------


class ReleasesTwice(Shelf):
    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> None:
        self.release(commit.index)
        if key in self.live:
            self.release(self.live[key][0])
            self.release(self.live.pop(key)[0])


class ReleasesOthers(Shelf):
    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> None:
        self.release(commit.index)
        self.release(1)


class Hoards(Shelf):
    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> None:
        if key in self.live:
            self.release(self.live.pop(key)[0])


class HoardsUntold(Untold):
    remove = Hoards.remove


class HoardsWhatItRefused(Shelf):
    @command(mode=RELEASE)
    def put(self, commit: Commit, key: str, value: int) -> None:
        if key not in self.live:
            self.live[key] = (commit.index, value)

    @put.restore
    def _(self, commit: Commit, key: str, value: int) -> None:
        self.live.setdefault(key, (commit.index, value))


class LiesAboutItsEntries(Shelf):
    def live_entries(self) -> Iterable[int]:
        return []


# -- what differs between processes --------------------------------------------------------------------


class IteratesASet(Ledger):
    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, name: str, amount: int) -> int:
        self.accounts[name] = amount
        return list({*self.accounts, "fee", "tax", "tip"}).index("fee")


class PublishesInTheOrderOfASet(Ledger):
    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, name: str, amount: int) -> None:
        self.publish(commit.session, "all", list({name, "fee", "tax", "tip"}))


class ShowsAnAddress(Ledger):
    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, name: str, amount: int) -> str:
        return repr(object())


# -- what is forbidden ---------------------------------------------------------------------------------


def forbidden(title: str, call: Any) -> type[Ledger]:
    """A ledger whose deposit calls what it must not."""

    def deposit(self: Any, commit: Commit, name: str, amount: int) -> None:
        call()

    return type(title, (Ledger,), {"deposit": command(mode=SNAPSHOT)(deposit)})


LOCK = threading.Lock()
OWN = random.Random(1)
FORBIDDEN = {
    "time.time()": forbidden("ReadsTheClock", time.time),
    "time.monotonic()": forbidden("ReadsAnotherClock", lambda: time.monotonic()),
    "time.sleep()": forbidden("Sleeps", lambda: time.sleep(100)),
    "datetime.datetime.now()": forbidden("ReadsTheDate", lambda: datetime.datetime.now()),
    "random.Random.random()": forbidden("DrawsANumber", lambda: random.random()),
    "random.Random.getrandbits()": forbidden("Draws", lambda: OWN.choice((1, 2, 3))),
    "os.urandom()": forbidden("DrawsBytes", lambda: uuid.uuid4()),
    "threading.lock.acquire()": forbidden("Locks", lambda: LOCK.acquire()),
    "os.getpid()": forbidden("AsksForItsProcess", lambda: os.getpid()),
    "io.open()": forbidden("ReadsAFile", lambda: open("/etc/hostname").close()),
    "print()": forbidden("Prints", lambda: print("hello")),
    "hash()": forbidden("Hashes", lambda: hash("a text")),
}


class SwallowsEverything(Ledger):
    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, name: str, amount: int) -> None:
        with contextlib.suppress(BaseException):
            time.time()


class ReadsTheClockInATimer(Ledger):
    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, name: str, amount: int) -> None:
        self.schedule(commit.time + 1, "later")

    def later(self, commit: Commit) -> None:
        self.accounts["now"] = int(time.time())


class WritesInAQuery(Ledger):
    @query
    def balance(self, commit: Commit, name: str) -> int:
        return self.accounts.setdefault(name, 0)
