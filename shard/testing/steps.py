"""What can happen in a history: commands, and what happens to sessions and to time; and how such steps are drawn and told.

A command is a tuple, its name and its arguments, by session 0 unless `by` says otherwise. There are two sessions, 0 and 1.
Everything else is an `Event`, made by the functions below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from .histories import Step

SESSIONS = (0, 1)
DELAYS = (1, 2, 3, 5, 50, 5000)


class Event(tuple[Any, ...]):
    """A step that is no command of session 0: made by the functions of this module."""

    __slots__ = ()


def by(session: int, name: str, *arguments: Any) -> Event:
    """A command of session 0 or 1."""
    return Event(("command", session, name, *arguments))


def wait(ms: int) -> Event:
    """So many milliseconds pass: timers that are due fire with the next entry."""
    return Event(("wait", ms))


def noop() -> Event:
    """An entry that does nothing but move the time."""
    return Event(("noop",))


def again() -> Event:
    """The last command comes once more, as from a client that heard no answer."""
    return Event(("again",))


def void(session: int) -> Event:
    """A command that its client gave up: its sequence is spent and nothing happens."""
    return Event(("void", session))


def acknowledge(session: int) -> Event:
    """The session's client has all results."""
    return Event(("acknowledge", session, 0))


def handled(session: int) -> Event:
    """The session's client has handled all events."""
    return Event(("handled", session, 0))


def close(session: int) -> Event:
    """The client ends its session."""
    return Event(("close", session))


def expire(session: int) -> Event:
    """The session was silent for too long."""
    return Event(("expire", session))


def reopen(session: int) -> Event:
    """Another session is opened in the place of this one; one that was not ended stays open and is silent."""
    return Event(("register", session))


def framework_events() -> list[Event]:
    """Every event of the framework but the passing of time."""
    of_sessions = (void, acknowledge, handled, close, expire, reopen)
    return [again(), noop(), *(make(number) for make in of_sessions for number in SESSIONS)]


def as_steps(type_name: str, history: Iterable[Any]) -> list[Step]:
    """A history as the user wrote it, in the form in which it is applied. Raises TypeError for what is no step."""
    steps: list[Step] = []
    for item in history:
        if isinstance(item, Event):
            steps.append(("command", item[1], type_name, *item[2:]) if item[0] == "command" else tuple(item))
        elif isinstance(item, tuple | list) and item and type(item[0]) is str:
            steps.append(("command", 0, type_name, *item))
        else:
            raise TypeError(f"a step is (name, argument...) or one of wait(ms), close(session)..., not {item!r:.60}")
    return steps


Choices = Mapping[str, Sequence[Sequence[Any]]]


def draw(random: Random, type_name: str, choices: Choices, length: int) -> list[Step]:
    """A history of at most `length` steps from a seed: commands, the passing of time, and now and then something else."""
    steps: list[Step] = []
    names = list(choices)
    events = framework_events()
    for _ in range(random.randint(1, length)):
        kind = random.choices(("command", "wait", "other"), (7, 3, 2))[0]
        if kind == "wait":
            steps.append(("wait", random.choice(DELAYS)))
        elif kind == "other":
            steps.append(tuple(random.choice(events)))
        else:
            name = random.choice(names)
            arguments = [random.choice(list(those)) for those in choices[name]]
            steps.append(("command", random.choice(SESSIONS), type_name, name, *arguments))
    return steps


def letters(type_name: str, choices: Choices) -> list[Step]:
    """Every command with every choice of arguments: the alphabet of short histories."""
    made: list[Step] = []
    for name, those in choices.items():
        calls: list[Step] = [()]
        for possible in those:
            calls = [(*call, argument) for call in calls for argument in possible]
        made += [("command", 0, type_name, name, *call) for call in calls]
    return made


TOLD = {
    "again": "the last command once more, its answer was lost",
    "noop": "an entry that only moves the time",
    "void": "session {}: a command that its client gave up",
    "acknowledge": "session {}: its client has all results",
    "handled": "session {}: its client has handled all events",
    "close": "session {}: closed by its client",
    "expire": "session {}: expired",
    "register": "session {}: another one is opened in its place",
}


def told(step: Step) -> str:
    """One step, for people."""
    kind, *arguments = step
    if kind == "command":
        session, _, name, *rest = arguments
        return f"session {session}: {name}({', '.join(map(repr, rest))})"
    return TOLD[kind].format(*arguments)
