"""What tests/vectors calls malformed is answered by a leader as the vectors say, and spends a sequence where they say so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ocelog.client.protocol import errors, frames

from tests.vectors.__main__ import FOLDER
from tests.vectors.wire import unhexed

NOT_FOR_LEADERS = ("ROUTES", "ADMIN")
LINES = [json.loads(line) for line in (FOLDER / "malformed.jsonl").read_text(encoding="utf-8").splitlines()]
OF_CLIENTS = [line for line in LINES if line["direction"] == "to_cluster" and line["kind"] != "header"]
BODIES = [line for line in OF_CLIENTS if line["kind"] not in NOT_FOR_LEADERS]
OPERATIONS = [line for line in LINES if line["kind"] == "operation"]


def name_of(line: dict[str, Any]) -> str:
    return f"{line['kind']}: {line['name']}"


@pytest.mark.parametrize("line", BODIES, ids=name_of)
def test_a_malformed_body_is_answered_as_the_vector_says(desk, line):
    """Commands are refused in the log, everything else by a REFUSED that spends nothing."""
    session = desk.register()
    header, body = frames.parse_request([unhexed(frame) for frame in line["frames"]])
    desk.send(header.kind, bytes(body), session=session, count=header.count, first_sequence=1)
    (answer,) = desk.turn()
    if line["kind"] == "COMMAND":
        _, results = frames.unpack_results(answer.body, answer.reply.count)
        assert (answer.kind, len(results)) == (frames.RESULTS, header.count)
        assert {errors.name_of(result[0]) for result in results} == {line["error"]}
    else:
        assert (answer.kind, errors.name_of(answer.code)) == (frames.REFUSED, line["error"])
        assert answer.body


@pytest.mark.parametrize("line", OPERATIONS, ids=name_of)
def test_a_malformed_query_is_answered_with_an_error(desk, line):
    """A query has no sequence to spend: its error is its answer."""
    session = desk.register()
    desk.query(session, unhexed(line["frames"][0]))
    (answer,) = desk.turn()
    (result,) = frames.unpack_parts(answer.body, answer.reply.count)
    assert (answer.kind, errors.name_of(result[0])) == (frames.ANSWERS, line["error"])


def test_something_is_tried():
    assert {line["kind"] for line in BODIES} == {"COMMAND", "QUERY", "HANDLED", "KEEP_ALIVE", "SETTLE", "OUTCOME"}
    assert len(OPERATIONS) > 20
