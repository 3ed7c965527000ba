"""The shard's tests get a leader without Raft, disk or sockets, and what belongs to it: see desk.py."""

from __future__ import annotations

import pytest

from .desk import (
    KEY,
    MACHINES,
    START_MS,
    Answer,
    Desk,
    Entries,
    Plain,
    Toy,
    apply,
    decoded,
    entries_of,
    opening,
    operation,
    registering,
    state_of,
)


class Kit:
    """The names above, for tests (which cannot import a conftest)."""

    Answer = Answer
    Desk = Desk
    Entries = Entries
    Toy = Toy
    Plain = Plain
    KEY = KEY
    MACHINES = MACHINES
    START_MS = START_MS
    apply = staticmethod(apply)
    decoded = staticmethod(decoded)
    entries_of = staticmethod(entries_of)
    opening = staticmethod(opening)
    operation = staticmethod(operation)
    registering = staticmethod(registering)
    state_of = staticmethod(state_of)


@pytest.fixture
def kit() -> type[Kit]:
    """Classes and functions for tests of the shard."""
    return Kit


@pytest.fixture
def entries() -> Entries:
    """A log written by hand."""
    return Entries()


@pytest.fixture
def desk() -> Desk:
    """A leader whose term has begun."""
    return Desk()
