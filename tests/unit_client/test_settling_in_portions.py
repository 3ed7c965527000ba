"""What is settled is asked for in messages of the size that the shard allows, however many callers wait."""

from __future__ import annotations

from ocelog.client.protocol import frames
from ocelog.client.protocol.frames import LINEARIZABLE, SETTLE

from .conftest import NIL, Harness


def test_a_question_is_as_long_as_the_shard_allows():
    """A longer one would be refused however often it is repeated, and its callers wait for ever."""
    harness = Harness().open(operations_max=3)
    for number in range(7):
        harness.call("put", b"k", b"%d" % number, level=LINEARIZABLE)
    harness.pump()
    harness.results(2, *[NIL] * 7, flags=frames.UNSETTLED)
    for sent in (harness.pump(), harness.advance(30)):
        counts = [message.header.count for message in sent if message.kind == SETTLE]
        assert sum(counts) >= 7
        assert max(counts) == 3
