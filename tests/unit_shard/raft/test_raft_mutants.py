"""Deliberate breaks of the rules of configurations, incarnations, installs and transfers, each caught by a checker."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from ocelog.shard.raft import LEADER, changes, core, election, follower, install, replication, state
from ocelog.shard.raft.membership import ChangeKind
from ocelog.shard.raft.messages import Append

from tests.simulation.breaking import Edit, broken

from .raft_checkers import Committed, LeaderCompleteness, StateMachineSafety
from .raft_stories import return_of_the_first_leader, two_changes_in_two_terms
from .raft_storm import Storm

STEPS = 600


@dataclass(frozen=True)
class Mutant:
    """A break, what the first complaint about it may say, and the weather that brings it out."""

    title: str
    edits: tuple[Edit, ...]
    complaint: str
    churn: bool = True
    leases: bool = False
    seeds: range = range(60)


MUTANTS = (
    Mutant(
        "who does not vote is counted",
        (
            Edit(
                replication,
                "follow_configuration",
                "for peer, progress in raft.progress.items() if peer in voters]",
                "for peer, progress in raft.progress.items()]",
            ),
        ),
        "not on a majority of the disks|nobody leads|a dead one is left",
    ),
    Mutant(
        "a leader without a vote counts itself",
        (Edit(replication, "_with_own", "if raft.is_voter:", "if True:"),),
        "not on a majority of the disks",
    ),
    Mutant(
        "a truncated configuration counts on",
        (Edit(follower, "_accept", "changes.revert(raft, first_new - 1)", "pass"),),
        "but its log says|comes after",
        churn=False,
    ),
    Mutant(
        "a change while another is under way",
        (Edit(changes, "_obstacle", "if raft.configuration.index > raft.commit_index:", "if False:"),),
        "is not committed|more than one voter",
        seeds=range(2, 60),
    ),
    Mutant(
        "answers of any incarnation are believed",
        (
            Edit(
                core.Raft,
                "receive",
                "if self.incarnations.get(message.sender) != message.incarnation",
                "if message.sender not in self.incarnations",
            ),
        ),
        "not on a majority of the disks|matches through|two leaders|lead term|is committed",
    ),
    Mutant(
        "a member in probation votes",
        (Edit(election, "on_vote", "and free and not raft.probation and", "and free and"),),
        "votes in probation",
    ),
    Mutant(
        "a member in probation campaigns",
        (
            Edit(
                state.RaftState,
                "may_campaign",
                "if self.installing or self.probation or self.barred:\n        return False\n    if self.is_voter:",
                "if not self.installing:",
            ),
        ),
        "campaigns in probation",
    ),
    Mutant(
        "entries are taken while leadership is handed over",
        (
            Edit(core.Raft, "appended", "assert not self.transferring, f", "str() or f"),
            Edit(
                Storm,
                "takes_entries",
                "return member.core.role is LEADER and not member.core.transferring",
                "return member.core.role is LEADER",
            ),
        ),
        "took entries after its TimeoutNow",
        churn=False,
    ),
    Mutant(
        "an install at or below the commit index is taken",
        (Edit(install, "needs_install", "if snapshot_index <= raft.commit_index:", "if False:"),),
        "is committed|dense above",
    ),
    Mutant(
        "an install is not needed if there is any entry at its index",
        (Edit(install, "needs_install", "or raft.log.term_at(snapshot_index) != snapshot_term", ""),),
        r"entry \d+ is|conflicts at|holds another",
        seeds=range(380, 420),
    ),
    Mutant(
        "an install from above the commit index is taken",
        (Edit(install, "on_install", "if message.from_index > raft.commit_index:", "if False:"),),
        "misses|holds another entry",
    ),
    Mutant(
        "somebody campaigns while a snapshot is published",
        (
            Edit(
                state.RaftState,
                "may_campaign",
                "if self.installing or self.probation or self.barred:",
                "if self.probation:",
            ),
        ),
        "installed through .* as",
    ),
    Mutant(
        "what follows a hole is sent",
        (Edit(replication, "_replicate", "if progress.next_index <= raft.log.dense_index:", "if False:"),),
        "of a log that is dense above|fit",
    ),
    Mutant(
        "a closed connection ends a pledge",
        (Edit(core.Raft, "_miss_leader", "self.become(", "self.pledged_until = self.ticks; self.become("),),
        r"has a lease in term \d+, but",
        churn=False,
        leases=True,
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title.replace(" ", "-"))
def test_a_break_is_caught(mutant: Mutant) -> None:
    with broken(mutant):
        for seed in mutant.seeds:
            try:
                Storm(seed, churn=mutant.churn, leases=mutant.leases).play(STEPS)
            except AssertionError as error:
                first_line = str(error).split("\n")[0]
                assert re.search(mutant.complaint, first_line), f"seed {seed}: {first_line}"
                return
    pytest.fail(f"{mutant.title}: not caught with any of the seeds {mutant.seeds}")


def test_a_change_before_an_entry_of_the_own_term_loses_what_was_committed() -> None:
    """Storms hardly ever bring what it takes, so the story of the one who found it is told (Ongaro, 2015)."""
    edit = Edit(changes, "_obstacle", "if raft.commit_index < raft.term_start:", "if False:")
    committed = Committed()
    safety, completeness = StateMachineSafety(committed), LeaderCompleteness(committed)
    with broken(Mutant("a change before the no-op", (edit,), "")):
        cluster = two_changes_in_two_terms()
        cluster.change(1, ChangeKind.REMOVE, 0)
        cluster.cut = lambda message: (
            bool({message.sender, message.to} & {0, 4}) or (isinstance(message, Append) and message.to == 3)
        )
        cluster.tick([1], ticks=4)
        assert cluster[1].core.commit_index == 4, "by 1 and 2, of 1, 2 and 3"
        safety.check(cluster[1])
        return_of_the_first_leader(cluster)
        assert cluster[0].core.role is LEADER, "by 0, 3 and 4, of five"
        with pytest.raises(AssertionError, match="leader 0 of term 3 has"):
            completeness.check(cluster[0])


def test_the_storms_of_the_mutants_break_nothing_by_themselves() -> None:
    storms = [Storm(seed, churn=True) for seed in range(10)]
    for storm in storms:
        storm.play(STEPS)
    assert sum(bool(storm.churn.done) for storm in storms) > 6, "hardly anybody came or went"
