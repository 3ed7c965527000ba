"""Where a leader believes the clients of sessions to be."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.events import Route
from ocelog.shard.outbox import Origin
from ocelog.shard.routes import Routes

ONE, OTHER = b"router one", b"router two"


@pytest.fixture
def routes() -> Routes:
    known = Routes()
    known.take(9, Origin(ONE, 4), 2)
    return known


def test_an_older_connection_takes_nothing(routes):
    assert not routes.take(9, Origin(OTHER, 1), 1)
    assert routes.of(9) == Origin(ONE, 4)
    assert routes.take(9, Origin(OTHER, 1), 3)
    assert routes.of(9) == Origin(OTHER, 1)


@pytest.mark.parametrize("connection", [2, 0])  # 0: the router has forgotten which it was
def test_a_client_that_its_router_cannot_reach_is_nowhere(routes, connection):
    routes.gone(ONE, [Route(9, 4, connection)])
    assert routes.of(9) is None


@pytest.mark.parametrize(("router", "route"), [(OTHER, 4), (ONE, 3)])
def test_what_is_said_of_another_place_changes_nothing(routes, router, route):
    routes.gone(router, [Route(9, route, 2)])
    assert routes.of(9) == Origin(ONE, 4)


def test_one_that_is_gone_may_come_back_but_not_over_an_older_connection(routes):
    routes.gone(ONE, [Route(9, 4, 2)])
    assert not routes.take(9, Origin(OTHER, 1), 1)
    assert routes.of(9) is None
    routes.take(9, Origin(OTHER, 2), 3)
    assert routes.of(9) == Origin(OTHER, 2)


def test_a_router_that_is_lost_takes_its_clients_with_it(routes):
    routes.take(10, Origin(OTHER, 1), 1)
    routes.forget_router(ONE)
    assert (routes.of(9), routes.of(10)) == (None, Origin(OTHER, 1))
