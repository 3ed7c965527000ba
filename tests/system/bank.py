"""A machine of one's own for tests with real processes: accounts, in two versions."""

from __future__ import annotations

from typing import Any

from ocelog import RELEASE, SNAPSHOT, Commit, StateMachine, command, query
from ocelog.shard.machines.listeners import Listeners
from ocelog.shard.machines.patience import Patience
from ocelog.shard.machines.waiting import ANSWER


class Bank(StateMachine):
    """Balances in the snapshot; notes in their own entries."""

    type_name = "bank"

    def __init__(self) -> None:
        super().__init__()
        self.balances: dict[str, int] = {}
        self.notes: dict[int, str] = {}
        self.listeners = Listeners()

    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, account: str, amount: int) -> int:
        """The new balance."""
        return self._set(account, self.balances.get(account, 0) + amount)

    @command(mode=SNAPSHOT)
    def transfer(self, commit: Commit, source: str, target: str, amount: int) -> None:
        """Raises ValueError when there is not enough."""
        if self.balances.get(source, 0) < amount:
            raise ValueError(f"{source} has only {self.balances.get(source, 0)}")
        self._set(source, self.balances[source] - amount)
        self._set(target, self.balances.get(target, 0) + amount)

    @command(mode=RELEASE)
    def note(self, commit: Commit, text: str) -> None:
        """Keep a text."""
        self.notes[commit.index] = text

    def _set(self, account: str, balance: int) -> int:
        before, self.balances[account] = self.balances.get(account), balance
        self.publish(self.listeners.of(None), "change", ["balance", account, before, balance])
        return balance

    @command(mode=SNAPSHOT)
    def listen(self, commit: Commit, key: Any) -> None:
        """The session hears of balances."""
        self.listeners.listen(commit.session, None)

    @command(mode=SNAPSHOT)
    def unlisten(self, commit: Commit, key: Any) -> None:
        """It does no more."""
        self.listeners.unlisten(commit.session, None)

    @query
    def balance(self, commit: Commit, account: str) -> int:
        """The balance of an account."""
        return self.balances.get(account, 0)

    @query
    def state(self, commit: Commit, key: Any) -> list[Any]:
        """Version, balances and notes."""
        return [self.version, list(self.balances.items()), list(self.notes.values())]

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended listens no more."""
        self.listeners.end(commit.session)

    session_expired = session_closed

    def live_entries(self) -> list[int]:
        """Those of the notes."""
        return list(self.notes)

    def snapshot(self) -> Any:
        """Balances and listeners."""
        return [list(self.balances.items()), self.listeners.state()]

    def install(self, state: Any) -> None:
        """Take them back."""
        balances, listeners = state
        self.balances = dict(balances)
        self.listeners.install(listeners)


class BankTwo(Bank):
    """Pays a bonus of one on every deposit."""

    version = 2

    @command(mode=SNAPSHOT)
    def deposit(self, commit: Commit, account: str, amount: int) -> int:
        """The new balance."""
        return self._set(account, self.balances.get(account, 0) + amount + 1)


class Bell(Patience):
    """Who waits hears what is rung next."""

    type_name = "bell"

    @command(mode=SNAPSHOT)
    def hear(self, commit: Commit, number: int, wait_ms: int | None, least: int) -> list[Any] | None:
        """Wait for a bell; [0] at once for who asks for nothing."""
        if not least:
            return [0]
        self.wait(commit, number, wait_ms)
        return None

    @command(mode=SNAPSHOT)
    def ring(self, commit: Commit, times: int) -> int:
        """How many heard it."""
        heard = list(self.waiters)
        for waiter in heard:
            self.waiters.remove(waiter.session, waiter.number)
            self.publish(waiter.session, ANSWER, [waiter.number, times])
        return len(heard)

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """Wait no more."""
        self.waiters.remove(commit.session, number)

    @query
    def waiting(self, commit: Commit) -> int:
        """How many wait."""
        return len(self.waiters)

    def session_closed(self, commit: Commit) -> None:
        """Who has gone waits no more."""
        self.waiters.end(commit.session)

    session_expired = session_closed

    def snapshot(self) -> Any:
        """Who waits, and until when."""
        return [self.waiters.state(), list(self.alarms)]

    def install(self, state: Any) -> None:
        """Take them back."""
        waiters, alarms = state
        self.waiters.install(waiters)
        self.install_alarms(alarms)
