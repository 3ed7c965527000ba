"""A replica's end of the connection to the compactor: nothing that came back is left lying."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from ocelog.log.compaction_request import CompactionRequest, CompactionResult, GroupResult
from ocelog.shard.compactor_link import LOST, CompactorLink

PATIENCE_MS = 10_000
REQUEST = CompactionRequest(directory="/d", shard=0, snapshot_path="/d/s", groups=())


class Pair:
    """A link and a compactor that is played."""

    def __init__(self, folder: Path) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.compactor = self.context.socket(zmq.ROUTER)
        self.compactor.bind(f"ipc://{folder}/c")
        self.link = CompactorLink(self.context, f"ipc://{folder}/c")

    def request(self) -> bytes:
        """Have the link send a request, as soon as it is connected; returns whom to answer."""
        for _ in range(PATIENCE_MS):
            if self.link.send(REQUEST):
                assert self.compactor.poll(PATIENCE_MS)
                return self.compactor.recv_multipart()[0]
            self.compactor.poll(1)
        raise AssertionError("the link never was connected")

    def answer(self, whom: bytes, generation: int) -> None:
        """Answer, and wait until the answer is there; asking for that silences the link's descriptor."""
        result = CompactionResult(groups=(GroupResult(generation=generation),))
        self.compactor.send_multipart([whom, result.to_wire()])
        assert self.link._socket.poll(PATIENCE_MS)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.link.close()
    pair.context.destroy(linger=0)


def generations(link: CompactorLink) -> list[int | str]:
    return [one if isinstance(one, str) else one.groups[0].generation for one in link.receive()]


def test_an_answer_that_came_while_something_was_sent_is_known_to_be_there(pair: Pair) -> None:
    pair.link.receive()
    assert not pair.link.rest
    whom = pair.request()
    pair.answer(whom, 7)
    pair.request()
    assert pair.link.rest, "no descriptor will speak of the first answer any more"
    assert generations(pair.link) == [7]
    assert not pair.link.rest


def test_a_request_that_is_lost_with_its_compactor_is_told(pair: Pair) -> None:
    pair.request()
    pair.compactor.close(linger=0)
    for _ in range(PATIENCE_MS):
        told = generations(pair.link)
        if told:
            break
        pair.link._monitor.socket.poll(1)
    assert told == [LOST]
    assert not pair.link.send(REQUEST)
