"""The arithmetic of majorities: what a majority has reached, and whether a vote is won. Knows nothing of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def majority(members: int) -> int:
    """How many of `members` are a majority."""
    return members // 2 + 1


def reached_by_majority(values: Iterable[int]) -> int:
    """The largest number that a majority of `values` is not below; one value per voter."""
    ascending = sorted(values)
    return ascending[(len(ascending) - 1) // 2]


def has_won(votes: Mapping[int, bool], voters: Iterable[int]) -> bool:
    """Whether a majority of `voters` has said yes; answers of others do not count."""
    answers = [votes.get(voter) for voter in voters]
    return answers.count(True) >= majority(len(answers))
