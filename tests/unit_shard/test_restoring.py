"""A snapshot's pieces and live entries are hostile input: they give the state, or StateMismatch with a reason, never a guess."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocelog.client.protocol import operations
from ocelog.log.entry import COMMAND, KEEP_ALIVE, MODE_AT, NOOP, RELEASE, RESOURCE, SNAPSHOT, UNREGISTER, VOID
from ocelog.shard import ended
from ocelog.shard.capture import Capture
from ocelog.shard.errors import MachineMissing, StateMismatch
from ocelog.shard.executor import Executor
from ocelog.shard.machines.base import Commit, StateMachine, command
from ocelog.shard.machines.counter import CounterMachine
from ocelog.shard.machines.map import MapMachine
from ocelog.shard.machines.registry import BUILT_IN, registry
from ocelog.shard.pieces import ENDED, FORMAT_VERSION, HEAD, RESOURCES, SESSIONS, TIMERS, pack
from ocelog.shard.restoring import Restoring, install_state


class Lease(StateMachine):
    """RELEASE commands with a restore of their own, timers, and state of its own in the snapshot."""

    type_name = "lease"

    def __init__(self):
        super().__init__()
        self.held = {}
        self.ended = []
        self.restored_last = None

    @command(mode=RELEASE)
    def hold(self, commit: Commit, word: str, for_ms: int) -> int:
        self.held[commit.index] = word
        self.schedule(commit.time + for_ms, "end", commit.index)
        return commit.index

    @hold.restore
    def _(self, commit: Commit, word: str, for_ms: int) -> None:
        if word == "damaged":
            raise KeyError(word)
        if word == "releasing":
            self.release(1)
        self.hold.__func__(self, commit, word, for_ms)

    @command(mode=SNAPSHOT)
    def note(self, commit: Commit, word: str, in_ms: int) -> None:
        self.schedule(commit.time + in_ms, "say", word)

    def end(self, commit: Commit, index: int) -> None:
        self.ended.append(self.held.pop(index))
        self.release(index)

    def say(self, commit: Commit, word: str) -> None:
        self.ended.append(word)

    def snapshot(self):
        return self.ended

    def install(self, state):
        if type(state) is not list:
            raise TypeError(f"not {state!r}")
        self.ended = state

    def restored(self):
        self.restored_last = max(self.held, default=0)
        if "bad end" in self.ended:
            self.release(1)
        if "worse end" in self.ended:
            raise ValueError("worse")

    def live_entries(self):
        return self.held


class LeaseTwo(Lease):
    """The same in another version."""

    version = 2


MACHINES = registry((MapMachine, CounterMachine, Lease))
# Not all there are: the tests below name fields of rows by their place.


class Shard:
    """A log written by hand and a snapshot of it."""

    def __init__(self, entries):
        self.entries = entries
        self.executor = entries.executor
        self.released = set()

    def capture(self):
        self.released.update(self.executor.take_released())
        capture = Capture(self.executor)
        while not capture.step():
            pass
        self.index, self.pieces = capture.index, capture.pieces
        return self

    def live(self):
        """The entries of RELEASE commands that were not released."""
        entries = enumerate(self.entries.log, 1)
        return [entry for index, entry in entries if entry[MODE_AT] == RELEASE and index not in self.released]

    def start(self, machines=MACHINES, pieces=None, live=None):
        executor = Executor(machines)
        restoring = install_state(executor, self.index, self.pieces if pieces is None else pieces)
        restore(restoring, self.live() if live is None else live)
        restoring.finish()
        return executor


def restore(restoring, entries):
    offsets = [sum(map(len, entries[:number])) for number in range(len(entries))]
    restoring.restore(memoryview(b"".join(entries)), offsets)


@pytest.fixture
def shard(kit):
    """Two sessions with results, one of them with events, a map, a counter, a lease with timers in live entries and in the
    snapshot, and two sessions that have ended."""
    entries = kit.Entries(MACHINES)
    session = entries.register()
    other = entries.register(key=b"o" * 16, timeout_ms=5)
    names = {name: entries.open(session, number, name, name) for number, name in enumerate(MACHINES, 1)}
    for sequence, kind in ((1, "map"), (2, "counter")):
        entries.command(other, sequence, kit.operation(names[kind], "listen"))
    for number, expired in ((1, True), (2, False)):
        ended = entries.register(key=bytes([number]) * 16)
        for sequence in (1, 2):
            entries.command(ended, sequence, kit.operation(names["counter"], "get"), window=number)
        entries.add((UNREGISTER, SNAPSHOT, 1, ended, 0 if expired else 3, b""), pass_ms=number)
    steps = [
        ("map", "put", b"a", b"1"),
        ("map", "put", b"b", b"2"),
        ("map", "put", b"a", b"3"),
        ("counter", "add", 7),
        ("lease", "hold", "short", 5),
        ("lease", "hold", "long", 50),
        ("lease", "note", "hello", 40),
        ("lease", "note", "early", 1),
    ]
    for sequence, (kind, name, *arguments) in enumerate(steps, 4):
        mode = MACHINES[kind].operations[name].mode
        entries.command(session, sequence, kit.operation(names[kind], name, *arguments), mode=mode, window=sequence)
    entries.command(other, 3, kit.operation(names["counter"], "add", 1))
    first = entries.executor.sessions.get(other).events[0].index
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(other, 0, first)])))
    entries.add((NOOP, SNAPSHOT, 0, 0, 0, b""), pass_ms=9)
    return Shard(entries).capture()


# -- what is right -------------------------------------------------------------------------------------


def without_private(kit, executor):
    """The state, but for what this test's machine notes for itself."""
    state = kit.state_of(executor)
    for *_, fields in state["resources"]:
        fields.pop("restored_last", None)
    return state


def test_it_gives_the_state_back(kit, shard):
    """Sessions with results, resources, timers, time and index; the machine is told when all its entries are there."""
    executor = shard.start()
    assert without_private(kit, executor) == without_private(kit, shard.executor)
    assert executor.digest == shard.executor.digest
    assert executor.live_counts() == shard.executor.live_counts()
    lease = executor.by_name["lease"].machine
    assert (lease.held, lease.ended) == ({lease.restored_last: "long"}, ["early", "short"])


def test_it_can_be_done_in_portions(kit, shard):
    """One piece and one entry at a time; the state is of no index before the end."""
    executor = Executor(MACHINES)
    restoring = Restoring(executor, shard.index)
    for piece in shard.pieces:
        restoring.install(memoryview(piece))
    for entry in shard.live():
        restore(restoring, [entry])
        assert executor.applied_index == 0
    restore(restoring, [])
    restoring.finish()
    assert restoring.restored == len(shard.live()) == 3
    assert without_private(kit, executor) == without_private(kit, shard.executor)


def test_a_shard_without_anything(kit):
    """A snapshot of no-ops only."""
    entries = kit.Entries(MACHINES)
    entries.add((NOOP, SNAPSHOT, 0, 0, 0, b""))
    empty = Shard(entries).capture()
    assert kit.state_of(empty.start()) == kit.state_of(entries.executor)


def test_only_a_new_executor_is_given_a_state(shard):
    """What was there would remain."""
    with pytest.raises(AssertionError, match="has applied entries"):
        Restoring(shard.executor, shard.index)


# -- pieces that are wrong -----------------------------------------------------------------------------


def rows_of(pieces):
    """The rows of all pieces, by kind."""
    rows = {HEAD: [], SESSIONS: [], RESOURCES: [], TIMERS: [], ENDED: []}
    for piece in pieces:
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(piece[1:])
        rows[piece[0]] += list(unpacker)
    return rows


def pieces_of(rows):
    """One piece of each kind."""
    return [bytes([kind]) + b"".join(map(pack, found)) for kind, found in rows.items()]


SESSION, RESULTS, OTHER, EVENTS = 0, 1, 2, 4
EXPIRED, EXPIRED_RESULTS, CLOSED = 0, 1, 2
MAP, COUNTER, LEASE = 0, 1, 2
INDEX = 1 << 40


@pytest.mark.parametrize(
    ("kind", "row", "field", "value"),
    [
        (HEAD, 0, 0, FORMAT_VERSION + 1),
        (HEAD, 0, 0, 0),
        (HEAD, 0, 1, 3),
        (HEAD, 0, 2, -1),
        (HEAD, 0, 2, "now"),
        (HEAD, 0, 3, b"short"),
        (HEAD, 0, 4, 1),
        (HEAD, 0, 4, 3),
        (HEAD, 0, 4, 1 << 63),
        (HEAD, 0, 5, 2),
        (HEAD, 0, 5, 4),
        (HEAD, 0, 6, 0),
        (HEAD, 0, 6, 2),
        (HEAD, 0, 7, 1),
        (HEAD, 0, 7, 3),
        (SESSIONS, SESSION, 0, 0),
        (SESSIONS, SESSION, 0, INDEX),
        (SESSIONS, SESSION, 0, True),
        (SESSIONS, OTHER, 0, 1),
        (SESSIONS, SESSION, 1, b"bytes"),
        (SESSIONS, SESSION, 2, "text"),
        (SESSIONS, OTHER, 2, b"k" * 16),
        (SESSIONS, SESSION, 3, None),
        (SESSIONS, SESSION, 4, 1),
        (SESSIONS, SESSION, 4, 12),
        (SESSIONS, SESSION, 5, 1),
        (SESSIONS, SESSION, 5, INDEX),
        (SESSIONS, SESSION, 6, 5),
        (SESSIONS, OTHER, 6, 0),
        (SESSIONS, OTHER, 6, INDEX),
        (SESSIONS, OTHER, 7, INDEX),
        (SESSIONS, OTHER, 7, -1),
        (SESSIONS, RESULTS, 0, [0, b"\x00\xc0"]),
        (SESSIONS, RESULTS, 0, [INDEX, b"\x00\xc0"]),
        (SESSIONS, RESULTS, 1, [3, b"\x00\xc0"]),
        (SESSIONS, RESULTS, 0, [3, b""]),
        (SESSIONS, RESULTS, 0, [3, "text"]),
        (SESSIONS, RESULTS, 0, b"\x00\xc0"),
        (RESOURCES, MAP, 0, 0),
        (RESOURCES, LEASE, 0, INDEX),
        (RESOURCES, COUNTER, 0, 3),
        (RESOURCES, COUNTER, 1, "map"),
        (RESOURCES, COUNTER, 1, 5),
        (RESOURCES, COUNTER, 2, None),
        (RESOURCES, COUNTER, 3, "1"),
        (RESOURCES, COUNTER, 4, -1),
        (RESOURCES, COUNTER, 6, None),
        (RESOURCES, COUNTER, 6, 8),
        (RESOURCES, COUNTER, 6, b""),
        (RESOURCES, COUNTER, 6, b"\xc1"),
        (RESOURCES, COUNTER, 6, pack("eight")),
        (RESOURCES, COUNTER, 6, pack(1 << 63)),
        (RESOURCES, COUNTER, 6, pack(8) + b"\x00"),
        (RESOURCES, LEASE, 6, pack({})),
        (RESOURCES, MAP, 6, pack(None)),
        (TIMERS, 0, 0, 0),
        (TIMERS, 0, 1, INDEX),
        (TIMERS, 0, 2, -1),
        (TIMERS, 0, 3, 99),
        (TIMERS, 0, 4, "no such method"),
        (TIMERS, 0, 4, "held"),
        (TIMERS, 0, 5, "word"),
        (ENDED, EXPIRED, 0, 1),
        (ENDED, EXPIRED, 0, 0),
        (ENDED, EXPIRED, 0, INDEX),
        (ENDED, EXPIRED, 1, "text"),
        (ENDED, EXPIRED, 2, 0),
        (ENDED, EXPIRED, 2, 3),
        (ENDED, EXPIRED, 3, 3),
        (ENDED, EXPIRED, 4, INDEX << 8),
        (ENDED, EXPIRED, 4, "now"),
        (ENDED, EXPIRED_RESULTS, 0, [INDEX, b"\x00\xc0"]),
        (ENDED, EXPIRED_RESULTS, 0, [1, b"\x00\xc0"]),
        (ENDED, CLOSED, 4, 5),
        (ENDED, CLOSED, 2, 3),
    ],
)
def test_a_field_that_cannot_be_so_is_refused(shard, kind, row, field, value):
    """Types, ranges, orders, references and counts."""
    rows = rows_of(shard.pieces)
    assert pieces_of(rows) and shard.start(pieces=pieces_of(rows))
    assert rows[kind][row][field] != value or type(value) is bool
    rows[kind][row][field] = value
    with pytest.raises(StateMismatch):
        shard.start(pieces=pieces_of(rows))


@pytest.mark.parametrize("kind", [HEAD, SESSIONS, RESOURCES, TIMERS, ENDED])
@pytest.mark.parametrize("change", ["missing", "twice", "no array", "one field more", "in the middle"])
def test_rows_that_are_wrong_as_a_whole_are_refused(shard, kind, change):
    """More or fewer than were counted, of another form, or cut."""
    rows = rows_of(shard.pieces)
    last = rows[kind].pop()
    if change != "missing":
        rows[kind] += {
            "twice": [last, last],
            "no array": [{"a": 1}],
            "one field more": [[*last, 1]],
            "in the middle": [last],
        }[change]
    pieces = pieces_of(rows)
    if change == "in the middle":
        pieces[kind] = pieces[kind][:-1]
    with pytest.raises(StateMismatch):
        shard.start(pieces=pieces)


@pytest.mark.parametrize(
    "change",
    [
        lambda batches: batches[0].__setitem__(0, batches[0][1]),
        lambda batches: batches[-1].__setitem__(0, batches[-1][0] + 1),
        lambda batches: batches[-1].__setitem__(0, batches[-2][0]),
        lambda batches: batches[0].__setitem__(1, batches[0][0]),
        lambda batches: batches[1].__setitem__(1, batches[1][1] - 1),
        lambda batches: batches[1].__setitem__(1, 0),
        lambda batches: batches[1].__setitem__(2, 2),
        lambda batches: batches[1].__setitem__(2, 0),
        lambda batches: batches[1].__setitem__(3, "text"),
        lambda batches: batches[1].__setitem__(3, b""),
        lambda batches: batches[1].__setitem__(3, b"\xc1"),
        lambda batches: batches[1].__setitem__(3, b"\x90"),
        lambda batches: batches[1].__setitem__(3, b"\x91\x93\x05\x05\x05"),
        lambda batches: batches[1].append(0),
        lambda batches: batches[1].__setitem__(slice(2, 4), [1]),
        lambda batches: batches[1].__setitem__(slice(2, 4), [-1]),
        lambda batches: batches[1].__setitem__(slice(2, 4), [b"\x90"]),
        lambda batches: batches.pop(0) and batches.pop(0),
        lambda batches: batches.pop(1),
        lambda batches: batches.pop(),
        lambda batches: batches.clear(),
    ],
)
def test_events_that_cannot_be_so_are_refused(shard, change):
    """One lost, one twice, in another order, of other indexes, or unreadable for the client that waits for them."""
    rows = rows_of(shard.pieces)
    batches = rows[SESSIONS][EVENTS]
    assert [len(batches), len(batches[0])] == [4, 4]
    change(batches)
    with pytest.raises(StateMismatch):
        shard.start(pieces=pieces_of(rows))


def test_events_in_other_rows_are_the_same_events(kit, shard):
    """How many are in a row is the writer's choice, up to a bound."""
    rows = rows_of(shard.pieces)
    batches = rows[SESSIONS].pop(EVENTS)
    rows[SESSIONS] += [[batch] for batch in batches]
    executor = shard.start(pieces=pieces_of(rows))
    assert without_private(kit, executor) == without_private(kit, shard.executor)


def test_more_records_than_are_kept_are_refused(shard, monkeypatch):
    """A state that no replica can have had."""
    assert shard.start()
    monkeypatch.setattr(ended, "RECORDS_MAX", 1)
    with pytest.raises(StateMismatch, match="2 records"):
        shard.start()


def test_pieces_come_in_their_order(shard):
    """Timers need their resources, records of ended sessions the open ones, and everything the counts of the head."""
    head, sessions, resources, timers, ended = pieces_of(rows_of(shard.pieces))
    for wrong in (
        [sessions, resources, timers, ended],
        [head, resources, sessions, timers, ended],
        [head, sessions, timers, resources, ended],
        [head, sessions, resources, ended, timers],
        [head, ended, sessions, resources, timers],
    ):
        with pytest.raises(StateMismatch):
            shard.start(pieces=wrong)
    for wrong in ([], [b""], [b"\x09"], [head, sessions, resources], [head, sessions, resources, timers]):
        with pytest.raises(StateMismatch):
            shard.start(pieces=wrong)


def test_a_newer_format_is_told_as_such(shard):
    """One clear sentence."""
    rows = rows_of(shard.pieces)
    rows[HEAD][0] = [FORMAT_VERSION + 1, "something", "new"]
    with pytest.raises(StateMismatch, match="of format 4, of a newer Ocelog; this one reads 3"):
        shard.start(pieces=pieces_of(rows))


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_pieces_raise_nothing_else(shard, data):
    """Whatever bytes a peer sends."""
    pieces = [bytearray(piece) for piece in shard.pieces]
    for _ in range(data.draw(st.integers(1, 3))):
        piece = data.draw(st.sampled_from(pieces))
        place = data.draw(st.integers(0, len(piece) - 1))
        piece[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        shard.start(pieces=[bytes(piece) for piece in pieces])
    except StateMismatch as error:
        assert error.exit_code == 65
    except MachineMissing:
        pass  # what was damaged is the name of a type, wherever it stands


# -- live entries that are wrong -----------------------------------------------------------------------


def live_with(kit, shard, index, *record):
    """The live entries and one more, or in another's place."""
    live = {int.from_bytes(entry[8:16], "little"): entry for entry in shard.live()}
    (live[index],) = kit.entries_of(index, kit.START_MS, [record])
    return [live[index] for index in sorted(live)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ((NOOP, SNAPSHOT, 0, 0, 0, b""), "kind 0 and mode 0"),
        ((NOOP, RELEASE, 0, 0, 0, b""), "kind 0 and mode 1"),
        ((VOID, RELEASE, 1, 1, 9, b"\x01"), "kind 6"),
        ((RESOURCE, RELEASE, 1, 1, 9, b""), "kind 7"),
        ((COMMAND, SNAPSHOT, 1, 1, 9, operations.encode([4, "add", 1])), "mode 0"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([4, "add", 1])), "a counter has no RELEASE command 'add'"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([4, "get"])), "a counter has no RELEASE command 'get'"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([77, "put", b"k", b"v"])), "resource 77 that does not exist"),
        ((COMMAND, RELEASE, 1, 1, 9, b"\xc1"), "BadOperation"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([3, "put", b"a", b"v"])), "second live entry"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([3, "put", b"c"])), "TypeError"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([3, "remove", b"c"])), "restoring remove releases"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([5, "hold", "damaged", 1])), "KeyError: 'damaged'"),
        ((COMMAND, RELEASE, 1, 1, 9, operations.encode([5, "hold", "releasing", 1])), r"restoring hold releases \[1\]"),
    ],
)
def test_an_entry_that_cannot_be_live_is_refused(kit, shard, record, reason):
    """Naming its index."""
    with pytest.raises(StateMismatch, match=f"cannot be rebuilt at entry 24: .*{reason}"):
        shard.start(live=live_with(kit, shard, 24, *record))


def test_entries_come_in_index_order_and_none_is_later(kit, shard):
    """Order that clients can see is the order of live indexes."""
    live = shard.live()
    for wrong in (
        live[::-1],
        [live[0], live[0]],
        live_with(kit, shard, 99, COMMAND, RELEASE, 1, 1, 9, b"\x92\x03\xa1x"),
    ):
        with pytest.raises(StateMismatch, match="after entry"):
            shard.start(live=wrong)


def test_entries_come_after_the_state(shard):
    """Their resources are in it."""
    restoring = Restoring(Executor(MACHINES), shard.index)
    with pytest.raises(StateMismatch, match="pieces are missing"):
        restore(restoring, shard.live())
    with pytest.raises(StateMismatch, match="pieces are missing"):
        restoring.finish()


@pytest.mark.parametrize(
    ("word", "reason"), [("bad end", "releases, schedules or pub"), ("worse end", "ValueError: worse")]
)
def test_the_last_call_may_not_fail_either(kit, shard, word, reason):
    """`restored` puts together and changes nothing else."""
    rows = rows_of(shard.pieces)
    rows[RESOURCES][LEASE][6] = pack([word])
    with pytest.raises(StateMismatch, match=reason):
        shard.start(pieces=pieces_of(rows))


# -- machines that are not installed -------------------------------------------------------------------


@pytest.fixture(params=["no such type", "another version"])
def strange(request):
    """The machines of a replica that does not know this lease."""
    return registry(BUILT_IN if request.param == "no such type" else (*BUILT_IN, LeaseTwo))


def test_a_state_with_a_machine_that_is_not_installed_is_not_begun(shard, strange):
    """Without it this replica's results would not be the others': it names what it needs, and where."""
    index = shard.executor.by_name["lease"].index
    known = "version 2 of it is" if "lease" in strange else "no version of it is"
    with pytest.raises(
        MachineMissing, match=f"entry {index} needs version 1 of the machine 'lease', and {known} installed"
    ):
        shard.start(strange)


def test_a_resource_is_of_the_version_in_force(shard):
    """A snapshot that says two things of one type is none."""
    rows = rows_of(shard.pieces)
    rows[HEAD][0][8] = [["counter", 1], ["lease", 2], ["map", 1]]
    with pytest.raises(StateMismatch, match="is of version 1, and 2 is in force"):
        shard.start(pieces=pieces_of(rows))
