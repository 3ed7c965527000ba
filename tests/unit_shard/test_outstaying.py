"""A session that leaves a pushed event unhandled for its own timeout is expired, under whichever leader it was pushed."""

from __future__ import annotations

from .test_push import Hall


def test_what_a_client_has_from_an_earlier_leader_is_waited_for_no_longer(kit):
    """The new leader has sent nothing, as the client has everything: patience begins when it says so."""
    hall = Hall(kit, timeout_ms=1000)
    hall.pushes.routes.forget(hall.listener)
    index = hall.said()
    hall.handled(index, 0)
    hall.alive(10)
    assert hall.session() is not None
    hall.alive(20)
    assert hall.session() is None


def test_what_is_handled_in_time_makes_nobody_suspect(kit):
    hall = Hall(kit, timeout_ms=1000)
    hall.pushes.routes.forget(hall.listener)
    index = hall.said()
    hall.handled(index, 0)
    hall.alive(10)
    hall.handled(index, index)
    hall.alive(40)
    assert hall.session() is not None
