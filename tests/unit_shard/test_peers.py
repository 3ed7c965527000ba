"""Frames between replicas: what goes in comes out, and no bytes whatever raise anything but BadFrame."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocelog.client.protocol.limits import UNCOPIED_BYTES_MIN
from ocelog.shard import peers
from ocelog.shard.neighbours import DigestReport, DigestVerdict, EntryAnswer, EntryQuery
from ocelog.shard.peers import BadFrame, Entries, PeerIdentity, decode, encode
from ocelog.shard.raft.messages import (
    MESSAGE_TYPES,
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    Install,
    InstallResponse,
    Join,
    PreVote,
    PreVoteResponse,
    ProbationAnswer,
    ProbationQuery,
    TimeoutNow,
    Vote,
    VoteResponse,
)

CLUSTER = "0123456789abcdef" * 2
SENDER = PeerIdentity(cluster_id=CLUSTER, shard=3, member=1, incarnation=1)
RECEIVER = PeerIdentity(cluster_id=CLUSTER, shard=3, member=2, incarnation=5)
ENDS = {"sender": 1, "to": 2}


def append_of(sizes, *, prev=(7, 2), term=4, runs=None) -> Append:
    """An Append of entries with these sizes, all of the leader's term."""
    data = bytes(number % 251 for number in range(sum(sizes)))
    last_index = prev[0] + len(sizes)
    if runs is None:
        runs = ((prev[0] + 1, term),) if sizes else ()
    return Append(
        term=term,
        **ENDS,
        prev_index=prev[0],
        prev_term=prev[1],
        last_index=last_index,
        commit_index=5,
        runs=runs,
        entries=Entries(memoryview(data), np.array(sizes, np.uint32)) if sizes else None,
    )


def install_of(data, sizes=(), *, position=0, file_bytes=500, entry_bytes=500, prev=7, term=4) -> Install:
    """A part of an install of (prev, 20] with a snapshot of `file_bytes`."""
    return Install(
        term=term,
        **ENDS,
        snapshot_index=20,
        snapshot_term=3,
        from_index=prev,
        position=position,
        snapshot_bytes=file_bytes,
        entry_bytes=entry_bytes,
        entries=Entries(memoryview(data), np.array(sizes, np.uint32)) if data else None,
    )


MESSAGES = [
    PreVote(term=5, **ENDS, last_index=9, last_term=4),
    PreVoteResponse(term=5, **ENDS, granted=True),
    Vote(term=2**64 - 1, **ENDS, last_index=2**64 - 1, last_term=4),
    VoteResponse(term=5, **ENDS, granted=False),
    append_of([]),
    AppendResponse(term=5, **ENDS, success=True, match_index=8, last_index=9),
    AppendResponse(term=5, **ENDS, success=False, rejected_index=9, hint_index=7, hint_term=3, last_index=8),
    Heartbeat(term=5, **ENDS, commit_index=7, round=3, sent_through=9),
    HeartbeatResponse(term=5, **ENDS, round=3, last_index=9, lost=True),
    HeartbeatResponse(term=5, **ENDS, round=3, last_index=9, probation=True),
    install_of(b"", position=2**64 - 1, entry_bytes=2**64 - 501),
    InstallResponse(term=5, **ENDS, snapshot_index=20, from_index=7, position=300),
    InstallResponse(term=5, **ENDS, snapshot_index=20, from_index=7, position=0, restart=True),
    DigestReport(term=5, **ENDS, index=65536, digest=2**64 - 1),
    DigestVerdict(term=5, **ENDS, index=65536, digest=0),
    EntryQuery(term=5, **ENDS, index=7, agreed_index=9, agreed_term=3),
    Vote(term=5, **ENDS, last_index=9, last_term=4, transfer=True),
    TimeoutNow(term=5, **ENDS),
    Join(term=5, **ENDS),
    ProbationQuery(term=5, **ENDS, nonce=2**64 - 1),
    ProbationAnswer(term=5, **ENDS, nonce=2**64 - 1, index=9),
]


def resigned(frame: bytes) -> bytes:
    """The frame with the checksum that its content should have."""
    end = peers.HEADER.size
    checksum = zlib.crc32(frame[end + 4 :], zlib.crc32(frame[:end]))
    return frame[:end] + struct.pack("<I", checksum) + frame[end + 4 :]


def refused(frames, reason: str, identity: PeerIdentity = RECEIVER) -> None:
    with pytest.raises(BadFrame) as refusal:
        decode(frames, identity)
    assert refusal.value.reason == reason, str(refusal.value)


def test_every_message_of_the_core_has_its_kind():
    assert [kind.type for kind in peers.KINDS] == [*MESSAGE_TYPES, DigestReport, DigestVerdict, EntryQuery, EntryAnswer]
    assert len({kind.code for kind in peers.KINDS}) == len(peers.KINDS)
    assert {type(message) for message in MESSAGES} | {EntryAnswer} == {kind.type for kind in peers.KINDS}
    for kind in peers.KINDS:
        everywhere = {"term", "sender", "to", "incarnation", "runs", "entries"}
        own = {field.name for field in dataclasses.fields(kind.type)} - everywhere
        assert own == {*kind.numbers, *kind.flags}, "a field that would not travel"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_goes_in_comes_out(message):
    assert decode(encode(message, SENDER), RECEIVER) == message


def test_a_message_brings_the_incarnation_of_its_sender():
    for message in (MESSAGES[0], append_of([56])):
        frames = encode(message, dataclasses.replace(SENDER, incarnation=7))
        assert decode(frames, RECEIVER).incarnation == 7


def test_an_answer_carries_exactly_one_entry():
    def answer(data, sizes):
        return EntryAnswer(
            term=5, **ENDS, index=7, entries=Entries(memoryview(data), np.array(sizes, np.uint32)) if data else None
        )

    decoded = decode(encode(answer(b"e" * 56, [56]), SENDER), RECEIVER)
    assert (bytes(decoded.entries.data), decoded.index, decoded.entries.sizes.tolist()) == (b"e" * 56, 7, [56])
    refused(encode(answer(b"", []), SENDER), "entries")
    refused(encode(answer(b"e" * 112, [56, 56]), SENDER), "entries")


@pytest.mark.parametrize("sizes", [[56], [56, 152, 64], [UNCOPIED_BYTES_MIN - 8], [UNCOPIED_BYTES_MIN, 56]])
def test_entries_travel_with_their_sizes(sizes):
    message = append_of(sizes)
    frames = encode(message, SENDER)
    decoded = decode(frames, RECEIVER)
    assert isinstance(decoded, Append)
    assert (decoded.last_index, decoded.runs) == (message.last_index, message.runs)
    assert decoded.entries.data == message.entries.data
    assert decoded.entries.sizes.dtype == np.uint32
    assert decoded.entries.sizes.tolist() == sizes


def test_large_entries_are_not_copied():
    message = append_of([UNCOPIED_BYTES_MIN])
    frames = encode(message, SENDER)
    assert frames[1] is message.entries.data
    decoded = decode(frames, RECEIVER)
    assert decoded.entries.data.obj is message.entries.data.obj
    assert len(encode(append_of([56]), SENDER)) == 1


def test_runs_of_several_terms_travel():
    message = append_of([56] * 5, runs=((8, 2), (10, 3), (12, 4)))
    assert decode(encode(message, SENDER), RECEIVER).runs == message.runs


# -- refusals, each with its own reason ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cluster_id": "f" * 32}, "cluster"),
        ({"shard": 4}, "shard"),
        ({"member": 0}, "receiver"),
    ],
)
def test_a_message_for_somebody_else_is_refused(change, reason):
    refused(encode(MESSAGES[0], SENDER), reason, dataclasses.replace(RECEIVER, **change))


def test_a_message_in_our_own_name_is_refused():
    message = Heartbeat(term=5, sender=2, to=2, commit_index=7, round=3, sent_through=9)
    refused(encode(message, RECEIVER), "sender")


@pytest.mark.parametrize("frames", [[], [b"", b"", b""]])
def test_a_wrong_number_of_frames_is_refused(frames):
    refused(frames, "frames")


@pytest.mark.parametrize("sizes", [[], [56, 64], [UNCOPIED_BYTES_MIN]])
def test_frames_of_a_wrong_length_are_refused(sizes):
    frames = [bytes(frame) for frame in encode(append_of(sizes), SENDER)]
    for position, frame in enumerate(frames):
        for other in (frame[:-1], frame + b"\0", b""):
            refused([*frames[:position], other, *frames[position + 1 :]], "length")
    refused([*frames, b"more"][:2] if len(frames) == 1 else frames[:1], "length")


def test_lengths_that_the_frame_does_not_have_are_refused_before_anything_is_read():
    frame = bytearray(encode(append_of([56]), SENDER)[0])
    for offset, layout in ((84, "<I"), (88, "<I"), (92, "<Q")):
        huge = bytearray(frame)
        struct.pack_into(layout, huge, offset, 2**31)
        refused([resigned(bytes(huge))], "length")


def test_another_version_is_named():
    frame = bytearray(encode(MESSAGES[0], SENDER)[0])
    frame[0] = 9
    with pytest.raises(BadFrame, match="version 9 is not known here, 3 is"):
        decode([bytes(frame)], RECEIVER)


@pytest.mark.parametrize("sizes", [[56, 64], [UNCOPIED_BYTES_MIN]])
def test_any_flipped_bit_is_noticed(sizes):
    frames = [bytearray(frame) for frame in encode(append_of(sizes), SENDER)]
    for frame in frames:
        for offset in range(1, len(frame), 1 + len(frame) // 200):
            frame[offset] ^= 0x10
            with pytest.raises(BadFrame):
                decode(frames, RECEIVER)
            frame[offset] ^= 0x10
    decode(frames, RECEIVER)


def test_an_unknown_type_is_refused():
    frame = bytearray(encode(MESSAGES[0], SENDER)[0])
    frame[1] = 99
    refused([resigned(bytes(frame))], "type")


def test_fields_that_a_type_does_not_use_must_be_zero():
    frame = bytearray(encode(PreVoteResponse(term=5, **ENDS, granted=True), SENDER)[0])
    for offset, layout, value in ((32, "<Q", 1), (80, "<I", 2)):
        other = bytearray(frame)
        struct.pack_into(layout, other, offset, value)
        refused([resigned(bytes(other))], "header")


@pytest.mark.parametrize(
    ("data", "sizes", "position", "entry_bytes"),
    [
        (b"a" * 500, (), 0, 0),
        (b"a" * 100, (), 400, 1000),
        (b"a" * UNCOPIED_BYTES_MIN, (UNCOPIED_BYTES_MIN - 56, 56), 500, UNCOPIED_BYTES_MIN),
        (b"a" * 112, (56, 56), 2**40, 2**40),
    ],
)
def test_parts_of_an_install_travel(data, sizes, position, entry_bytes):
    message = install_of(data, sizes, position=position, entry_bytes=entry_bytes)
    frames = encode(message, SENDER)
    assert len(frames) == (2 if len(data) >= UNCOPIED_BYTES_MIN else 1)
    decoded = decode(frames, RECEIVER)
    assert isinstance(decoded, Install)
    assert bytes(decoded.entries.data) == data
    assert decoded.entries.sizes.tolist() == list(sizes)
    decoded.entries = message.entries
    assert decoded == message
    if len(frames) == 2:
        assert frames[1] is message.entries.data


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (install_of(b"a" * 501), "install"),
        (install_of(b"a" * 101, position=400), "install"),
        (install_of(b"a" * 100, position=500), "install"),
        (install_of(b"a" * 56, (56,), position=499), "install"),
        (install_of(b"a" * 14, (1,) * 14, position=500), "install"),
        (install_of(b"a" * 56, (50,), position=500), "entries"),
        (install_of(b"a" * 56, (56,), position=500, entry_bytes=55), "install"),
        (install_of(b"", position=1001), "install"),
        (install_of(b"a", prev=20), "install"),
        (install_of(b"a", prev=21), "install"),
        (install_of(b"a", term=2), "install"),
        (install_of(b"", file_bytes=0), "install"),
    ],
)
def test_parts_that_no_install_can_have_are_refused(message, reason):
    refused(encode(message, SENDER), reason)


def test_bytes_that_are_no_entries_are_refused_in_an_append():
    message = append_of([])
    message.entries = Entries(memoryview(b"a" * 8), np.array([], np.uint32))
    refused(encode(message, SENDER), "entries")


def test_an_install_has_no_term_runs():
    frame = bytearray(encode(append_of([56]), SENDER)[0])
    frame[1] = 9
    refused([resigned(bytes(frame))], "header")


def test_a_message_that_carries_nothing_has_no_entries():
    frame = bytearray(encode(append_of([56]), SENDER)[0])
    frame[1] = 7  # a Heartbeat
    struct.pack_into("<Q", frame, 56, 0)
    refused([resigned(bytes(frame))], "header")


@pytest.mark.parametrize(
    ("count", "prev", "term", "runs"),
    [
        (2, (7, 2), 4, ()),
        (2, (7, 2), 4, ((9, 4),)),
        (2, (7, 2), 4, ((8, 5),)),
        (2, (7, 2), 4, ((8, 1),)),
        (2, (7, 2), 4, ((8, 3), (8, 4))),
        (2, (7, 2), 4, ((8, 3), (9, 3))),
        (2, (7, 2), 4, ((8, 3), (10, 4))),
        (2, (0, 0), 4, ((1, 0),)),
        (2, (0, 1), 4, ((1, 4),)),
        (0, (7, 5), 4, ()),
        (0, (7, 2), 4, ((8, 4),)),
    ],
)
def test_terms_that_no_log_can_have_are_refused(count, prev, term, runs):
    message = append_of([56] * count, prev=prev, term=term, runs=runs)
    if message.entries is None:
        message.entries = Entries(memoryview(b""), np.array([], np.uint32))
    refused(encode(message, SENDER), "entries")


@pytest.mark.parametrize("sizes", [[56, 56], [120, 0], [200, 2**32 - 80]])
def test_sizes_that_do_not_fill_the_bytes_are_refused(sizes):
    message = append_of([56, 64])
    message.entries.sizes[:] = sizes
    refused(encode(message, SENDER), "entries")


def test_a_last_index_that_is_not_the_number_of_entries_is_refused():
    frame = bytearray(encode(append_of([56]), SENDER)[0])
    struct.pack_into("<Q", frame, 48, 2**63)
    refused([resigned(bytes(frame))], "entries")


@pytest.mark.parametrize("cluster_id", ["", "0123", "zz" * 16])
def test_a_cluster_id_that_is_none_is_refused(cluster_id):
    with pytest.raises(ValueError, match="hex"):
        PeerIdentity(cluster_id=cluster_id, shard=0, member=0, incarnation=0)


# -- fuzz ------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=3))
def test_arbitrary_bytes_are_refused(frames):
    with pytest.raises(BadFrame):
        decode(frames, RECEIVER)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_damaged_message_with_a_right_checksum_is_refused_or_consistent(data):
    message = data.draw(st.sampled_from([*MESSAGES, append_of([56, 64]), append_of([56] * 3, runs=((8, 2), (9, 4)))]))
    # An Install with bytes of either kind is as good.
    message = data.draw(st.sampled_from([message, install_of(b"abc"), install_of(b"a" * 112, (56, 56), position=500)]))
    frame = bytearray(encode(message, SENDER)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        offset = data.draw(st.integers(28, len(frame) - 1))
        frame[offset] = data.draw(st.integers(0, 255))
    try:
        decoded = decode([resigned(bytes(frame))], RECEIVER)
    except BadFrame:
        return
    if isinstance(decoded, Append) and decoded.entries is not None:
        sizes = decoded.entries.sizes
        assert len(sizes) == decoded.last_index - decoded.prev_index
        assert int(sizes.sum()) == len(decoded.entries.data)
        assert decoded.runs[0][0] == decoded.prev_index + 1
        assert decoded.runs[-1][1] <= decoded.term
    if isinstance(decoded, Install):
        assert decoded.from_index < decoded.snapshot_index
        assert 1 <= decoded.snapshot_term <= decoded.term
        size = len(decoded.entries.data) if decoded.entries is not None else 0
        if decoded.entries is not None and len(decoded.entries.sizes):
            assert (int(decoded.entries.sizes.sum()), decoded.position >= decoded.snapshot_bytes) == (size, True)
        elif size:
            assert decoded.position + size <= decoded.snapshot_bytes
