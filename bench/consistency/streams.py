"""Streams of events: each change once, in the order of the log, none missing; and what a settled command had waited for.

What a listener has to be given is what the answered commands did and what any listener was told, above the index at
which it began to listen. A Resync takes the place of everything up to its index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .records import LINEARIZABLE, NEVER, OK, RESYNC, Given, History, Listener
from .timeline import Change, Timeline, change_of


def broken_streams(history: History, timeline: Timeline) -> list[str]:
    """Gaps, repeats, wrong order and events of nothing, a sentence each."""
    complaints = list(timeline.conflicts)
    for listener in history.listeners:
        complaints += [f"{listener.client} on {listener.resource}: {text}" for text in _stream(listener, timeline)]
    return complaints


def _stream(listener: Listener, timeline: Timeline) -> Iterator[str]:
    expected = [
        change for _, change in sorted(timeline.changes[listener.resource].items()) if listener.wants(change.key)
    ]
    last, position = listener.since, 0
    values: dict[str | None, object] = {}
    for given in listener.given:
        if given.index <= last and given.kind != RESYNC:
            yield f"{given.kind} of index {given.index} came behind index {last}"
            continue
        missing, position = _between(expected, position, last, given.index)
        if given.kind == RESYNC:
            values.clear()
            last = max(last, given.index)
            continue
        yield from (f"was not given {change}, but {given.kind} of index {given.index}" for change in missing)
        if given.key in values and given.kind != "cleared" and values[given.key] != given.old:
            yield f"{given.kind} of index {given.index} replaces {given.old!r}, but {values[given.key]!r} was last told"
        if given.kind == "cleared":
            values = dict.fromkeys(values)
        values[given.key] = given.new
        last = given.index
    missing, _ = _between(expected, position, last, listener.until + 1)
    yield from (f"was never given {change}, the end was at {listener.until}" for change in missing)


def _between(expected: list[Change], position: int, last: int, index: int) -> tuple[list[Change], int]:
    """The changes above `last` and below `index`, and where the search goes on."""
    found = []
    while position < len(expected) and expected[position].index < index:
        if expected[position].index > last:
            found.append(expected[position])
        position += 1
    return found, position


def answered_early(history: History) -> list[str]:
    """LINEARIZABLE commands whose call returned before a listener that was to be waited for had handled the event."""
    listeners = [
        (listener, {each.index: each for each in listener.given if each.kind != RESYNC}, _resynced(listener))
        for listener in history.listeners
    ]
    complaints = []
    for operation in history.operations:
        if operation.level != LINEARIZABLE or operation.is_query or operation.outcome != OK:
            continue
        if change_of(operation) is None:
            continue
        for listener, events, resynced in listeners:
            if listener.resource != operation.resource or not listener.wants(operation.key):
                continue
            event = events.get(operation.index)
            if event is not None:
                excused, handled = event.session in listener.expired, event.handled
            else:
                excused, handled = operation.index <= max(listener.since, resynced), NEVER
            # One that stopped before the call returned may have done so before the event came.
            if handled > operation.returned and not excused and listener.closed > operation.returned:
                later = "never" if handled == NEVER else f"{(handled - operation.returned) / 1e6:.3f} ms later"
                complaints.append(f"{operation} returned, but {listener.client} handled its event {later}")
    return complaints


def _resynced(listener: Listener) -> int:
    """The highest index whose state the listener was given in place of events."""
    return max((each.index for each in listener.given if each.kind == RESYNC), default=0)


def out_of_order(items: Iterable[tuple[int, str]]) -> list[str]:
    """What one session was handed, results and events alike, as (index, what): the indexes never fall."""
    complaints = []
    last, before = 0, ""
    for index, what in items:
        if index < last:
            complaints.append(f"{what} of index {index} came behind {before} of index {last}")
        last, before = index, what
    return complaints


def handed_over(given: Iterable[Given]) -> list[tuple[int, str]]:
    """Events as `out_of_order` takes them."""
    return [(each.index, each.kind) for each in given]
