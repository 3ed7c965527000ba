"""A machine that has everything which makes rebuilding hard: due times, owners, conditions, several keys at once, alarms.

Keys written by `put`, `put_if_absent` and `hold` live in their entries (RELEASE); those written by `put_both`, and what
timers leave behind, live in the snapshot. A key is in one of the two places, never in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from ocelog.shard.machines.base import RELEASE, SNAPSHOT, Commit, StateMachine, command, query
from ocelog.shard.machines.registry import registry

RUNG_MAX = 12


class Lease(NamedTuple):
    """What is known of one key: the index of its write, value, session that it ends with (0: none), and where it lives."""

    index: int
    value: bytes
    owner: int
    in_entry: bool


class LeasesMachine(StateMachine):
    """Keeps `leases` by key, and `rung`: what timers did lately, in order.

    `watchers` are the sessions that are told of what nobody asked for.
    """

    type_name: ClassVar[str] = "leases"

    def __init__(self) -> None:
        super().__init__()
        self.leases: dict[bytes, Lease] = {}
        self.rung: list[tuple[int, int]] = []
        self.watchers: list[int] = []

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int) -> bytes | None:
        """Set the key for so long, for ever with 0; returns the previous value or None."""
        return self._set(commit, key, Lease(commit.index, value, 0, True), ttl_ms)

    @command(mode=RELEASE)
    def put_if_absent(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int) -> bytes | None:
        """The same if the key is absent; returns the value that was there."""
        if key in self.leases:
            self.release(commit.index)
            return self.leases[key].value
        return self._set(commit, key, Lease(commit.index, value, 0, True), ttl_ms)

    @put_if_absent.restore
    def _(self, commit: Commit, key: bytes, value: bytes, ttl_ms: int) -> None:
        self._set(commit, key, Lease(commit.index, value, 0, True), ttl_ms)

    @command(mode=RELEASE)
    def hold(self, commit: Commit, key: bytes, value: bytes) -> bytes | None:
        """Set the key until the session ends; returns the previous value or None."""
        return self._set(commit, key, Lease(commit.index, value, commit.session, True), 0)

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: bytes) -> bytes | None:
        """Make the key absent; returns its value or None."""
        self.release(commit.index)
        return self._drop(key)

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> int:
        """Make every key absent; returns how many there were."""
        self.release(commit.index)
        keys = list(self.leases)
        for key in keys:
            self._drop(key)
        return len(keys)

    @command(mode=SNAPSHOT)
    def put_both(self, commit: Commit, first: bytes, second: bytes, value: bytes) -> None:
        """Set two keys at once: an entry that is half obsolete would bring its dead half back."""
        for key in (first, second):
            self._set(commit, key, Lease(commit.index, value, 0, False), 0)

    @command(mode=SNAPSHOT)
    def alarm(self, commit: Commit, delay_ms: int, more: int) -> None:
        """Ring after so long, and `more` times again."""
        self.schedule(commit.time + delay_ms, "ring", commit.index, delay_ms, more)

    @command(mode=SNAPSHOT)
    def watch(self, commit: Commit) -> None:
        """Tell the session of every timer that did something, and of every key that went with its owner."""
        if commit.session not in self.watchers:
            self.watchers = sorted([*self.watchers, commit.session])

    @query
    def get(self, commit: Commit, key: bytes) -> bytes | None:
        """The value of the key, or None."""
        lease = self.leases.get(key)
        return None if lease is None else lease.value

    def expire(self, commit: Commit, key: bytes, index: int) -> None:
        """A timer: the key's time is over, unless it was written again."""
        lease = self.leases.get(key)
        if lease is not None and lease.index == index:
            self._drop(key)
            self._note(commit.index, index)

    def ring(self, commit: Commit, index: int, delay_ms: int, more: int) -> None:
        """A timer: an alarm."""
        self._note(commit.index, index)
        if more:
            self.schedule(commit.time + delay_ms, "ring", index, delay_ms, more - 1)

    def session_closed(self, commit: Commit) -> None:
        """What the session held is gone."""
        # The ended session is still among them: what is published to it is published to nobody.
        for key in [key for key, lease in self.leases.items() if lease.owner == commit.session]:
            self.publish(self.watchers, "dropped", key)
            self._drop(key)
        self.watchers = [session for session in self.watchers if session != commit.session]

    session_expired = session_closed

    def snapshot(self) -> Any:
        """What no live entry says."""
        kept = [[key, lease.index, lease.value] for key, lease in self.leases.items() if not lease.in_entry]
        return [kept, [list(pair) for pair in self.rung], self.watchers]

    def install(self, state: Any) -> None:
        """Take it back."""
        kept, rung, self.watchers = state
        self.leases = {key: Lease(index, value, 0, False) for key, index, value in kept}
        self.rung = [(at, index) for at, index in rung]

    def _set(self, commit: Commit, key: bytes, lease: Lease, ttl_ms: int) -> bytes | None:
        previous = self._drop(key)
        self.leases[key] = lease
        if ttl_ms:
            self.schedule(commit.time + ttl_ms, "expire", key, commit.index)
        return previous

    def _drop(self, key: bytes) -> bytes | None:
        lease = self.leases.pop(key, None)
        if lease is None:
            return None
        if lease.in_entry:
            self.release(lease.index)
        return lease.value

    def _note(self, at: int, index: int) -> None:
        self.publish(self.watchers, "rung", index)
        self.rung = [*self.rung, (at, index)][-RUNG_MAX:]


def machines() -> Mapping[str, type[StateMachine]]:
    """What the simulated replicas run: everything that the real ones do, and the machine of the simulation."""
    return {**registry(), LeasesMachine.type_name: LeasesMachine}
