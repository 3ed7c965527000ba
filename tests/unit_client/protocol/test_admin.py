"""The body of an ADMIN message, both ways, and what is no such body."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol.admin import BODY_BYTES_MAX, AdminRequest, pack_admin, unpack_admin
from ocelog.client.protocol.frames import BadFrame


@pytest.mark.parametrize("request_", [AdminRequest("compact"), AdminRequest("compact", True), AdminRequest("snapshot")])
def test_a_request_survives(request_):
    assert unpack_admin(pack_admin(request_)) == request_


def test_major_may_be_left_out_and_unknown_entries_are_ignored():
    assert unpack_admin(msgpack.packb({"what": "compact", "why": "because"})) == AdminRequest("compact", False)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is msgpack"),
        (b"\xc1", "is msgpack"),
        (msgpack.packb([1]), "is a map"),
        (msgpack.packb({}), "not for None"),
        (msgpack.packb({"what": "explode"}), "not for 'explode'"),
        (msgpack.packb({"what": ["compact"]}), "not for ['compact']"),
        (msgpack.packb({"what": "compact", "major": 1}), "'major' is true or false, not 1"),
        (msgpack.packb({"what": "compact", "more": bytes(BODY_BYTES_MAX)}), f"at most {BODY_BYTES_MAX} bytes"),
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(body, said):
    with pytest.raises(BadFrame) as caught:
        unpack_admin(body)
    assert said in str(caught.value)


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_else(body):
    with contextlib.suppress(BadFrame):
        assert unpack_admin(body).what in ("compact", "snapshot")
