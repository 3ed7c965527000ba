"""One question to a router on a real socket: what is asked, asked again, and refused."""

from __future__ import annotations

import time

import pytest
from ocelog.client import admin
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.admin import AdminRequest
from ocelog.client.protocol.errors import ConnectFailed, DeadlineExceeded, Refused
from ocelog.client.question import ASK_AGAIN_SECONDS


def test_every_replica_of_all_shards_answers(router):
    rows = admin.request(router.endpoint, AdminRequest("compact", True), timeout=5)
    asked = {"what": "compact", "major": True}
    assert rows == [{"shard": shard, "replica": 0, "ok": True, "asked": asked} for shard in range(2)]
    assert [sent.header.shard for sent in router.requests if sent.kind == frames.ADMIN] == [frames.NO_SHARD]
    assert not any(shard.sessions for shard in router.shards)


def test_one_shard_alone_may_be_asked(router):
    (row,) = admin.request(router.endpoint, AdminRequest("snapshot"), shard=1, timeout=5)
    assert (row["shard"], row["asked"]["what"]) == (1, "snapshot")


def test_a_refusal_for_good_is_raised(router):
    with pytest.raises(Refused, match="no such shard") as caught:
        admin.request(router.endpoint, AdminRequest("compact"), shard=7, timeout=5)
    assert caught.value.code == errors.WRONG_SHARD


def test_one_that_may_be_repeated_is_repeated_soon(router):
    router.busy = 2
    began = time.monotonic()
    assert len(admin.request(router.endpoint, AdminRequest("compact"), timeout=5)) == 2
    assert time.monotonic() - began < ASK_AGAIN_SECONDS
    assert sum(sent.kind == frames.ADMIN for sent in router.requests) == 3


def test_a_router_that_does_not_report_and_one_that_is_not_there(router):
    router.deaf = True
    with pytest.raises(DeadlineExceeded, match="did not report"):
        admin.request(router.endpoint, AdminRequest("compact"), timeout=0.3)
    with pytest.raises(ConnectFailed):
        admin.request("tcp://127.0.0.1:9", AdminRequest("compact"), timeout=0.3)
