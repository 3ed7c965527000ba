"""The arithmetic of majorities: what a majority has reached, and how a vote stands. Knows nothing of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum


class VoteResult(Enum):
    """How a vote stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(members: int) -> int:
    """How many of `members` are a majority."""
    return members // 2 + 1


def reached_by_majority(values: Iterable[int]) -> int:
    """The largest number that a majority of `values` is not below; one value per voter."""
    ascending = sorted(values)
    return ascending[(len(ascending) - 1) // 2]


def vote_result(votes: Mapping[int, bool], voters: Iterable[int]) -> VoteResult:
    """How a vote stands, where `votes` holds the answers so far; answers of others than `voters` do not count."""
    answers = [votes.get(voter) for voter in voters]
    needed = majority(len(answers))
    if answers.count(True) >= needed:
        return VoteResult.WON
    if len(answers) - answers.count(False) < needed:
        return VoteResult.LOST
    return VoteResult.PENDING
