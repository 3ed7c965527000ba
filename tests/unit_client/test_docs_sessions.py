"""docs/sessions.md and docs/guarantees.md: numbers, names and answers are those of the code. Their programs run elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import ocelog
import ocelog.client
import pytest
from ocelog.client import calls, changes
from ocelog.client.listeners import BUFFER_EVENTS_MAX
from ocelog.client.options import SESSION_TIMEOUT, TIMEOUT
from ocelog.client.protocol import outcomes
from ocelog.client.protocol.limits import Limits
from ocelog.shard import ended
from ocelog.shard.raft.config import RaftConfig

DOCS = Path(ocelog.__file__).parent / "docs"
SESSIONS = (DOCS / "sessions.md").read_text(encoding="utf-8")
GUARANTEES = (DOCS / "guarantees.md").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first line begins with that heading."""
    lines = page.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")]
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_limits_and_times_are_the_defaults():
    defaults = {row[0]: row[1] for row in rows(SESSIONS, "what")}
    limits = Limits()
    assert defaults["commands of a session in flight"] == str(limits.in_flight_max)
    assert defaults["queries of a session in flight"] == str(limits.in_flight_max)
    assert defaults["events of a session that are not handled"] == str(limits.events_max)
    assert defaults["bytes of those events"] == f"{limits.event_bytes_max // 2**20} MiB"
    assert defaults["events in a stream's buffer (`buffer=`)"] == str(BUFFER_EVENTS_MAX)
    shortest, longest = limits.session_timeout_ms_min // 1000, limits.session_timeout_ms_max // 3_600_000
    assert defaults["session timeout"] == f"{SESSION_TIMEOUT:g} s, from {shortest} s to {longest} h"
    assert defaults["deadline of a call"] == f"{TIMEOUT:g} s"
    assert defaults["memory of an ended session"] == f"{ended.KEPT_MS // 3_600_000} h, or the last {ended.RECORDS_MAX}"


def test_states_and_outcomes_are_those_of_the_code():
    assert [row[0] for row in rows(SESSIONS, "state")] == [state.name for state in calls.ClientState]
    assert {row[0].strip("`") for row in rows(SESSIONS, "answer")} == set(outcomes.NAMES.values())


def test_kinds_of_events_are_those_of_the_code():
    (sentence,) = re.findall(r"a map (.*?), a counter (`\w+`)\.", SESSIONS)
    assert set(re.findall(r"`(\w+)`", " ".join(sentence))) == changes.MapEvent.kinds | changes.CounterEvent.kinds


def test_levels_are_those_of_the_code():
    (header,) = [line for line in GUARANTEES.splitlines() if line.startswith("| | LINEARIZABLE | BOUNDED")]
    assert header.strip("| ").split(" | ") == list(ocelog.Consistency.__members__)
    chosen = " ".join(row[1] for row in rows(GUARANTEES, "I want..."))
    assert set(re.findall(r"[A-Z_]{6,}", chosen)) == set(ocelog.Consistency.__members__)


def test_the_drift_bound_is_the_default():
    assert f"`clock_drift_percent`, {RaftConfig().clock_drift_percent})" in GUARANTEES


@pytest.mark.parametrize("row", rows(GUARANTEES, "error"), ids=lambda row: row[0][:30])
def test_errors_are_as_definite_as_they_say(row):
    for name in re.findall(r"`(\w+)`", row[0]):
        kind = getattr(ocelog.client, name)
        if not row[2].startswith("see"):
            assert row[2].startswith("yes" if kind.definite else "no"), name


@pytest.mark.parametrize("page", [SESSIONS, GUARANTEES], ids=["sessions", "guarantees"])
def test_links_lead_somewhere(page):
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", page)):
        text = (DOCS / target).read_text(encoding="utf-8") if target else page
        titles = [line.lstrip("# ").lower() for line in text.splitlines() if line[:1] == "#"]
        headings = {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}
        assert not anchor or anchor in headings, f"{target}#{anchor}"
