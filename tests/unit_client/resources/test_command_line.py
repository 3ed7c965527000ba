"""The command line over all resources: reading creates nothing, what is late is 75, and a command is not outlived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ocelog
import pytest

READS = {
    "map get NAME k": (1, ""),
    "map get-or-default NAME k 7": (0, "7\n"),
    "map get-versioned NAME k": (1, ""),
    "map get-many NAME a b": (0, "{}\n"),
    "map contains NAME k": (1, "false\n"),
    "map contains-value NAME v": (1, "false\n"),
    "map size NAME": (0, "0\n"),
    "map is-empty NAME": (0, "true\n"),
    "map keys NAME": (0, ""),
    "map values NAME --json": (0, "[]\n"),
    "map entries NAME": (0, ""),
    "map items NAME": (0, ""),
    "partitioned-map get NAME k": (1, ""),
    "partitioned-map size NAME": (0, "0\n"),
    "sorted-map first NAME": (1, ""),
    "sorted-map floor NAME k --json": (1, "null\n"),
    "sorted-map range NAME": (0, ""),
    "sorted-set count NAME": (0, "0\n"),
    "multimap get NAME k": (1, ""),
    "multimap get NAME k --json": (1, "[]\n"),
    "multimap count NAME k": (0, "0\n"),
    "multimap contains-entry NAME k v": (1, "false\n"),
    "set contains-many NAME a b": (0, "[false, false]\n"),
    "set items NAME": (0, ""),
    "counter get NAME": (0, "0\n"),
    "value get NAME": (1, ""),
    "queue peek NAME": (1, ""),
    "queue size NAME": (0, "0\n"),
    "latch count NAME": (1, ""),
    "barrier status NAME": (0, '{"generation": 1, "parties": null, "waiting": 0, "broken": false, "inside": 0}\n'),
    "tasks stats NAME": (0, '{"pending": 0, "under_way": 0, "workers": 0, "acknowledged": 0, "failed": 0}\n'),
    "election leader NAME": (1, ""),
    "election candidates NAME": (0, ""),
    "group members NAME": (0, ""),
    "group leader NAME": (1, ""),
    "partition show NAME": (0, ""),
    "lock NAME --status": (0, "free\nwaiting: 0\n"),
    "rwlock NAME --status": (0, "free\nwaiting: 0\n"),
    "semaphore NAME --status --json": (0, '{"holders": [], "waiters": [], "holding": 0, "waiting": 0}\n'),
    "resource NAME map query size": (1, ""),
}


@pytest.mark.parametrize("asked", READS)
def test_a_read_answers_for_what_does_not_exist_and_does_not_create_it(asked, run_here, name, client_of_all):
    before = client_of_all.resources()
    assert run_here(*(name if word == "NAME" else word for word in asked.split())) == READS[asked]
    assert client_of_all.resources() == before


OF_EMPTY = [asked for asked in READS if not asked.startswith(("resource", "partition ", "latch"))]


@pytest.mark.parametrize("asked", OF_EMPTY)
def test_what_it_answers_is_what_the_empty_resource_would(asked, run_here, name, monkeypatch):
    from ocelog.client import verbs
    from ocelog.client.commandline import barrier, election, group, guarded, tasks

    for module in (verbs, barrier, election, group, guarded, tasks):
        monkeypatch.setattr(module, "missing", lambda *arguments: False)
    assert run_here(*(name if word == "NAME" else word for word in asked.split())) == READS[asked]


@pytest.fixture(scope="module")
def client_of_all(endpoints):
    with ocelog.connect(endpoints) as client:
        yield client


def test_resources_are_listed_told_and_deleted(run_here, name, capsys):
    assert run_here("exists", name) == (1, "")
    assert run_here("delete", name) == (1, "false\n")
    run_here("map", "put", name, "k", "v")
    run_here("partitioned-map", "put", name, "k", "v")
    assert run_here("exists", name) == (0, "map\n")
    code, listed = run_here("resources")
    assert code == 0
    assert {f"{name}\tmap", f"{name}\tpartitioned_map"} <= set(listed.splitlines())
    assert f"{name}\tmap\n" in run_here("resources", "--type", "map")[1]
    assert run_here("resources", "--type", "partitioned_map")[1].count(name) == 1
    assert run_here("delete", name) == (0, "true\n")
    assert run_here("counter", "increment", name) == (0, "1\n"), "the name is free"
    assert run_here("partitioned-map", "delete", name)[0] == 0
    assert run_here("resources", "--type", "partitioned_map", "--json")[1].count(name) == 0


def test_a_name_of_another_type_says_what_can_be_done(endpoints, name, monkeypatch, capsys):
    from ocelog.__main__ import main

    monkeypatch.setenv("OCELOG_ENDPOINTS", ",".join(endpoints))
    assert main(["map", "put", name, "k", "v"]) == 0
    assert main(["counter", "get", name]) == 65
    told = capsys.readouterr().err
    assert f"{name!r} is a map, not a counter" in told
    assert told.endswith(f"\nTry: another name, or, if nobody needs what is there, ocelog delete {name}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["queue", "take", "NAME"],
        ["latch", "wait", "NAME"],
        ["barrier", "wait", "NAME", "2"],
        ["tasks", "submit", "NAME", "1", "--wait"],
        ["lock", "NAME", "--", "true"],
        ["election", "run", "NAME", "--id", "b", "--", "true"],
    ],
)
def test_what_does_not_come_in_time_is_75(arguments, run_here, endpoints, name):
    with ocelog.connect(endpoints) as client:
        if arguments[0] == "lock":
            client.lock(name).lock()
        elif arguments[0] == "election":
            client.election(name).lead("a")
        words = [name if word == "NAME" else word for word in arguments]
        at = words.index("--") if "--" in words else len(words)
        assert run_here(*words[:at], "--timeout", "0.1", *words[at:]) == (75, "")


def test_a_broken_barrier_says_how_it_is_reset(run_here, endpoints, name, monkeypatch, capsys):
    from ocelog.__main__ import main

    monkeypatch.setenv("OCELOG_ENDPOINTS", ",".join(endpoints))
    for _ in range(2):  # it is late, and then broken by that
        assert main(["barrier", "wait", name, "2", "--timeout", "0.1"]) == 75
        assert f"`ocelog barrier reset {name}` lets it be used again" in capsys.readouterr().err
    assert run_here("barrier", "reset", name) == (0, "true\n")


def test_the_values_of_a_key_are_lines(run_here, name):
    run_here("multimap", "put-many", name, "k=a", "k=b")
    assert run_here("multimap", "get", name, "k") == (0, "a\nb\n")
    assert run_here("multimap", "remove", name, "k") == (0, "a\nb\n")
    assert run_here("multimap", "remove", name, "k") == (1, "")


def test_a_closed_standard_output_is_written_to_nowhere(endpoints, name, tmp_path):
    script = f"{sys.executable} -m ocelog map size {name} >&-"
    done = subprocess.run(
        ["sh", "-c", script],
        env=os.environ | {"OCELOG_ENDPOINTS": ",".join(endpoints)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", ["tasks", "partition"])
def test_term_stops_the_command_and_gives_back(verb, endpoints, name, tmp_path):
    """Left alone the command would work on what others are given when the session has ended."""
    pid_file = tmp_path / "pid"
    working = {"tasks": ["tasks", "work", name], "partition": ["partition", "hold", name, "--items", "a"]}[verb]
    with ocelog.connect(endpoints) as client:
        client.task_queue(name).submit(7) if verb == "tasks" else None
        program = subprocess.Popen(
            [sys.executable, "-m", "ocelog", *working, "--", "sh", "-c", f"echo $$ >{pid_file}; exec sleep 60"],
            env=os.environ | {"OCELOG_ENDPOINTS": ",".join(endpoints)},
            cwd=tmp_path,
        )
        try:
            pid = _read_when_there(pid_file)
            program.send_signal(signal.SIGTERM)
            assert program.wait(15) == 128 + signal.SIGTERM
            assert not Path(f"/proc/{pid}").exists()
        finally:
            program.kill()
            program.wait()
        if verb == "tasks":
            assert client.task_queue(name).stats() == {
                "pending": 1,
                "under_way": 0,
                "workers": 0,
                "acknowledged": 0,
                "failed": 0,
            }
        else:
            assert client.set_partitioner(name, ["a"]).allotments() == {}


def _read_when_there(path: Path) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("the command was not run")
