"""What may be given as endpoints."""

from __future__ import annotations

import pytest
from ocelog.client import endpoints
from ocelog.client.protocol.errors import BadArgument


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tcp://127.0.0.1:7400", ["tcp://127.0.0.1:7400"]),
        ("tcp://a:1, tcp://b.example.org:65535", ["tcp://a:1", "tcp://b.example.org:65535"]),
        (["tcp://a:1", "tcp://b:2", "tcp://a:1"], ["tcp://a:1", "tcp://b:2"]),
        (("ipc:///tmp/router",), ["ipc:///tmp/router"]),
        ("tcp://[::1]:7400", ["tcp://[::1]:7400"]),
    ],
)
def test_one_a_list_or_several_separated_by_commas(given, expected):
    assert endpoints.parse(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        [],
        ["tcp://a:1", ""],
        "127.0.0.1:7400",
        "tcp://a",
        "tcp://a:0",
        "tcp://a:65536",
        "http://a:1",
        [7],
        "ipc://",
        "ipc:///\ud800",
        "ipc:///a\0b",
    ],
)
def test_anything_else_is_refused_with_an_example(given):
    with pytest.raises(BadArgument, match=r"tcp://127\.0\.0\.1:7400"):
        endpoints.parse(given)


def test_without_any_the_environment_counts_then_the_default(monkeypatch):
    monkeypatch.delenv("OCELOG_ENDPOINTS", raising=False)
    assert endpoints.parse(None) == ["tcp://127.0.0.1:7400"]
    monkeypatch.setenv("OCELOG_ENDPOINTS", "tcp://x:1,tcp://y:2")
    assert endpoints.parse(None) == ["tcp://x:1", "tcp://y:2"]
