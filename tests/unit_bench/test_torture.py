"""When faults strike, what is skipped and why, and what is made of a cluster that does not get well; without a cluster."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ocelog.__main__ import main
from ocelog.bench.torture import faults
from ocelog.bench.torture.faults import FAULTS, Fault, FlipBits
from ocelog.bench.torture.strikes import Strikes

PATIENCE_S = 20.0


class FakeLinks:
    """Counts how often it was healed."""

    def __init__(self) -> None:
        self.healed = 0

    def heal(self) -> None:
        self.healed += 1


class FakeScene:
    """A cluster that is what it is told to be."""

    def __init__(self, *, healthy: bool = True, lacks: dict[str, str] | None = None) -> None:
        self.lacks = lacks or {}
        self.links = FakeLinks()
        self.healthy = healthy

    def leader(self, shard: int, timeout: float) -> int:
        return 0

    def status(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "verdict": "as it was told"}


class Noted(Fault):
    """Writes down that it struck, and says so."""

    name = "noted"
    struck: ClassVar[threading.Event]
    then: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def strike(self, seconds: float) -> None:
        self.struck.set()
        type(self).then()


def strikes_of(scene: FakeScene, *kinds: type[Fault]) -> Strikes:
    return Strikes(scene, every=0.01, seed=1, faults=kinds)  # type: ignore[arg-type]


def noted(**attributes: Any) -> type[Noted]:
    return type("Struck", (Noted,), {"struck": threading.Event(), **attributes})


def test_faults_strike_until_they_are_told_to_stop_and_everything_is_healed() -> None:
    scene, light, heavy = FakeScene(), noted(name="light"), noted(name="heavy", heavy=True)
    strikes = strikes_of(scene, light, heavy)
    assert light.struck.wait(PATIENCE_S)
    assert heavy.struck.wait(PATIENCE_S)
    strikes.stop()
    assert set(strikes.counts) == {"light", "heavy"}
    assert scene.links.healed == 1
    assert strikes.complaints == []


def test_what_a_machine_lacks_is_skipped_with_its_reason() -> None:
    able, unable = noted(), noted(name="unable", needs="strace")
    strikes = strikes_of(FakeScene(lacks={"strace": "strace is not on the PATH"}), able, unable)
    assert able.struck.wait(PATIENCE_S)
    strikes.stop()
    assert strikes.skipped == {"unable": "strace is not on the PATH"}
    assert not unable.struck.is_set()


def test_an_error_of_a_fault_itself_ends_the_campaign() -> None:
    def fail() -> None:
        raise RuntimeError("broken tool")

    broken = noted(then=staticmethod(fail))
    strikes = strikes_of(FakeScene(), broken)
    assert broken.struck.wait(PATIENCE_S)
    with pytest.raises(RuntimeError, match="broken tool"):
        strikes.stop()


def test_nobody_leading_is_no_error() -> None:
    def fail() -> None:
        raise TimeoutError("nobody leads")

    unlucky = noted(then=staticmethod(fail))
    strikes = strikes_of(FakeScene(), unlucky)
    assert unlucky.struck.wait(PATIENCE_S)
    strikes.stop()
    assert not strikes.counts


def test_a_cluster_that_does_not_get_well_is_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "WELL_S_MAX", 0.2)
    strikes = strikes_of(FakeScene(healthy=False), noted())
    strikes.stop()
    assert strikes.complaints == ["the cluster did not get well again: as it was told"]
    assert not strikes.whole, "nobody is to read it once more"


def test_a_run_that_is_abandoned_strikes_no_more_and_judges_nothing() -> None:
    strikes = strikes_of(FakeScene(healthy=False), noted())
    strikes.abandon()
    assert not any(thread.is_alive() for thread in strikes._threads)
    assert (strikes.complaints, strikes.whole) == ([], True)


def test_a_heavy_fault_waits_until_all_are_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "WELL_S_MAX", 0.2)
    heavy = noted(name="heavy", heavy=True)
    strikes = strikes_of(FakeScene(healthy=False), heavy)
    threading.Event().wait(1.0)
    strikes.stop()
    assert not heavy.struck.is_set()
    assert strikes.complaints


def test_a_flipped_byte_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    faults._flip(path, random.Random(1))
    assert sum(byte.bit_count() for byte in path.read_bytes()) == 1
    assert FlipBits.heavy


def test_faults_have_names_of_their_own_and_say_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 15
    assert main(["torture", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(fault.name in listed for fault in FAULTS)
    assert main(["torture", "--fault", "earthquake"]) == 64
    assert "there is no fault 'earthquake'" in capsys.readouterr().err
