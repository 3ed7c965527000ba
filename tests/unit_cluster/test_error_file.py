"""The file with a child's last words."""

import os

import pytest
from ocelog.cluster import error_file
from ocelog.cluster.error_file import ErrorFile


@pytest.fixture
def file(tmp_path) -> ErrorFile:
    return ErrorFile(tmp_path / "child.err")


def say(file: ErrorFile, words: bytes) -> None:
    descriptor = file.open()
    os.write(descriptor, words)
    os.close(descriptor)


def test_the_last_line_is_of_the_last_start(file):
    assert file.last_line() == ""
    say(file, b"first\nsecond\n\n  \n")
    assert file.last_line() == "second"
    say(file, b"")
    assert file.last_line() == ""
    say(file, b"no end of line, \xff")
    assert file.last_line() == "no end of line, \ufffd"
    assert file.path.read_bytes().startswith(b"first\n"), "what was said before is kept"


def test_only_the_end_of_a_long_file_is_read(file):
    say(file, b"x" * (3 * error_file.TAIL_BYTES) + b"\nthe reason\n")
    assert file.last_line() == "the reason"


def test_a_large_file_is_put_aside_at_the_next_start(file, monkeypatch):
    monkeypatch.setattr(error_file, "FILE_BYTES_MAX", 10)
    say(file, b"a long complaint\n")
    say(file, b"short\n")
    assert file.path.read_bytes() == b"short\n"
    assert file.path.with_name("child.err.1").read_bytes() == b"a long complaint\n"
    assert file.last_line() == "short"


def test_it_is_for_its_owner_only(file):
    say(file, b"secret")
    assert file.path.stat().st_mode & 0o777 == 0o600
