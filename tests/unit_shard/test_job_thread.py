"""A job thread: one job after the other, beside the loop, and no end of a job is lost."""

from __future__ import annotations

import select
import threading

import pytest
from ocelog.log.errors import StorageFailed
from ocelog.shard.job_thread import JobThread
from ocelog.shard.persist import PersistJob

PATIENCE_MS = 20_000


class Job:
    """Stands for a PersistJob; `gate` holds it up, `error` is what it raises."""

    def __init__(self, gate=None, error=None):
        self.gate = gate
        self.error = error
        self.ran_on = None

    def run(self):
        if self.gate is not None:
            assert self.gate.wait(PATIENCE_MS / 1000)
        self.ran_on = threading.current_thread()
        if self.error is not None:
            raise self.error


@pytest.fixture
def thread():
    thread = JobThread("jobs")
    yield thread
    thread.stop()


def wait(thread):
    """Wait as the loop does; returns the job that is done."""
    poll = select.poll()
    poll.register(thread.descriptor, select.POLLIN)
    assert poll.poll(PATIENCE_MS), "no job was done"
    return thread.finished()


def test_a_job_runs_on_another_thread_and_comes_back(thread):
    """The loop goes on meanwhile."""
    job = Job()
    thread.submit(job)
    assert wait(thread) is job
    assert job.ran_on is not threading.current_thread()


def test_nothing_is_readable_before_a_job_is_done(thread):
    """A loop that waits is not woken for nothing."""
    gate = threading.Event()
    thread.submit(Job(gate))
    poll = select.poll()
    poll.register(thread.descriptor, select.POLLIN)
    assert poll.poll(0) == []
    gate.set()
    wait(thread)
    assert poll.poll(0) == []


def test_what_a_job_raises_is_raised_on_the_loop(thread):
    """A failed sync stops the replica: its error must reach the loop."""
    thread.submit(Job(error=StorageFailed("the disk is gone")))
    with pytest.raises(StorageFailed, match="the disk is gone"):
        wait(thread)


def test_stopping_waits_for_the_job_under_way():
    """Nothing is cut off in the middle of a write."""
    thread, gate = JobThread("jobs"), threading.Event()
    job = Job(gate)
    thread.submit(job)
    threading.Timer(0.05, gate.set).start()
    thread.stop()
    assert job.ran_on is not None


class Recorder:
    """Notes in which order a job's parts run."""

    def __init__(self, order):
        self.order = order

    def store(self, term, voted_for):
        self.order.append(("vote", term, voted_for))

    def run(self):
        self.order.append("log")


def test_term_and_vote_are_durable_before_the_log():
    """An entry of a term must not outlive the term itself."""
    order = []
    PersistJob(Recorder(order), (3, 1), Recorder(order), []).run()
    assert order == [("vote", 3, 1), "log"]


def test_a_job_does_only_what_it_was_given():
    """Nothing to store, nothing to sync: a job may carry messages alone."""
    order = []
    PersistJob(Recorder(order), None, None, []).run()
    assert order == []
