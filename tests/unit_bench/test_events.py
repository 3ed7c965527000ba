"""The benchmarks of events and levels: each figure in small on a real cluster, and what is no figure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ocelog.bench import event_listener, events
from ocelog.bench.event_listener import Listener, ListenerFailed
from ocelog.bench.events import FIGURES, NoFigure, Sizes
from ocelog.cluster import LocalCluster

TINY = Sizes(puts=10, rounds=2, listeners=20, events=600, sessions=50, idle_seconds=0.5, gets_seconds=0.3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(shards=1, replicas=3) as cluster:
        yield cluster


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,.]*\d|\d", text)]


def table(cluster: Any, name: str) -> dict[str, str]:
    return dict(FIGURES[name](cluster, TINY))


@pytest.mark.system
def test_the_latency_of_events_is_told_beside_that_of_puts(cluster):
    rows = table(cluster, "latency")
    assert list(rows) == ["put, nobody listens", "put", "put to event", "ratio of medians"]
    assert all(numbers(rows[name])[1] > 0 for name in list(rows)[:3])


@pytest.mark.system
def test_every_listening_session_gets_every_event(cluster):
    rows = table(cluster, "fan-out")
    assert numbers(rows["sessions"]) == [20, 2]
    assert "until all were delivered" in rows


@pytest.mark.system
def test_the_flow_ends_with_the_last_event(cluster):
    rows = table(cluster, "flow")
    assert numbers(rows["events"])[0] == 600
    assert {"leader", "follower", "listener", "load"} <= set(re.findall(r"[a-z]+", rows["CPU"]))


@pytest.mark.system
def test_idle_sessions_are_weighed(cluster):
    rows = table(cluster, "idle")
    assert numbers(rows["sessions"])[0] == 50
    assert "bytes per session" in rows["leader's memory"]


@pytest.mark.system
def test_gets_at_every_level_are_told_with_the_cpu_of_each_process(cluster):
    rows = table(cluster, "levels")
    assert list(rows) == list(events.LEVELS)
    assert all("leader" in text and "follower" in text for text in rows.values())


@pytest.mark.system
def test_gets_that_fail_are_no_figure(cluster, monkeypatch):
    failing = {"errors": 3, "first_error": "the disk burns"}
    monkeypatch.setattr(events, "run", lambda options: None)
    monkeypatch.setattr(events, "as_dict", lambda outcome: failing)
    with pytest.raises(NoFigure, match="3 gets failed: the disk burns"):
        events.levels(cluster, TINY)


def test_an_unknown_figure_is_a_mistake_of_usage(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["events", "weight"])
    with pytest.raises(SystemExit) as caught:
        events.main()
    assert caught.value.code == 2
    assert "weight is none of latency, fan-out" in capsys.readouterr().err


def test_a_listener_that_cannot_begin_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ListenerFailed, match="the listener ended"), Listener(["tcp://127.0.0.1:9"], "nothing"):
        pass


@pytest.mark.system
def test_an_event_that_does_not_come_is_told(cluster):
    with Listener(cluster.endpoints, "silent") as listener:
        with pytest.raises(ListenerFailed, match="event 5 did not come within"):
            listener.when(5, 0.05)
        assert listener.count == 0
        assert listener.cpu_ns() > 0


def test_a_listener_that_missed_events_says_so(monkeypatch):
    """Whatever it counted would be wrong."""
    listener = Listener.__new__(Listener)
    listener.count, listener._times, listener._problem = 0, {}, ""
    listener._advanced = event_listener.threading.Condition()
    listener._take("events were missed")
    with pytest.raises(ListenerFailed, match="events were missed"):
        listener.when(0, 1.0)
