"""Who belongs to the group. Changes of the configuration will be decided here; so far it is fixed for life."""

from __future__ import annotations

from collections.abc import Iterable


class Configuration:
    """The voters of one Raft group, ascending, so that whatever goes to all of them goes in one order everywhere."""

    __slots__ = ("voters",)

    def __init__(self, voters: Iterable[int]) -> None:
        self.voters = tuple(sorted(voters))
        assert self.voters, "a configuration needs at least one voter"
        assert len(set(self.voters)) == len(self.voters), f"a voter is named twice in {self.voters}"

    def others(self, member: int) -> tuple[int, ...]:
        """Every voter but `member`."""
        return tuple(voter for voter in self.voters if voter != member)
