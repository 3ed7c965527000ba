"""A sample of the corruption matrix, and that it would see a loss. All of it: `-m slow`, or `--matrix --all`."""

from __future__ import annotations

import pytest
from ocelog.shard import healing

from . import matrix
from .breaking import Edit, Mutant, broken
from .matrix import GROUNDS, SAMPLES, Case, recoverable, run_case, sample


def wrong(ground: str, cases: list[Case]) -> list[str]:
    """What does not end as it should."""
    outcomes = [matrix._run(ground, case) for case in cases]
    return [str(outcome) for outcome in outcomes if isinstance(outcome, str) or not outcome.right]


@pytest.mark.parametrize("ground", GROUNDS)
def test_what_is_intact_somewhere_comes_back_and_what_is_not_stops_the_shard(ground: str) -> None:
    cases = sample(GROUNDS[ground], SAMPLES[ground])
    assert len({recoverable(case) for case in cases}) == 2, "some of each"
    assert not wrong(ground, cases)


@pytest.mark.slow
@pytest.mark.parametrize("ground", GROUNDS)
def test_every_combination(ground: str) -> None:
    assert not wrong(ground, list(GROUNDS[ground].cases()))


def test_the_count_is_that_of_the_paper() -> None:
    """Of 4096 combinations of four entries on three members, 2401 leave each entry intact on one of them (FAST 2018)."""
    assert GROUNDS["entries"].count() == 4096
    assert sum(map(recoverable, GROUNDS["entries"].cases())) == 2401


BREAKS = {
    "nobody is asked for a damaged entry": Mutant(
        "", (Edit(healing.Healing, "messages", "for peer in core.peers:", "for peer in ():"),), ()
    ),
    "what a peer gives is not put in its place": Mutant(
        "",
        (Edit(healing.Healing, "answered", "elif self.log.repair(answer.index, answer.entries.data):", "elif True:"),),
        (),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_shows(name: str) -> None:
    """Healing that does not heal is seen with the first entry that is damaged."""
    case: Case = (("entry 1",), (), ("entry 1",))
    with broken(BREAKS[name]):
        assert wrong("entries", [case])
    assert run_case(GROUNDS["entries"], case).repaired
