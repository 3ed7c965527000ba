"""Whose request is worked on: in turn, answered once each, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from ocelog.log import compactor_jobs
from ocelog.log.compaction_request import CompactionGroup, CompactionRequest
from ocelog.log.compactor import CompactionStopped
from ocelog.log.compactor_jobs import Answer, CompactorJobs
from ocelog.log.files import OsDisk
from ocelog.log.manifest import SegmentRecord

from .compaction_driver import request, write_live_set, write_log

PAYLOADS = [b"payload"] * 65


class Replica:
    """One replica's directory below a data directory, and requests about it."""

    def __init__(self, data: Path, name: str) -> None:
        self.directory = str(data / name)
        disk = OsDisk()
        disk.make_directory(self.directory)
        self.records = write_log(disk, self.directory, PAYLOADS)
        self.snapshot = write_live_set(disk, self.directory, 63, [1, 21, 41])

    def request(self, generation: int) -> CompactionRequest:
        """Each of the three segments on its own, in files from this generation on."""
        groups = ((self.records[at : at + 1], generation + at) for at in range(3))
        return request(self.directory, self.snapshot, *groups)

    def names(self) -> set[str]:
        """Rewritten files."""
        targets = {f"{first}-{generation}.seg" for first in (1, 21, 41) for generation in range(8000, 8100)}
        return targets & {path.name for path in Path(self.directory, "log").iterdir()}


@pytest.fixture
def replicas(tmp_path: Path) -> list[Replica]:
    return [Replica(tmp_path, f"shard-0/replica-{number}") for number in range(3)]


def jobs_for(tmp_path: Path, stopped: list[bool] | None = None) -> CompactorJobs:
    return CompactorJobs(OsDisk(), str(tmp_path), (lambda: bool(stopped)) if stopped is not None else lambda: False)


def errors(answer: Answer) -> list[str | None]:
    return [group.error for group in answer.result.groups]


def generations(answer: Answer) -> list[int]:
    return [group.generation for group in answer.result.groups]


def test_replicas_take_turns_group_by_group(tmp_path: Path, replicas: list[Replica]) -> None:
    """A replica with much to do holds up nobody for longer than one group."""
    jobs = jobs_for(tmp_path)
    for number, replica in enumerate(replicas):
        assert jobs.receive(b"%d" % number, replica.request(8080).to_wire()) == []
    written = []
    answers: list[Answer] = []
    while len(jobs):
        answers += jobs.step()
        written.append([len(replica.names()) for replica in replicas])
    assert written[:4] == [[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1]]
    assert [answer.identity for answer in answers] == [b"0", b"1", b"2"]
    for answer, replica in zip(answers, replicas, strict=True):
        assert generations(answer) == [8080, 8081, 8082] and errors(answer) == [None] * 3
        assert (
            {Path(path).name for path in answer.files}
            == replica.names()
            == {"1-8080.seg", "21-8081.seg", "41-8082.seg"}
        )


def test_a_newer_request_takes_the_place_of_the_one_before(tmp_path: Path, replicas: list[Replica]) -> None:
    """The replica has given it up, as after an install: both are answered, and the first leaves no file."""
    jobs = jobs_for(tmp_path)
    jobs.receive(b"r", replicas[0].request(8080).to_wire())
    assert jobs.step() == [] and replicas[0].names() == {"1-8080.seg"}
    (given_up,) = jobs.receive(b"r", replicas[0].request(8090).to_wire())
    assert generations(given_up) == [8080, 8081, 8082]
    assert all("asked for something else" in str(error) for error in errors(given_up))
    assert replicas[0].names() == set()
    answers = []
    while len(jobs):
        answers += jobs.step()
    assert [generations(answer) for answer in answers] == [[8090, 8091, 8092]]


def test_a_stop_answers_everybody_and_removes_what_was_written(tmp_path: Path, replicas: list[Replica]) -> None:
    stopped: list[bool] = []
    jobs = jobs_for(tmp_path, stopped)
    for number, replica in enumerate(replicas):
        jobs.receive(b"%d" % number, replica.request(8080).to_wire())
    jobs.step()
    stopped.append(True)
    with pytest.raises(CompactionStopped):
        jobs.step()
    answers = jobs.stop()
    assert {answer.identity for answer in answers} == {b"0", b"1", b"2"}
    assert all(errors(answer) == ["the compactor was stopped"] * 3 for answer in answers)
    assert not any(replica.names() for replica in replicas) and not len(jobs)


def test_a_request_that_fails_unforeseen_is_answered_and_the_others_go_on(
    tmp_path: Path, replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_for(tmp_path)
    for number, replica in enumerate(replicas[:2]):
        jobs.receive(b"%d" % number, replica.request(8080).to_wire())
    step = compactor_jobs.Job.step

    def failing(job: compactor_jobs.Job) -> bool:
        if job.identity == b"0" and job.files():
            raise MemoryError("no more")
        return step(job)

    monkeypatch.setattr(compactor_jobs.Job, "step", failing)
    answers = []
    while len(jobs):
        answers += jobs.step()
    assert [(answer.identity, errors(answer)) for answer in answers] == [
        (b"0", ["MemoryError: no more"] * 3),
        (b"1", [None] * 3),
    ]
    assert replicas[0].names() == set()


def test_paths_outside_the_data_directory_are_refused(tmp_path: Path, replicas: list[Replica]) -> None:
    inside, data = replicas[0], tmp_path / "shard-0"
    (tmp_path / "elsewhere").symlink_to(inside.directory)
    (data / "link").symlink_to(tmp_path)
    group = (CompactionGroup((SegmentRecord(1, 1, 1, 20),), 8080),)
    refused = [
        (inside.directory, "/etc/passwd"),
        (inside.directory, f"{inside.directory}/snapshots/../../x/1.snap"),
        (inside.directory, f"{replicas[1].directory}/snapshots/63-77.snap"),
        (str(tmp_path), str(tmp_path / "snapshots/1.snap")),
        (f"{data}/link/other", f"{data}/link/other/snapshots/1.snap"),
        (f"{inside.directory}/../../..", f"{tmp_path}/snapshots/1.snap"),
        ("shard-0/replica-0", "shard-0/replica-0/snapshots/63-77.snap"),
    ]
    jobs = CompactorJobs(OsDisk(), str(data), lambda: False)
    for directory, snapshot in refused:
        asked = CompactionRequest(directory=directory, shard=3, snapshot_path=snapshot, groups=group)
        (answer,) = jobs.receive(b"r", asked.to_wire())
        assert ["is not below" in str(e) or "is no snapshot of" in str(e) for e in errors(answer)] == [True], directory
        assert generations(answer) == [8080]
    assert not len(jobs)
    through_a_link = CompactionRequest(
        directory=str(tmp_path / "elsewhere"),
        shard=3,
        snapshot_path=str(tmp_path / "elsewhere/snapshots/63-77.snap"),
        groups=inside.request(8080).groups,
    )
    assert jobs.receive(b"r", through_a_link.to_wire()) == [], "it is where it should be, by another name"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"x" * 100])
def test_what_cannot_be_understood_is_answered(tmp_path: Path, data: bytes) -> None:
    jobs = jobs_for(tmp_path)
    (answer,) = jobs.receive(b"r", data)
    assert answer.identity == b"r" and answer.result.error and not len(jobs)


def test_too_many_replicas_are_refused(
    tmp_path: Path, replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor_jobs, "REPLICAS_MAX", 1)
    jobs = jobs_for(tmp_path)
    assert jobs.receive(b"0", replicas[0].request(8080).to_wire()) == []
    (answer,) = jobs.receive(b"1", replicas[1].request(8080).to_wire())
    assert "1 replicas already" in str(errors(answer)[0])
