"""The bodies of OUTCOME and OUTCOME_REPORT."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import outcomes
from ocelog.client.protocol.frames import BadFrame
from ocelog.client.protocol.outcomes import Outcome, OutcomeQuery

KEY = b"k" * 16


def test_a_question_survives_the_wire():
    """What is packed is what is read."""
    query = OutcomeQuery(7, KEY, 3)
    assert outcomes.unpack_outcome_query(outcomes.pack_outcome_query(query)) == query


@pytest.mark.parametrize("answer", sorted(outcomes.NAMES))
def test_an_answer_survives_the_wire(answer):
    """A result comes with APPLIED and with nothing else."""
    outcome = Outcome(answer, 9, b"\x00\xc0") if answer == outcomes.APPLIED else Outcome(answer, 0, b"")
    assert outcomes.unpack_outcome(outcomes.pack_outcome(outcome)) == outcome


@pytest.mark.parametrize(
    "fields",
    [
        [7, KEY],
        [7, KEY, 3, 4],
        [7, KEY[:15], 3],
        [7, "k" * 16, 3],
        [0, KEY, 3],
        [7, KEY, 0],
        [7, KEY, -1],
        [7, KEY, 1.0],
        [True, KEY, 3],
        {"session": 7},
        7,
    ],
)
def test_a_question_that_cannot_be_read_is_refused(fields):
    """BadFrame and nothing else."""
    with pytest.raises(BadFrame):
        outcomes.unpack_outcome_query(msgpack.packb(fields))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93", b"\x93" * 1000, msgpack.packb([1, 2, 3]) + b"x"])
def test_bytes_that_are_no_question_or_answer_are_refused(body):
    """Whatever comes from outside."""
    for unpack in (outcomes.unpack_outcome_query, outcomes.unpack_outcome):
        with pytest.raises(BadFrame):
            unpack(body)


@pytest.mark.parametrize("fields", [[1, 9, b""], [3, 9, b"\x00"], ["applied", 9, b"\x00"], [1, 9, "x"], [1, 9]])
def test_an_answer_that_cannot_be_read_is_refused(fields):
    """Nor one with a result that it should not have."""
    with pytest.raises(BadFrame):
        outcomes.unpack_outcome(msgpack.packb(fields))
