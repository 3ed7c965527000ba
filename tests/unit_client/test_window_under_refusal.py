"""What a session asks for while the shard takes nothing new."""

from __future__ import annotations

from math import inf
from random import Random

from ocelog.client.calls import Call, Resource
from ocelog.client.protocol.limits import Limits
from ocelog.client.window import RESEND_SECONDS, Window


def test_a_lost_answer_is_asked_for_again_while_later_commands_are_refused() -> None:
    """A full disk refuses sequence 2 for as long as it likes; 1 is applied, and its answer must not wait for that."""
    window = Window(Limits(), Random(1))
    for _ in range(2):
        window.add(Call(Resource("m", "map", 0), ("put",), False, 0.0, inf, None, None), b"bytes")
    window.sent(1, 1, 2, 0.0)
    now, repeated_from = 0.0, []
    while now < 3 * RESEND_SECONDS[1]:
        window.refused(2, 0.5, now)
        now = window.resend_at
        first = window.due(now)
        assert first is not None
        repeated_from.append(first)
        window.restart(first, now)
        window.sent(2, max(first, 1), 2, now)
    assert 0 in repeated_from
    assert repeated_from.count(0) < len(repeated_from) / 4, "and the rest of the time only what was refused is repeated"
