"""A capture holds the state at its index, whatever is applied while it is written, and in bytes that depend on nothing else."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.log.entry import KEEP_ALIVE, RELEASE, SNAPSHOT, UNREGISTER
from ocelog.shard.capture import Capture
from ocelog.shard.errors import CaptureFailed
from ocelog.shard.executor import Executor
from ocelog.shard.machines.base import Commit, StateMachine, command
from ocelog.shard.machines.registry import BUILT_IN, registry
from ocelog.shard.pieces import ENDED, HEAD, PIECE_BYTES, RESOURCES, SESSIONS, TIMERS
from ocelog.shard.restoring import install_state


def whole(executor, **limits):
    """The pieces of a capture that is written at once."""
    capture = Capture(executor)
    while not capture.step(**limits):
        pass
    return capture.pieces


def kinds(pieces):
    """The kinds of pieces, each once, in order."""
    return list(dict.fromkeys(piece[0] for piece in pieces))


@pytest.fixture
def busy(entries, kit):
    """Many sessions with results, two resources and timers; `busy(n)` makes n sessions."""

    def make(sessions):
        ids = [entries.register(key=number.to_bytes(16, "big")) for number in range(sessions)]
        toy = entries.open(ids[0], 1, "toy")
        for session in ids[1:]:
            for sequence in range(1, 5):
                entries.command(session, sequence, kit.operation(toy, "later", 100, sequence), window=sequence)
        entries.executor.take_released()
        return ids, toy

    return make


def test_pieces_do_not_depend_on_the_steps(entries, busy):
    """However few rows each turn writes."""
    busy(20)
    pieces = whole(entries.executor)
    assert whole(entries.executor, rows_max=1) == whole(entries.executor, bytes_max=1) == pieces
    assert kinds(pieces) == [HEAD, SESSIONS, RESOURCES, TIMERS]


def test_a_step_writes_no_more_than_it_may(entries, busy):
    """The pause is bounded by rows and by bytes."""
    busy(20)
    capture = Capture(entries.executor)
    steps = 1
    while not capture.step(rows_max=10):
        steps += 1
    rows = 1 + 20 + 19 + 1 + 4 * 19
    assert steps == rows // 10 + 1


def test_a_capture_is_exact_while_everything_changes(entries, kit, busy):
    """Every session and machine changes, ends or begins after S and before it is written."""
    ids, toy = busy(20)
    before = whole(entries.executor)
    capture = Capture(entries.executor)
    capture.step(rows_max=3)
    for session in ids[1:10]:
        entries.command(session, 5, kit.operation(toy, "tell", "after S"), window=1)
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(ids[12], 4, 0)])))
    entries.add((UNREGISTER, SNAPSHOT, 1, ids[15], 5, b""), (UNREGISTER, SNAPSHOT, 0, ids[16], 0, b""))
    entries.register(key=b"after" + bytes(11))
    entries.open(ids[0], 2, "map", "opened after S")
    entries.command(ids[0], 3, kit.operation(toy, "later", 1, "again"), pass_ms=500)
    entries.executor.take_released()
    while not capture.step(rows_max=1):
        pass
    assert capture.pieces == before
    assert whole(entries.executor) != before


def test_events_after_the_index_are_not_in_the_capture(entries, kit, busy):
    """Nor is what is handled after it, or who ends: all sessions are set aside as they were."""
    ids, _ = busy(20)
    things = entries.open(ids[0], 2, "map", "things")
    for session in ids[1:]:
        entries.command(session, 5, kit.operation(things, "listen"), window=5)
    put = kit.operation(things, "put", b"k", b"v")
    for sequence in range(3, 6):
        entries.command(ids[0], sequence, put, mode=RELEASE)
    entries.add((UNREGISTER, SNAPSHOT, 0, ids[18], 0, b""))
    entries.executor.take_released()
    before = whole(entries.executor)
    capture = Capture(entries.executor)
    capture.step(rows_max=3)
    entries.command(ids[0], 6, put, mode=RELEASE)
    handled = [(session, 0, 1 << 60) for session in ids[5:10]]
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb(handled)), (UNREGISTER, SNAPSHOT, 0, ids[12], 0, b""))
    entries.executor.take_released()
    while not capture.step(rows_max=1):
        pass
    assert capture.pieces == before
    assert kinds(before) == [HEAD, SESSIONS, RESOURCES, TIMERS, ENDED]
    installed = Executor(kit.MACHINES)
    install_state(installed, capture.index, before)
    assert [session.event_count for session in installed.sessions] == [0] + [3] * 18


def test_large_events_are_written_row_by_row(entries, kit):
    """No row is larger than a piece and one batch; what listeners share is written once, and shared again when restored."""
    ids = [entries.register(key=number.to_bytes(16, "big")) for number in range(3)]
    things = entries.open(ids[0], 1, "map")
    for session in ids[1:]:
        entries.command(session, 1, kit.operation(things, "listen"))
    for sequence in range(2, 12):
        put = kit.operation(things, "put", b"k%d" % sequence, bytes(20_000))
        entries.command(ids[0], sequence, put, mode=RELEASE, window=1)
    entries.executor.take_released()
    pieces = whole(entries.executor)
    assert max(map(len, pieces)) < 2 * PIECE_BYTES + 21_000
    assert 10 * 20_000 < sum(map(len, pieces)) < 11 * 20_000
    installed = Executor(kit.MACHINES)
    install_state(installed, len(entries.log), pieces)
    one, other = (installed.sessions.get(session).events for session in ids[1:])
    assert [batch.index for batch in one] == [batch.index for batch in other] == list(range(7, 17))
    assert all(mine.payload is theirs.payload for mine, theirs in zip(one, other, strict=True))


def test_a_timer_that_fires_changes_its_machine_after_the_capture(entries, kit, busy):
    """It is a machine's change like any other."""
    busy(2)
    before = whole(entries.executor)
    capture = Capture(entries.executor)
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([])), pass_ms=1000)
    assert len(entries.executor.by_name["it"].machine.told) == 4
    while not capture.step():
        pass
    assert capture.pieces == before


def test_a_capture_that_is_over_looks_on_no_more(entries, busy):
    """Complete or abandoned."""
    busy(3)
    executor = entries.executor
    whole(executor)
    assert executor.capture is None
    capture = Capture(executor)
    assert executor.capture is capture
    capture.abandon()
    assert executor.capture is None
    whole(executor)
    Capture(executor)
    capture.abandon()
    assert executor.capture is not None


def test_one_capture_at_a_time(entries):
    """And only when the log knows what was released up to its index."""
    session = entries.register()
    entries.command(session, 1, b"\x92\x63\xa1x", mode=RELEASE)
    with pytest.raises(AssertionError, match="not told to the log"):
        Capture(entries.executor)
    entries.executor.take_released()
    Capture(entries.executor)
    with pytest.raises(AssertionError, match="during another one"):
        Capture(entries.executor)


def test_pieces_are_of_a_bounded_size(entries, kit):
    """A session with many results fills several; the rows of one go on in the next."""
    session = entries.register()
    toy = entries.open(session, 1, "toy")
    for sequence in range(2, 300):
        entries.command(session, sequence, kit.operation(toy, "echo", bytes(2000)), window=sequence)
    pieces = whole(entries.executor)
    assert max(map(len, pieces)) < PIECE_BYTES + 64 * 2100
    assert len([piece for piece in pieces if piece[0] == SESSIONS]) > 2
    installed = Executor(kit.MACHINES)
    install_state(installed, len(entries.log), pieces).finish()
    assert kit.state_of(installed) == kit.state_of(entries.executor)


class Unsound(StateMachine):
    """Its state cannot be put into a snapshot once it is set."""

    type_name = "unsound"

    def __init__(self):
        super().__init__()
        self.value = None

    @command(mode=SNAPSHOT)
    def set(self, commit: Commit, kind: str) -> None:
        self.value = {"object": object(), "large": 1 << 70, "tuple": {(1, 2): 3}}.get(kind)
        self.raises = kind == "error"
        for _ in range(1024 if kind == "deep" else 0):
            self.value = [self.value]

    def snapshot(self):
        if self.value is None and self.raises:
            raise RuntimeError("not today")
        return self.value

    def install(self, state):
        self.value = state


@pytest.mark.parametrize("kind", ["object", "deep", "large", "tuple", "error"])
@pytest.mark.parametrize("touched", [False, True])
def test_a_machine_that_cannot_be_captured_harms_nothing(kit, kind, touched):
    """The capture fails and says which machine it was; applying goes on, also where a change was what asked for it."""
    entries = kit.Entries(registry((*BUILT_IN, Unsound)))
    session = entries.register()
    unsound = entries.open(session, 1, "unsound", "mine")
    entries.command(session, 2, kit.operation(unsound, "set", kind))
    capture = Capture(entries.executor)
    if touched:
        assert entries.command(session, 3, kit.operation(unsound, "set", "object")) == (0, None)
    with pytest.raises(CaptureFailed, match=f"'mine', a unsound at entry {capture.index}: "):
        while not capture.step(rows_max=1):
            pass
    assert entries.executor.capture is None
    assert entries.command(session, 9, b"") == (-1, None)
