"""The options of `ocelog bench`: defaults, bounds, and that asking for help costs nothing."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import pytest
from ocelog.bench import verbs
from ocelog.bench.benchmark import Options
from ocelog.client.consistency import Consistency


def options(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    verbs.configure(parser)
    return verbs.read_options(parser.parse_args(["--workload", *words]))


def test_copycat_is_copycats_own_test() -> None:
    chosen = Options(**options("copycat", "--cluster", "1x3"))
    assert (chosen.clients, chosen.inflight, chosen.keys, chosen.operations) == (5, 1, 1024, 100_000)
    assert chosen.cluster == (1, 3)


def test_put_pipelines_values_of_a_hundred_bytes() -> None:
    chosen = Options(**options("put"))
    assert (chosen.value_bytes, chosen.processes, chosen.cluster, chosen.endpoints) == (100, 1, None, None)
    assert chosen.inflight > 1


def test_a_run_bounded_by_time_is_not_bounded_by_the_default_number() -> None:
    assert options("put", "--seconds", "2")["operations"] > 10**6
    assert options("put", "--seconds", "2", "--ops", "7")["operations"] == 7


@pytest.mark.parametrize(
    "words,said",
    [
        (["put", "--ops", "0"], "--ops 0: from 1"),
        (["put", "--seconds", "nan"], "--seconds nan"),
        (["put", "--seconds", "-1"], "--seconds -1"),
        (["put", "--clients", "2", "--processes", "3"], "--processes 3: from 1 to 2"),
        (["put", "--value-bytes", "7"], "--value-bytes 7: from 8"),
        (["counter", "--keys", "100000"], "--keys 100000"),
        (["put", "--cluster", "3"], "shards x replicas as in 1x3, not '3'"),
        (["put", "--cluster", "0x3"], "not '0x3'"),
        (["put", "--kill-leader-at", "1"], "--kill-leader-at needs --cluster"),
        (["put", "--stop-replica-at", "1", "--return-replica-at", "2"], "--stop-replica-at needs --cluster"),
        (["put", "--cluster", "1x3", "--stop-replica-at", "1"], "go together"),
        (
            ["put", "--cluster", "1x3", "--stop-replica-at", "2", "--return-replica-at", "1"],
            "--return-replica-at 1.0: from 2.0",
        ),
        (["put", "--cluster", "1x2", "--stop-replica-at", "1", "--return-replica-at", "2"], "needs three replicas"),
        (
            ["put", "--cluster", "1x3", "--kill-leader-at", "1", "--stop-replica-at", "1", "--return-replica-at", "2"],
            "two different runs",
        ),
        (["put", "--rate", "0"], "--rate 0.0: from 0.1"),
        (["copycat", "--consistency", "sequential"], "--consistency is for --workload get, not copycat"),
        (["put", "--set", "log.segment_bytes_max=5"], "--set needs --cluster"),
        (["put", "--cluster", "1x3", "--set", "logs.x=5"], "not 'logs.x=5'"),
        (["put", "--cluster", "1x3", "--set", "log"], "not 'log'"),
        (["put", "--samples", "0"], "--samples 0.0: from 0.1"),
        (["put", "--plot", "picture.exe"], "a file ending in .png"),
        (["put", "--cluster", "1x3", "--seconds", "2", "--kill-leader-at", "3"], "--kill-leader-at 3.0: from 0.0 to 2"),
    ],
)
def test_options_without_sense_are_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    verbs.configure(parser)
    assert verbs.run(parser.parse_args(["--workload", *words])) == 64
    assert said in capsys.readouterr().err


def test_the_level_of_gets_is_named_as_the_client_does() -> None:
    assert options("get")["consistency"] == ""
    assert options("get", "--consistency", "bounded-linearizable")["consistency"] == "BOUNDED_LINEARIZABLE"
    names = {level.upper().replace("-", "_") for level in verbs.LEVELS}
    assert names == set(Consistency.__members__)


def test_an_overwrite_run_is_sampled_unless_told_otherwise() -> None:
    chosen = Options(
        **options("overwrite", "--cluster", "1x3", "--set", "log.segment_bytes_max=2000000", "--set", "log.x=a")
    )
    assert (chosen.keys, chosen.sample_every, chosen.rate) == (1000, 1.0, 0.0)
    assert chosen.sections == {"log": {"segment_bytes_max": 2_000_000, "x": "a"}}
    assert options("overwrite", "--samples", "5")["sample_every"] == 5.0
    assert options("put")["sample_every"] == 0.0
    assert options("put", "--plot", "a.png")["sample_every"] == 1.0


def test_configuring_imports_nothing_heavy() -> None:
    code = (
        "import argparse, sys; from ocelog.bench import verbs; verbs.configure(argparse.ArgumentParser());"
        "heavy = {'numpy', 'zmq', 'msgpack', 'psutil', 'rich', 'asyncio', 'matplotlib'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
