"""Changes of the members and of the leadership, as an operator would ask for them: refused, lost or carried out.

Invariant: it takes nobody away without whom there would be no majority of members that still have their files, nor the last
voter but one; in the end it brings everybody back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocelog.shard.raft.membership import ACTIVE, PASSIVE, Change, ChangeKind, Configuration, Refused
from ocelog.shard.replica import Replica

from .host import Host
from .scheduler import MS, Scheduler

REPAIR_INTERVAL = 100 * MS

Wanted = Callable[[Configuration], Change | None]
"""What to change in a configuration, if anything."""


class Operator:
    """Asks whoever leads. `changes` counts what was begun."""

    def __init__(self, scheduler: Scheduler, hosts: Sequence[Host]) -> None:
        self.scheduler = scheduler
        self.hosts = hosts
        self.changes = 0
        self.transfers = 0

    def change_something(self) -> None:
        """A random change of a random member, or a transfer of leadership to it."""
        rng = self.scheduler.rng
        host = rng.choice(list(self.hosts))
        if rng.random() < 0.4:
            self._transfer_to(host)
        else:
            self._ask(lambda configuration: self._any_change(configuration, host))

    def _any_change(self, configuration: Configuration, host: Host) -> Change | None:
        rng = self.scheduler.rng
        if host.member not in configuration.incarnations:
            return Change(ChangeKind.ADD, host.member, host.member_incarnation)
        role = _role(configuration, host)
        if role is PASSIVE:
            return Change(rng.choice((ChangeKind.PROMOTE, ChangeKind.PROMOTE, ChangeKind.REMOVE)), host.member)
        others = [other for other in self.hosts if other is not host and other.counts_in(configuration)]
        if role is ACTIVE and len(configuration.voters) > 2 and 2 * len(others) > len(configuration.voters) - 1:
            return Change(rng.choice((ChangeKind.DEMOTE, ChangeKind.REMOVE)), host.member)
        return None

    def _transfer_to(self, host: Host) -> None:
        for leader in self.hosts:
            if leader.leads and leader.replica is not None:
                try:
                    leader.replica.core.transfer(host.member)
                except Refused:
                    continue
                self.transfers += 1
                self.scheduler.note(f"{leader.name} hands over to {host.name}")

    def repair(self) -> None:
        """Bring a member that does not vote a step nearer to that; again and again, until all do."""
        self._ask(self._repairing)
        self.scheduler.after(REPAIR_INTERVAL, self.repair)

    def _repairing(self, configuration: Configuration) -> Change | None:
        for host in self.hosts:
            role = _role(configuration, host)
            if role is None and host.member not in configuration.incarnations:
                return Change(ChangeKind.ADD, host.member, host.member_incarnation)
            if role is PASSIVE:
                return Change(ChangeKind.PROMOTE, host.member)
        return None

    def _ask(self, wanted: Wanted) -> None:
        for leader in self.hosts:
            if leader.leads:
                leader.ask_change(lambda replica: self._propose(replica, wanted))

    def _propose(self, replica: Replica, wanted: Wanted) -> bytes | None:
        change = wanted(replica.core.configuration)
        if change is None:
            return None
        try:
            payload = replica.core.propose(change, replica.core.configuration.index)
        except Refused:
            return None
        self.changes += 1
        self.scheduler.note(f"replica-{replica.member} logs {change}")
        return payload


def _role(configuration: Configuration, host: Host) -> object:
    return configuration.role_of(host.member, host.member_incarnation)
