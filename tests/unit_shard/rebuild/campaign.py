"""The property again, from a seed and without hypothesis: for campaigns, and to see that deliberate breaks are noticed."""

from __future__ import annotations

from random import Random

from ocelog.shard.errors import StateMismatch

from .drawing import OPERATIONS, draw_steps
from .histories import History, compacted, facts_of


class Broken(AssertionError):
    """The property does not hold; the text says for which seed and what differs."""


def check_seed(seed: int, steps_max: int = 40, among: tuple[str, ...] = tuple(OPERATIONS)) -> None:
    """One history, a snapshot while it goes on, a start from a compacted log, and more history. Raises Broken.

    The history is one of some of the machines `among` all.
    """
    random = Random(seed)
    # Few machines in each history, so that much happens to each of them, however many there are.
    types = tuple(random.sample(among, random.randint(1, min(5, len(among)))))
    history = History().run(draw_steps(random, random.randint(0, steps_max), types))
    history.pace = random.choice((1, 4, 20))
    snapshot = history.snapshot()
    history.run(draw_steps(random, random.randint(0, 20), types))
    gone = random.sample(range(1, history.last_index + 1), random.randint(0, history.last_index))
    log = compacted(history.log, snapshot, random.choice((gone, history.log)))
    try:
        rebuilt = snapshot.rebuild(log, slices=[random.randint(0, 9) for _ in range(random.randint(0, 3))])
    except StateMismatch as error:
        raise Broken(f"seed {seed}: {error}") from error
    _compare(seed, "at the snapshot", facts_of(rebuilt), snapshot.facts)
    history.run(draw_steps(random, random.randint(0, 20), types))
    history.apply_rest(rebuilt)
    _compare(seed, "afterwards", facts_of(rebuilt), history.facts())


def _compare(seed: int, when: str, found: dict[str, object], wanted: dict[str, object]) -> None:
    if found != wanted:
        name = next(name for name in wanted if found[name] != wanted[name])
        raise Broken(f"seed {seed}, {when}: {name} is {found[name]!r:.500}, not {wanted[name]!r:.500}")
