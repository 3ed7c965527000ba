"""An HTML page that shows what is wrong with a history: a timeline of the offending window, and the order that got furthest.

One file without any other: style and picture are in it. Time is drawn by rank, every call and return one step further, since what
matters is what came before what.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from .judge import Finding, Judgement
from .model import IMPOSSIBLE
from .operation import NEVER, Operation, printable

FINDINGS_MAX = 20
PLACED_BEFORE = 12
"""How many operations before the point where every order ends are shown."""
OPERATIONS_MAX = 150
STEP, LANE, BAR, LEFT = 44, 30, 22, 150

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #1d2733 }
h2 { margin-top: 2em } .scroll { overflow-x: auto; border: 1px solid #d5dbe3; border-radius: 6px; background: #fbfcfd }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: 3px 12px; text-align: left; border-bottom: 1px solid #e4e8ee }
code, td.code { font-family: ui-monospace, monospace; font-size: 13px; white-space: pre-wrap; word-break: break-all }
svg text { font: 11px ui-monospace, monospace; fill: #14202c } svg .lane { font: 12px system-ui, sans-serif }
.placed { fill: #cfe8d5; stroke: #5b9c6d } .blocked { fill: #f5b7b1; stroke: #b03a2e; stroke-width: 2 }
.open { fill: #fbe0b0; stroke: #c48a1c } .left { fill: #e6e9ee; stroke: #98a3b1 } .unknown { stroke-dasharray: 5 3 }
.key span { display: inline-block; padding: 1px 10px; margin-right: .7em; border: 1px solid #98a3b1; border-radius: 4px }
"""
KEY = (
    ("placed", "#cfe8d5", "placed, with its number in the order"),
    ("blocked", "#f5b7b1", "has no place: it returned before anything else could be placed"),
    ("open", "#fbe0b0", "might have come next, and does not fit either"),
    ("left", "#e6e9ee", "not reached"),
)


def page(judgement: Judgement, source: str) -> str:
    """The page, as text. Findings beyond FINDINGS_MAX are only counted."""
    findings = [*judgement.wrong, *judgement.undecided]
    shown = "\n".join(_section(finding) for finding in findings[:FINDINGS_MAX])
    more = f"<p>and {len(findings) - FINDINGS_MAX} more</p>" if len(findings) > FINDINGS_MAX else ""
    key = "".join(f'<span style="background: {colour}">{escape(text)}</span>' for _, colour, text in KEY)
    title = f"{source}: {judgement.verdict}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n<p>{judgement.operations} operations, "
        f"{judgement.unknown} of them without a known outcome, in {judgement.parts} parts; {judgement.steps} steps in "
        f'{judgement.seconds:.2f} s.</p>\n<p class="key">{key}<span style="border-style: dashed">outcome unknown'
        f"</span></p>\n{shown}\n{more}</body></html>\n"
    )


def _section(finding: Finding) -> str:
    outcome = finding.outcome
    rows = "".join(_row(*each) for each in _states(finding))
    candidates = "".join(_candidate(finding, operation) for operation in outcome.open[:OPERATIONS_MAX])
    return (
        f"<h2>{escape(finding.title)} ({escape(finding.model)})</h2>\n<p>{escape(str(finding))}.</p>\n"
        f'<div class="scroll">{_picture(finding, window(finding))}</div>\n'
        f"<h3>The longest order that explains its operations</h3>\n<table><tr><th>#</th><th>operation</th><th>process</th>"
        f"<th>line</th><th>state after it</th></tr>{rows}</table>\n"
        f"<h3>What would have to come next, in state <code>{_short(outcome.state)}</code></h3>\n"
        f"<table><tr><th>operation</th><th>process</th><th>line</th><th></th></tr>{candidates}</table>\n"
    )


def _states(finding: Finding) -> Iterable[tuple[int, Operation, Any]]:
    """The last that were placed, with the state after each: all states of a long history would be too large to keep."""
    state = finding.part.initial
    states: deque[tuple[int, Operation, Any]] = deque(maxlen=PLACED_BEFORE)
    for number, operation in enumerate(finding.outcome.order, 1):
        state = finding.part.step(state, operation)
        states.append((number, operation, state))
    return states


def _row(number: int, operation: Operation, state: Any) -> str:
    return (
        f'<tr><td>{number}</td><td class="code">{escape(operation.described())}</td><td>{escape(printable(operation.process))}'
        f'</td><td>{operation.line or ""}</td><td class="code">{_short(state)}</td></tr>'
    )


def _candidate(finding: Finding, operation: Operation) -> str:
    fits = finding.part.step(finding.outcome.state, operation) is not IMPOSSIBLE
    why = "fits here, and leads to no end" if fits else "its result cannot have been told in this state"
    return (
        f'<tr><td class="code">{escape(operation.described())}</td><td>{escape(printable(operation.process))}</td>'
        f"<td>{operation.line or ''}</td><td>{why}</td></tr>"
    )


def _short(value: Any) -> str:
    text = repr(sorted(value, key=repr) if isinstance(value, frozenset) else value)
    return escape(text if len(text) <= 160 else text[:157] + "...")


def window(finding: Finding) -> list[Operation]:
    """The operations to show: the last that were placed, those that would have to be next, and whatever overlaps these."""
    outcome = finding.outcome
    near = [*outcome.order[-PLACED_BEFORE:], *outcome.open]
    if not near:
        return list(finding.operations[:OPERATIONS_MAX])
    low = min(each.call for each in near)
    high = max((each.returned for each in near if each.known), default=NEVER)
    shown = {id(each) for each in near}
    around = [
        each for each in finding.operations if each.call <= high and each.returned >= low and id(each) not in shown
    ]
    # Whoever has no outcome overlaps everything after it: the latest of them are the likeliest to matter.
    around.sort(key=lambda each: (each.known, each.call), reverse=True)
    return sorted([*near, *around][:OPERATIONS_MAX], key=lambda each: each.call)


def _picture(finding: Finding, operations: Sequence[Operation]) -> str:
    times = sorted({time for each in operations for time in (each.call, each.returned) if time < NEVER})
    rank = {time: number for number, time in enumerate(times)}
    end = len(times)
    lanes = _lanes(operations)
    number = {id(each): place for place, each in enumerate(finding.outcome.order, 1)}
    kinds = {id(each): "open" for each in finding.outcome.open}
    if finding.blocked is not None and finding.outcome.explained is False:
        kinds[id(finding.blocked)] = "blocked"
    parts = []
    previous = None
    for lane, (process, members) in enumerate(lanes):
        y = 8 + lane * LANE
        if process != previous:
            parts.append(f'<text class="lane" x="8" y="{y + 15}">{escape(process[:20])}</text>')
        previous = process
        for operation in members:
            x = LEFT + rank[operation.call] * STEP
            until = LEFT + (rank[operation.returned] if operation.known else end) * STEP + STEP // 2
            kind = "placed" if id(operation) in number else kinds.get(id(operation), "left")
            parts.append(_bar(operation, x, y, max(until - x, STEP // 2), kind, number.get(id(operation))))
    width, height = LEFT + (end + 1) * STEP, 16 + len(lanes) * LANE
    return f'<svg width="{width}" height="{height}" role="img" aria-label="timeline">{"".join(parts)}</svg>'


def _bar(operation: Operation, x: int, y: int, width: int, kind: str, number: int | None) -> str:
    label = (f"{number}: " if number else "") + operation.described()
    room = max(width // 7 - 1, 0)
    text = escape(label if len(label) <= room else label[: max(room - 1, 0)] + "…" if room > 1 else "")
    dashed = "" if operation.known else " unknown"
    told = f"{label}, {printable(operation.process)}, called at {operation.call}"
    told += f", returned at {operation.returned}" if operation.known else ", outcome unknown"
    return (
        f'<g><title>{escape(told)}</title><rect class="{kind}{dashed}" x="{x}" y="{y}" width="{width}" height="{BAR}" '
        f'rx="3"/><text x="{x + 4}" y="{y + 15}">{text}</text></g>'
    )


def _lanes(operations: Sequence[Operation]) -> list[tuple[str, list[Operation]]]:
    """Operations by process, and of one process that does several at once in as many lanes as it takes."""
    lanes: dict[str, list[list[Operation]]] = {}
    for operation in operations:
        own = lanes.setdefault(printable(operation.process), [])
        free = next((lane for lane in own if lane[-1].returned < operation.call), None)
        if free is None:
            own.append([operation])
        else:
            free.append(operation)
    return [(process, lane) for process, own in sorted(lanes.items()) for lane in own]
