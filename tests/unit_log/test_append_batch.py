"""A follower's appends: batches of which it holds a part already."""

from __future__ import annotations

from random import Random

import numpy as np
from ocelog.log.entry import COMMAND, SNAPSHOT, encode
from ocelog.log.log import Log, LogConfig

from tests.simulation.disk import SimDisk


def test_the_terms_of_skipped_entries_are_not_given_to_new_ones() -> None:
    """Entries 1 (term 2) and 2 (term 3) are there; of the batch 1..3 only 3, of term 3, is new."""
    log = Log.open(SimDisk(Random(1)), "data", shard=0, config=LogConfig(segment_bytes_max=4096))
    record = (COMMAND, SNAPSHOT, 1, 1, 1, b"x")
    first, first_sizes = encode(1, 2, 0, [record])
    rest, rest_sizes = encode(2, 3, 0, [record, record])
    log.append_batch(1, first, first_sizes, ((1, 2),))
    log.append_batch(2, rest[: rest_sizes[0]], rest_sizes[:1], ((2, 3),))
    log.append_batch(1, first + rest, np.concatenate([first_sizes, rest_sizes]), ((1, 2), (2, 3)), skip=2)
    assert [log.term_at(index) for index in (1, 2, 3)] == [2, 3, 3]
