"""The log file of a process: logging never blocks a loop."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import threading

import pytest
from ocelog.log import process_log


@pytest.fixture
def clean_root():
    """The root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield root
    root.setLevel(level)
    root.handlers = handlers


def start(tmp_path, **options):
    options = {"level": "info", "file_bytes_max": 1 << 20, "files_max": 3} | options
    return process_log.start_logging(str(tmp_path / "logs" / "replica.log"), **options)


def test_lines_reach_the_file_in_order(tmp_path, clean_root):
    """With time and level, when the listener is stopped at the latest."""
    listener = start(tmp_path)
    for number in range(5):
        logging.getLogger("ocelog.shard").info("line %d", number)
    listener.stop()
    lines = (tmp_path / "logs" / "replica.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [f"INFO line {number}" for number in range(5)]


def test_the_level_is_kept(tmp_path, clean_root):
    """Less than the level is not written."""
    listener = start(tmp_path, level="warning")
    logging.getLogger("ocelog.shard").info("unwanted")
    listener.stop()
    assert (tmp_path / "logs" / "replica.log").read_text() == ""


def test_files_are_rotated_and_bounded(tmp_path, clean_root):
    """At most `files_max` files of `file_bytes_max` bytes."""
    listener = start(tmp_path, file_bytes_max=500)
    for number in range(100):
        logging.getLogger("ocelog.shard").info("line %d", number)
    listener.stop()
    files = list((tmp_path / "logs").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 500 for file in files)


def test_lines_are_dropped_when_the_disk_is_behind(tmp_path, clean_root, monkeypatch):
    """A line that has no room is lost; the caller does not wait, and stopping still ends."""
    monkeypatch.setattr(process_log, "QUEUED_LINES_MAX", 3)
    blocked, writing = threading.Event(), threading.Event()
    emit = logging.handlers.RotatingFileHandler.emit

    def slow(self, record):
        writing.set()
        assert blocked.wait(30)
        emit(self, record)

    monkeypatch.setattr(logging.handlers.RotatingFileHandler, "emit", slow)
    listener = start(tmp_path)
    logging.getLogger("ocelog.shard").info("first")
    assert writing.wait(30)
    for number in range(50):
        logging.getLogger("ocelog.shard").info("line %d", number)
    threading.Timer(0.05, blocked.set).start()
    listener.stop()
    lines = (tmp_path / "logs" / "replica.log").read_text().splitlines()
    assert len(lines) == 4


def test_the_default_would_raise_when_stopped_behind():
    """Why stopping has a method of its own: the queue may be full at that moment."""
    lines = queue.Queue(1)
    lines.put("x")
    with pytest.raises(queue.Full):
        logging.handlers.QueueListener(lines).enqueue_sentinel()
