"""The text that names a session, and what is no such text."""

from __future__ import annotations

import pytest
from ocelog.client.protocol.errors import BadArgument
from ocelog.client.protocol.outcomes import OutcomeQuery, pack_outcome_query
from ocelog.client.resolving import SessionName, checked_sequence, parse_session

KEY = bytes(range(16))


@pytest.mark.parametrize("session", [1, 77, 2**63 - 1])
def test_a_session_is_read_back_from_its_text(session):
    name = SessionName(3, session, KEY)
    assert parse_session(str(name)) == name
    assert pack_outcome_query(OutcomeQuery(session, KEY, checked_sequence(2**63 - 1)))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0/17",
        f"0/0/{KEY.hex()}",
        f"0/-1/{KEY.hex()}",
        f"0/{2**63}/{KEY.hex()}",
        f"0/{'9' * 5000}/{KEY.hex()}",
        f"65535/17/{KEY.hex()}",
        f"0/17/{KEY.hex()}00",
        "0/17/no key",
    ],
)
def test_what_names_no_session_is_refused_before_it_gets_to_the_thread_of_the_socket(text):
    """What cannot be packed there would end that thread, and the client with it."""
    with pytest.raises(BadArgument, match="a session is named by a text like"):
        parse_session(text)


@pytest.mark.parametrize("sequence", [0, -1, 2**63, True, 1.0, "1", None])
def test_what_is_no_sequence_is_refused(sequence):
    with pytest.raises(BadArgument, match="a sequence is a number from 1 on"):
        checked_sequence(sequence)
