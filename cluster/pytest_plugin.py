"""A pytest plugin for programs that use Ocelog: the fixture `ocelog_cluster` is a running cluster of the test's own.

    def test_greeting(ocelog_cluster):
        with ocelog.connect(ocelog_cluster.endpoints) as client:
            client.map("greetings").put("hello", "world")

`@pytest.mark.ocelog_cluster(shards=1, replicas=1)` passes arguments to `LocalCluster`. pytest imports this module in
every run of every project that has Ocelog installed, so it imports nothing of Ocelog before the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .local import LocalCluster


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "ocelog_cluster(**arguments): arguments of LocalCluster for the fixture ocelog_cluster"
    )


@pytest.fixture
def ocelog_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A running `LocalCluster`, stopped when the test ends."""
    from .local import LocalCluster

    marker = request.node.get_closest_marker("ocelog_cluster")
    with LocalCluster(**(marker.kwargs if marker else {})) as cluster:
        yield cluster
