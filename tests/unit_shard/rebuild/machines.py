"""Machines that do everything that is hard to rebuild: time to live, ephemeral keys, several keys at once, queues, timers.

Each keeps in its snapshot what its listeners and timers did (`told`), so that an event too many, too few or in another
order is a difference of state.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, NamedTuple

from ocelog.shard.machines.base import RELEASE, SNAPSHOT, Commit, StateMachine, command
from ocelog.shard.machines.registry import BUILT_IN, registry


class Kept(NamedTuple):
    """A key's value; `live` if it is in the log entry `index`, else it is in the snapshot. `session` if ephemeral."""

    index: int
    value: Any
    live: bool = True
    session: int | None = None


class Keyed(StateMachine):
    """A map with all that the issue's resources will want. `put_both` writes two keys and is therefore SNAPSHOT."""

    type_name = "keyed"

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Kept] = {}
        self.told: list[Any] = []

    # -- the state -------------------------------------------------------------------------------------

    def _set(self, key: str, kept: Kept) -> None:
        previous = self.entries.pop(key, None)
        self.entries[key] = kept
        if previous is not None and previous.live:
            self.release(previous.index)

    def _unset(self, key: str) -> Any:
        previous = self.entries.pop(key)
        if previous.live:
            self.release(previous.index)
        return previous.value

    def _restore(self, key: str, kept: Kept) -> None:
        assert key not in self.entries, f"{key} has two live entries"
        self.entries[key] = kept

    # -- RELEASE: one key each, or only removing -------------------------------------------------------

    @command(mode=RELEASE)
    def put(self, commit: Commit, key: str, value: int) -> Any:
        previous = self.entries.get(key)
        self._set(key, Kept(commit.index, value))
        return previous and previous.value

    @put.restore
    def _(self, commit: Commit, key: str, value: int) -> None:
        self._restore(key, Kept(commit.index, value))

    @command(mode=RELEASE)
    def put_for(self, commit: Commit, key: str, value: int, ttl_ms: int) -> None:
        self._set(key, Kept(commit.index, value))
        self.schedule(commit.time + ttl_ms, "expire", key, commit.index)

    @put_for.restore
    def _(self, commit: Commit, key: str, value: int, ttl_ms: int) -> None:
        self._restore(key, Kept(commit.index, value))
        self.schedule(commit.time + ttl_ms, "expire", key, commit.index)

    @command(mode=RELEASE)
    def put_ephemeral(self, commit: Commit, key: str, value: int) -> None:
        self._set(key, Kept(commit.index, value, session=commit.session))

    @put_ephemeral.restore
    def _(self, commit: Commit, key: str, value: int) -> None:
        self._restore(key, Kept(commit.index, value, session=commit.session))

    @command(mode=RELEASE)
    def put_if_absent(self, commit: Commit, key: str, value: int) -> Any:
        if key in self.entries:
            self.release(commit.index)
            return self.entries[key].value
        self._set(key, Kept(commit.index, value))
        return None

    @put_if_absent.restore
    def _(self, commit: Commit, key: str, value: int) -> None:
        self._restore(key, Kept(commit.index, value))

    @command(mode=RELEASE)
    def replace(self, commit: Commit, key: str, expected: int, value: int) -> bool:
        if key not in self.entries or self.entries[key].value != expected:
            self.release(commit.index)
            return False
        self._set(key, Kept(commit.index, value))
        return True

    @replace.restore
    def _(self, commit: Commit, key: str, expected: int, value: int) -> None:
        self._restore(key, Kept(commit.index, value))

    @command(mode=RELEASE)
    def put_or_raise(self, commit: Commit, key: str, value: int) -> str:
        """Raises after it has released what it may not release."""
        if key in self.entries:
            self.release(self.entries[key].index)
            self.schedule(commit.time + 1, "expire", key, self.entries[key].index)
            raise ValueError("it is there")
        self._set(key, Kept(commit.index, value))
        return "ok"

    @put_or_raise.restore
    def _(self, commit: Commit, key: str, value: int) -> None:
        self._restore(key, Kept(commit.index, value))

    @command(mode=RELEASE)
    def remove(self, commit: Commit, key: str) -> Any:
        self.release(commit.index)
        return self._unset(key) if key in self.entries else None

    @command(mode=RELEASE)
    def remove_if(self, commit: Commit, key: str, value: int) -> bool:
        self.release(commit.index)
        if key not in self.entries or self.entries[key].value != value:
            return False
        self._unset(key)
        return True

    @command(mode=RELEASE)
    def clear(self, commit: Commit) -> int:
        self.release(commit.index)
        for key in list(self.entries):
            self._unset(key)
        return commit.index

    # -- SNAPSHOT: several keys ------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def put_both(self, commit: Commit, one: str, value: int, two: str, other: int) -> None:
        self._set(one, Kept(commit.index, value, live=False))
        self._set(two, Kept(commit.index, other, live=False))

    # -- listeners, timers, snapshot -------------------------------------------------------------------

    def expire(self, commit: Commit, key: str, index: int) -> None:
        if key in self.entries and self.entries[key].index == index:
            self.told.append(["expired", key, self._unset(key), commit.time])

    def session_closed(self, commit: Commit) -> None:
        for key in [key for key, kept in self.entries.items() if kept.session == commit.session]:
            self.told.append(["gone", key, self._unset(key), commit.index])

    session_expired = session_closed

    def snapshot(self) -> Any:
        several = [(key, kept.index, kept.value) for key, kept in self.entries.items() if not kept.live]
        return [self.told, several]

    def install(self, state: Any) -> None:
        self.told, several = state
        self.entries = {key: Kept(index, value, live=False) for key, index, value in several}

    def restored(self) -> None:
        self.entries = dict(sorted(self.entries.items(), key=lambda item: item[1].index))

    def live_entries(self) -> Iterable[int]:
        return [kept.index for kept in self.entries.values() if kept.live]


class Lock(StateMachine):
    """A lock without numbers, with a queue of waiters: who waits follows from more than one entry, so all of it is SNAPSHOT."""

    type_name = "turnstile"

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[list[int]] = []
        self.told: list[Any] = []

    @command(mode=SNAPSHOT)
    def lock(self, commit: Commit) -> bool:
        self.queue.append([commit.index, commit.session])
        return len(self.queue) == 1

    @command(mode=SNAPSHOT)
    def lock_for(self, commit: Commit, patience_ms: int) -> bool:
        self.schedule(commit.time + patience_ms, "give_up", commit.index)
        return self.lock(commit)

    @command(mode=SNAPSHOT)
    def try_lock(self, commit: Commit) -> bool:
        return not self.queue and self.lock(commit)

    @command(mode=SNAPSHOT)
    def unlock(self, commit: Commit) -> bool:
        if not self.queue or self.queue[0][1] != commit.session:
            return False
        self._drop([self.queue[0]])
        return True

    def _drop(self, waiters: list[list[int]]) -> None:
        holder = self.queue[:1]
        self.queue = [waiter for waiter in self.queue if waiter not in waiters]
        if self.queue[:1] != holder and self.queue:
            self.told.append(["granted", *self.queue[0]])

    def give_up(self, commit: Commit, index: int) -> None:
        self._drop([waiter for waiter in self.queue[1:] if waiter[0] == index])

    def session_closed(self, commit: Commit) -> None:
        self._drop([waiter for waiter in self.queue if waiter[1] == commit.session])

    session_expired = session_closed

    def snapshot(self) -> Any:
        return [self.queue, self.told]

    def install(self, state: Any) -> None:
        self.queue, self.told = state


class Alarm(StateMachine):
    """Timers of every kind: of SNAPSHOT and RELEASE commands, of timers and listeners, many of them due at once."""

    type_name = "alarm"

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.reminders: dict[int, Any] = {}

    @command(mode=SNAPSHOT)
    def later(self, commit: Commit, delay_ms: int, *words: Any) -> None:
        """One timer for each word, all of them due at once."""
        for word in words:
            self.schedule(commit.time + delay_ms, "fire", word)

    @command(mode=SNAPSHOT)
    def repeat(self, commit: Commit, delay_ms: int, times: int) -> None:
        self.schedule(commit.time + delay_ms, "fire_again", delay_ms, times)

    @command(mode=RELEASE)
    def remind(self, commit: Commit, delay_ms: int, word: Any) -> int:
        """Live until it has fired."""
        self.reminders[commit.index] = word
        self.schedule(commit.time + delay_ms, "remember", commit.index)
        return commit.index

    @command(mode=RELEASE)
    def nag(self, commit: Commit, delay_ms: int, word: Any) -> int:
        """Fires three times, two of them at once, and is live until it is forgotten."""
        self.reminders[commit.index] = word
        for factor in (2, 1, 1):
            self.schedule(commit.time + factor * delay_ms, "fire", word)
        return commit.index

    @command(mode=RELEASE)
    def forget(self, commit: Commit) -> Any:
        """The oldest reminder is dropped; its timers with it."""
        self.release(commit.index)
        if not self.reminders:
            return None
        index = min(self.reminders)
        self.release(index)
        return self.reminders.pop(index)

    @command(mode=RELEASE)
    def pointless(self, commit: Commit, delay_ms: int) -> None:
        """A timer of an entry that is dead at once: it never fires."""
        self.release(commit.index)
        self.schedule(commit.time + delay_ms, "fire", "never")

    def fire(self, commit: Commit, word: Any) -> None:
        self.told.append([commit.time, commit.index, word])

    def fire_again(self, commit: Commit, delay_ms: int, times: int) -> None:
        self.told.append([commit.time, commit.index, "again", times])
        if times > 1:
            self.schedule(commit.time + delay_ms, "fire_again", delay_ms, times - 1)

    def remember(self, commit: Commit, index: int) -> None:
        self.told.append([commit.time, commit.index, self.reminders.pop(index)])
        self.release(index)

    def session_closed(self, commit: Commit) -> None:
        self.schedule(commit.time + 2, "fire", ["closed", commit.session])
        self.schedule(commit.time + 2, "fire", ["closed too", commit.session])

    session_expired = session_closed

    def snapshot(self) -> Any:
        return self.told

    def install(self, state: Any) -> None:
        self.told = state

    def live_entries(self) -> Iterable[int]:
        return builtins.list(self.reminders)


class Presence(StateMachine):
    """State that listeners build, which belongs in the snapshot; `listen` is RELEASE, one entry for each session."""

    type_name = "presence"

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.listeners: dict[int, int] = {}

    @command(mode=RELEASE)
    def listen(self, commit: Commit) -> bool:
        if commit.session in self.listeners:
            self.release(commit.index)
            return False
        self.listeners[commit.session] = commit.index
        return True

    @listen.restore
    def _(self, commit: Commit) -> None:
        assert commit.session not in self.listeners
        self.listeners[commit.session] = commit.index

    def session_opened(self, commit: Commit) -> None:
        self.told.append(["opened", commit.session, commit.time])

    def session_closed(self, commit: Commit) -> None:
        self.told.append(["closed", commit.session, commit.time])
        if commit.session in self.listeners:
            self.release(self.listeners.pop(commit.session))

    def session_expired(self, commit: Commit) -> None:
        self.session_closed(commit)
        self.told.append("expired")

    def snapshot(self) -> Any:
        return self.told

    def install(self, state: Any) -> None:
        self.told = state

    def live_entries(self) -> Iterable[int]:
        return self.listeners.values()


class Choir(StateMachine):
    """Publishes from everywhere: commands of both modes, timers with and without an owner, listeners, failing handlers."""

    type_name = "choir"

    def __init__(self) -> None:
        super().__init__()
        self.members: list[int] = []
        self.held: dict[int, str] = {}

    @command(mode=SNAPSHOT)
    def join(self, commit: Commit) -> None:
        if commit.session not in self.members:
            self.members.append(commit.session)

    @command(mode=SNAPSHOT)
    def sing(self, commit: Commit, *words: str) -> int:
        for word in words:
            self.publish(self.members, "sung", [word, commit.time])
        return len(words)

    @command(mode=SNAPSHOT)
    def sing_to_all(self, commit: Commit) -> None:
        """To every session there was, is, or may be."""
        self.publish(range(commit.index + 2), "sung to all", commit.index)

    @command(mode=SNAPSHOT)
    def sing_and_raise(self, commit: Commit) -> None:
        self.publish(self.members, "never sung")
        raise ValueError("hoarse")

    @command(mode=RELEASE)
    def hold(self, commit: Commit, word: str, for_ms: int) -> None:
        """Restored by the command itself, which publishes again; nobody may hear of that."""
        self.held[commit.index] = word
        self.publish([commit.session, *self.members], "held", word)
        self.schedule(commit.time + for_ms, "fade", commit.index)

    @command(mode=SNAPSHOT)
    def sing_later(self, commit: Commit, delay_ms: int) -> None:
        self.schedule(commit.time + delay_ms, "fade", commit.index)

    def fade(self, commit: Commit, index: int) -> None:
        self.publish(self.members, "faded", [index, commit.index, self.held.get(index)])
        if index in self.held:
            del self.held[index]
            self.release(index)

    def session_opened(self, commit: Commit) -> None:
        self.publish([commit.session, *self.members], "welcome", commit.session)

    def session_closed(self, commit: Commit) -> None:
        self.publish(self.members, "farewell", commit.session)
        if commit.session in self.members:
            self.members.remove(commit.session)

    session_expired = session_closed

    def snapshot(self) -> Any:
        return self.members

    def install(self, state: Any) -> None:
        self.members = state

    def live_entries(self) -> Iterable[int]:
        return self.held


TEST_MACHINES: tuple[type[StateMachine], ...] = (Keyed, Lock, Alarm, Presence, Choir)
MACHINES = registry((*BUILT_IN, *TEST_MACHINES))
