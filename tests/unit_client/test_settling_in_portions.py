"""What is settled is asked for in messages of the size that every shard takes, however many callers wait."""

from __future__ import annotations

import pytest
from ocelog.client.protocol import frames
from ocelog.client.protocol.events import INDEXES_MAX
from ocelog.client.protocol.frames import LINEARIZABLE, SETTLE

from .conftest import NIL, Harness


@pytest.mark.parametrize("operations_max", [3, 1024, 65_535])
def test_a_question_is_no_longer_than_a_shard_takes(operations_max):
    """A longer one would be refused however often it is repeated, whatever the cluster's limit of operations is."""
    harness = Harness().open(operations_max=operations_max)
    commands = INDEXES_MAX + 7
    for number in range(commands):
        harness.call("put", b"k", b"%d" % number, level=LINEARIZABLE, timeout=60)
    harness.pump()
    harness.results(2, *[NIL] * commands, flags=frames.UNSETTLED)
    for sent in (harness.pump(), harness.advance(1.5)):
        counts = [message.header.count for message in sent if message.kind == SETTLE]
        assert counts == [INDEXES_MAX, 7]
