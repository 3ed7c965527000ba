"""The rolling digest: equal for equal entries however they were batched, and different where anything differs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.digest import BRIEF_BYTES, DIGEST_BYTES, MARK, TOGETHER_MAX, Digest
from ocelog.shard.executor import Executor

RESULTS = st.lists(st.binary(max_size=4), min_size=1, max_size=200)


def digest_of(*batches):
    """The digest over batches of (results, releases, events)."""
    digest = Digest()
    for batch in batches:
        digest.fold(*batch)
    return digest.value()


NUMBERS = st.lists(st.integers(1, 1 << 63), max_size=9)


@given(RESULTS, NUMBERS, NUMBERS, st.data())
def test_it_does_not_depend_on_the_batches(results, releases, events, data):
    """Replicas apply the same entries in other portions."""
    streams = results, releases, events
    cuts = [data.draw(st.integers(0, len(stream))) for stream in streams]
    first = [stream[:cut] for stream, cut in zip(streams, cuts, strict=True)]
    second = [stream[cut:] for stream, cut in zip(streams, cuts, strict=True)]
    assert digest_of(first, second) == digest_of(streams)


@given(RESULTS, st.data())
def test_a_result_at_another_index_is_another_digest(results, data):
    """An entry without a result counts, so the place of every result does."""
    place = data.draw(st.integers(0, len(results)))
    assert digest_of(([*results[:place], b"", *results[place:], b"x"], ())) != digest_of(([*results, b"x"], ()))


def test_what_is_compared():
    """A result, an index that was released, and the index that released it."""
    known = digest_of(([b"\x00\xc0", b"\x00\x01"], [7, 5]))
    assert digest_of(([b"\x00\xc0", b"\x00\x02"], [7, 5])) != known
    assert digest_of(([b"\x00\xc0", b"\x00\x01"], [7, 4])) != known
    assert digest_of(([b"\x00\xc0", b"\x00\x01"], [8, 5])) != known
    assert digest_of(([b"\x00\xc0\x00", b"\x01"], [7, 5])) != known


def test_events_are_compared():
    """Which entry published, to whom, and what; in what is told to others too."""
    known = digest_of(([b""], [7, 5], [7, 3, 99]))
    brief = Digest()
    brief.adopt(known)
    assert len(brief.brief()) == BRIEF_BYTES
    for events in ([], [8, 3, 99], [7, 4, 99], [7, 3, 98], [7, 3, 99, 7, 4, 99]):
        other = digest_of(([b""], [7, 5], events))
        assert other != known
        told = Digest()
        told.adopt(other)
        assert told.brief() != brief.brief()


def test_many_results_are_summed_in_portions():
    """The mark stands behind every result, also where a portion ends."""
    results = [b"%d" % number for number in range(3 * TOGETHER_MAX + 1)]
    assert digest_of((results, ())) == digest_of(*(([result], ()) for result in results))
    assert len(MARK) == 8


def test_it_goes_on_from_a_snapshot():
    """What `value` returned is taken up by `adopt`."""
    digest = Digest()
    digest.adopt(digest_of(([b"a"], [3, 1], [3, 1, 7])))
    digest.fold([b"b"], [4, 2], [4, 1, 8])
    assert digest.value() == digest_of(([b"a", b"b"], [3, 1, 4, 2], [3, 1, 7, 4, 1, 8]))
    with pytest.raises(ValueError, match=f"{DIGEST_BYTES} bytes, not 3"):
        digest.adopt(b"abc")


def test_replicas_that_batch_differently_have_equal_digests(entries, kit):
    """The executor's digest is that of its entries: results, failures, repetitions, releases and timers."""
    session = entries.register()
    toy = entries.open(session, 1, "toy")
    for sequence in range(2, 40):
        name = ("tell", "keep", "later", "fail_late")[sequence % 4]
        mode = int(name in ("keep", "fail_late"))
        arguments = (1, "x") if name == "later" else (sequence,)
        for _ in range(1 + sequence % 3):
            entries.command(session, sequence, kit.operation(toy, name, *arguments), mode=mode, pass_ms=1)
    for size in (1, 3, 1000):
        follower = Executor(kit.MACHINES)
        for start in range(0, len(entries.log), size):
            kit.apply(follower, entries.log[start : start + size])
        assert follower.digest == entries.executor.digest
    assert Executor(kit.MACHINES).digest != entries.executor.digest
