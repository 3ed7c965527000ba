"""The parts of the core that know nothing of messages: quorum arithmetic, progress, read rounds, log searches, config."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.shard.raft import RaftConfig
from ocelog.shard.raft.logview import first_difference, last_of_term, term_runs
from ocelog.shard.raft.membership import Configuration
from ocelog.shard.raft.progress import PROBE, REPLICATE, Progress
from ocelog.shard.raft.quorum import has_won, majority, reached_by_majority
from ocelog.shard.raft.read_index import ReadIndex

from .raft_disk import Files, MemoryLog

TERMS = st.lists(st.integers(1, 4), max_size=12).map(sorted)


def log_of(terms) -> MemoryLog:
    return MemoryLog(Files([(term, "") for term in terms]))


# -- quorum ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("members", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_majority(members, needed):
    assert majority(members) == needed


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_reached_by_majority_is_the_largest_that_enough_are_not_below(values):
    def enough(value):
        return sum(other >= value for other in values) >= majority(len(values))

    reached = reached_by_majority(values)
    assert enough(reached)
    assert not enough(reached + 1)


@given(st.dictionaries(st.integers(0, 6), st.booleans()), st.integers(1, 5))
def test_a_vote_is_won_by_a_majority_of_the_voters_alone(votes, voters):
    granted = sum(votes.get(voter, False) for voter in range(voters))
    assert has_won(votes, range(voters)) is (granted >= majority(voters))


# -- membership ------------------------------------------------------------------------------------


def test_a_configuration_is_ordered_and_names_the_others():
    configuration = Configuration.bootstrap([2, 0, 1])
    assert (configuration.voters, configuration.others(1)) == ((0, 1, 2), (0, 2))


@pytest.mark.parametrize("voters", [[], [1, 1]])
def test_a_configuration_without_voters_or_with_one_twice_is_refused(voters):
    with pytest.raises(AssertionError, match=r"voter|twice"):
        Configuration.bootstrap(voters)


# -- progress --------------------------------------------------------------------------------------


def rejected(progress, index, agrees_to, *, agrees_from=0, dense_index=0) -> bool:
    return progress.rejected(index, agrees_from=agrees_from, agrees_to=agrees_to, dense_index=dense_index)


def test_progress_begins_with_one_probe():
    progress = Progress(next_index=8, tick=0)
    assert (progress.state, progress.sent_through, progress.unanswered_since(0)) == (PROBE, 0, False)
    progress.asked(tick=3)
    assert progress.probe_sent
    assert progress.unanswered_since(3)
    assert not progress.unanswered_since(2), "it is not that long ago"


def test_progress_replicates_after_the_first_success():
    progress = Progress(next_index=8, tick=0)
    assert progress.acknowledged(5, 0, tick=1)
    assert (progress.state, progress.next_index, progress.sent_through) == (REPLICATE, 6, 5)
    progress.sent(9, size=400, tick=2)
    progress.sent(12, size=300, tick=2)
    assert (progress.next_index, progress.inflight_bytes, progress.sent_through) == (13, 700, 12)
    assert progress.acknowledged(9, 0, tick=3)
    assert (len(progress.inflight), progress.inflight_bytes) == (1, 300)
    assert not progress.acknowledged(7, 0, tick=4), "overtaken"
    assert progress.match_index == 9


def test_progress_goes_back_to_where_the_logs_may_agree():
    progress = Progress(next_index=8, tick=0)
    progress.asked(tick=0)
    assert rejected(progress, 7, 3)
    assert (progress.next_index, progress.probe_sent) == (4, False)
    assert not rejected(progress, 7, 2), "the answer to an earlier probe"
    assert rejected(progress, 3, 3), "it never goes forward, whatever the hint"
    assert progress.next_index == 3


def test_progress_never_goes_back_below_what_matches():
    progress = Progress(next_index=8, tick=0)
    progress.acknowledged(5, 0, tick=0)
    progress.sent(9, size=1, tick=0)
    assert not rejected(progress, 5, 0)
    assert rejected(progress, 7, 0)
    assert (progress.state, progress.next_index, progress.inflight_bytes) == (PROBE, 6, 0)


def test_progress_asserts_its_invariants():
    with pytest.raises(AssertionError, match="next_index is 0"):
        Progress(next_index=0, tick=0)
    progress = Progress(next_index=8, tick=0)
    progress.acknowledged(5, 0, tick=0)
    with pytest.raises(AssertionError, match="next_index is 6"):
        progress.sent(5, size=1, tick=0)
    with pytest.raises(AssertionError, match="match_index 5"):
        progress.probe(5)


# -- reads -----------------------------------------------------------------------------------------


def test_reads_wait_for_their_round():
    reads = ReadIndex()
    reads.add("a")
    first = reads.start(3)
    reads.add("b")
    second = reads.start(4)
    assert (reads.confirmed(0), reads.wants_round, reads.unconfirmed) == ([], False, True)
    assert reads.confirmed(first) == [("a", 3)]
    assert reads.confirmed(second) == [("b", 4)]
    assert not reads.unconfirmed


def test_reads_stay_until_the_term_has_committed():
    reads = ReadIndex()
    reads.add("a")
    assert reads.confirmed(reads.start(None)) == []
    assert reads.wants_round
    assert reads.confirmed(reads.start(7)) == [("a", 7)]


def test_a_round_from_the_future_is_a_broken_invariant():
    with pytest.raises(AssertionError, match="round 1 was answered"):
        ReadIndex().confirmed(1)


# -- searches in the log ---------------------------------------------------------------------------


@given(TERMS.filter(bool))
def test_term_runs_say_the_term_of_every_entry(terms):
    grouped = [list(group) for _, group in groupby(range(1, len(terms) + 1), key=lambda index: terms[index - 1])]
    assert term_runs(log_of(terms), 1, len(terms)) == tuple((group[0], terms[group[0] - 1]) for group in grouped)


@given(TERMS, st.integers(0, 5), st.data())
def test_last_of_term_finds_the_last_index_not_after_a_term(terms, term, data):
    high = data.draw(st.integers(0, len(terms)))
    low = data.draw(st.integers(0, high))
    expected = max([index for index in range(low, high + 1) if (index and terms[index - 1]) <= term], default=low)
    assert last_of_term(log_of(terms), term, low, high) == expected


@given(TERMS, TERMS.filter(bool), st.data())
def test_first_difference_is_what_a_look_at_every_entry_finds(stored, sent, data):
    start = data.draw(st.integers(1, len(sent) + 1))
    expected = len(sent) + 1
    for index in range(start, len(sent) + 1):
        if index > len(stored) or stored[index - 1] != sent[index - 1]:
            expected = index
            break
    assert first_difference(log_of(stored), term_runs(log_of(sent), 1, len(sent)), start, len(sent)) == expected


# -- config ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heartbeat_ticks": 0}, "heartbeat_ticks is 0, but must be an integer of at least 1"),
        ({"heartbeat_ticks": 1.5}, "heartbeat_ticks is 1.5"),
        ({"election_ticks": 5}, r"election_ticks is 5, .* at least 6 \(3 \* heartbeat_ticks\)"),
        ({"append_bytes_max": 0}, "append_bytes_max is 0"),
        ({"inflight_messages_max": -1}, "inflight_messages_max is -1"),
        ({"inflight_bytes_max": 10}, r"inflight_bytes_max is 10, .* at least 1048576 \(append_bytes_max\)"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_with_its_name_value_and_bound(settings, message):
    with pytest.raises(ValueError, match=message):
        RaftConfig(**settings)
