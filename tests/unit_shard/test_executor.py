"""The executor: an entry's effect is a function of the entries before it and of nothing else."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors, operations
from ocelog.log.entry import (
    COMMAND,
    CONFIGURATION,
    KEEP_ALIVE,
    NOOP,
    RELEASE,
    RESOURCE,
    SNAPSHOT,
    TICK,
    UNREGISTER,
    VOID,
)
from ocelog.shard import resource
from ocelog.shard.capture import Capture
from ocelog.shard.errors import CannotDelete, MachineMissing
from ocelog.shard.executor import Executor
from ocelog.shard.machines.registry import registry
from ocelog.shard.restoring import install_state
from ocelog.shard.results import encode_error

NOOP_RECORD = (NOOP, SNAPSHOT, 0, 0, 0, b"")


@pytest.fixture
def session(entries):
    return entries.register()


@pytest.fixture
def toy(entries, session):
    return entries.open(session, 1, "toy")


# -- sequences -----------------------------------------------------------------------------------------


def test_a_command_spends_its_sequence_and_keeps_its_result(entries, kit, session, toy):
    """A sequence is spent in the log, and its result is kept with the index of its entry."""
    assert entries.command(session, 2, kit.operation(toy, "tell", "a")) == (errors.OK, 1)
    known = entries.executor.sessions.get(session)
    assert known.last == 2
    assert known.results[2][0] == len(entries.log)


def test_a_repetition_in_the_log_changes_nothing(entries, kit, session, toy):
    """Applied twice gives the first result."""
    entries.command(session, 2, kit.operation(toy, "tell", "a"))
    assert entries.command(session, 2, kit.operation(toy, "tell", "b")) == (errors.OK, 1)
    assert entries.executor.resources[toy].machine.told == ["a"]


def test_a_repetition_of_a_release_command_is_released(entries, kit, session, toy):
    """Rule of the log: the framework releases an entry that is a repetition."""
    entries.command(session, 2, kit.operation(toy, "keep", 1), mode=RELEASE)
    entries.command(session, 2, kit.operation(toy, "keep", 1), mode=RELEASE)
    assert entries.executor.take_released() == [len(entries.log)]


def test_a_gap_is_released_and_spends_nothing(entries, kit, session, toy):
    """A gap met while applying is an entry without effect, never a crash."""
    assert entries.command(session, 4, kit.operation(toy, "keep", 1), mode=RELEASE) == (-1, None)
    assert entries.executor.sessions.get(session).last == 1
    assert entries.executor.take_released() == [len(entries.log)]


def test_a_command_of_no_open_session_is_released(entries, kit, toy):
    """The framework releases an entry of an unknown session."""
    entries.command(999, 1, kit.operation(toy, "keep", 1), mode=RELEASE)
    assert entries.executor.take_released() == [len(entries.log)]
    assert not entries.executor.resources[toy].machine.live


def test_a_void_spends_the_sequence_on_its_error(entries, kit, session):
    """The payload of a void is the error that becomes its result."""
    entries.add((VOID, SNAPSHOT, 1, session, 1, encode_error(errors.VOIDED, "gave up")))
    known = entries.executor.sessions.get(session)
    assert (known.last, kit.decoded(known.results[1][1])) == (1, (errors.VOIDED, "gave up"))


def test_what_is_logged_first_wins_over_its_void(entries, kit, session, toy):
    """By the command or by a void: every later one gets the first answer."""
    entries.command(session, 2, kit.operation(toy, "tell", "a"))
    entries.add((VOID, SNAPSHOT, 1, session, 2, encode_error(errors.VOIDED, "gave up")))
    assert kit.decoded(entries.executor.sessions.get(session).results[2][1]) == (errors.OK, 1)


def test_a_void_logged_first_keeps_its_command_out(entries, kit, session, toy):
    """Definite: a void in the log means the command never has an effect."""
    entries.add((VOID, SNAPSHOT, 1, session, 2, encode_error(errors.VOIDED, "gave up")))
    assert entries.command(session, 2, kit.operation(toy, "tell", "a")) == (errors.VOIDED, "gave up")
    assert entries.executor.resources[toy].machine.told == []


# -- the window ----------------------------------------------------------------------------------------


def test_the_window_forgets_what_the_entry_says_the_client_has(entries, kit, session, toy):
    """`window` says up to which sequence the client has all results; every replica forgets those."""
    for sequence in (2, 3, 4):
        entries.command(session, sequence, kit.operation(toy, "tell", "a"), window=sequence)
    entries.command(session, 5, kit.operation(toy, "tell", "a"), window=2)
    known = entries.executor.sessions.get(session)
    assert (known.acknowledged, sorted(known.results)) == (3, [4, 5])


def test_result_bytes_follow_the_results(entries, kit, session, toy):
    """The bound on results counts what is kept, no more."""
    for sequence in (2, 3, 4):
        entries.command(session, sequence, kit.operation(toy, "tell", "a"), window=2)
    known = entries.executor.sessions.get(session)
    assert known.result_bytes == sum(len(result) for _, result in known.results.values())


def test_a_keep_alive_forgets_at_most_what_was_applied(entries, kit, session, toy):
    """Acknowledgements are taken as min with what was applied."""
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(session, 1 << 63, 0), (77, 5, 9)])))
    known = entries.executor.sessions.get(session)
    assert (known.acknowledged, known.results) == (1, {})


def test_an_older_acknowledgement_changes_nothing(entries, kit, session, toy):
    """Lower than before changes nothing."""
    entries.command(session, 2, kit.operation(toy, "tell", "a"), window=1)
    entries.add((KEEP_ALIVE, SNAPSHOT, 0, 0, 0, msgpack.packb([(session, 0, 0)])))
    assert entries.executor.sessions.get(session).acknowledged == 1


# -- sessions ------------------------------------------------------------------------------------------


def test_registering_the_same_key_finds_the_same_session(entries):
    """Registering with the same key returns the same open session."""
    first = entries.register()
    entries.register()
    assert [session.id for session in entries.executor.sessions] == [first]
    assert [session.id for _, session in entries.executor.registered] == [first, first]


def test_another_key_of_the_same_client_is_another_session(entries, kit):
    """Another session of the same client id is never touched."""
    assert entries.register() != entries.register(key=b"x" * 16)
    assert len(entries.executor.sessions) == 2


def test_a_key_whose_session_ended_opens_a_new_one(entries, session, kit):
    """Only the open session of a key is found."""
    entries.add((UNREGISTER, SNAPSHOT, 1, session, 1, b""))
    again = entries.register()
    assert again != session
    assert entries.executor.sessions.get(again).last == 0


def test_a_clients_unregister_out_of_order_is_no_end(entries, session):
    """A client's unregister takes the next sequence; another one is a gap."""
    entries.add((UNREGISTER, SNAPSHOT, 1, session, 2, b""))
    assert entries.executor.sessions.get(session) is not None


def test_an_expiry_ends_the_session_whatever_its_sequence(entries, session, toy):
    """A leader's unregister is marked expired by having no sequence."""
    entries.add((UNREGISTER, SNAPSHOT, 0, session, 0, b""))
    assert entries.executor.sessions.get(session) is None
    assert entries.executor.resources[toy].machine.told == [("expired", session)]


def test_a_second_expiry_is_without_effect(entries, session, toy):
    """A leader may log the expiry of a session that has ended meanwhile."""
    for _ in range(2):
        entries.add((UNREGISTER, SNAPSHOT, 0, session, 0, b""))
    assert entries.executor.resources[toy].machine.told == [("expired", session)]


def test_machines_are_told_of_sessions(entries, kit, session, toy):
    """Session listeners: opened, closed, expired."""
    other = entries.register(key=b"x" * 16)
    entries.add((UNREGISTER, SNAPSHOT, 1, other, 1, b""))
    assert entries.executor.resources[toy].machine.told == [("opened", other), ("closed", other)]


def test_a_machine_is_told_of_the_end_of_sessions_that_it_watches(entries, kit, session, toy, monkeypatch):
    """A map of thousands of which nobody listens to costs nothing when thousands of sessions end."""
    others = [entries.register(key=bytes([number]) * 16) for number in range(2)]
    monkeypatch.setattr(kit.Toy, "watches", lambda machine, session: session == others[1])
    entries.add(*((UNREGISTER, SNAPSHOT, 0, other, 0, b"") for other in others))
    told = entries.executor.resources[toy].machine.told
    assert told == [*(("opened", other) for other in others), ("expired", others[1])]


def test_a_machine_that_does_not_know_what_it_watches_is_told(entries, kit, session, toy, monkeypatch):
    """Nothing that a machine does can crash a replica."""
    monkeypatch.setattr(kit.Toy, "watches", lambda machine, session: machine.no_such_thing)
    entries.add((UNREGISTER, SNAPSHOT, 0, session, 0, b""))
    assert entries.executor.resources[toy].machine.told == [("expired", session)]


# -- operations that fail ------------------------------------------------------------------------------


def test_a_handler_that_raises_answers_its_type_and_text(entries, kit, session, toy):
    """If a handler raises, its caller gets the error (type name and text), and the index goes on."""
    result = entries.command(session, 2, kit.operation(toy, "fail_late", 1), mode=RELEASE)
    assert result == (errors.MACHINE_ERROR, "RuntimeError: after the release")
    assert entries.executor.applied_index == len(entries.log)


def test_a_handler_that_raises_loses_its_releases_and_is_released(entries, kit, session, toy):
    """Releases are buffered and dropped if the handler raises; the entry itself is dead."""
    kept = entries.command(session, 2, kit.operation(toy, "keep", 1), mode=RELEASE)[1]
    entries.command(session, 3, kit.operation(toy, "fail_late", kept), mode=RELEASE)
    assert entries.executor.take_released() == [len(entries.log)]


def test_a_handler_that_raises_loses_its_timers(entries, kit, session, toy):
    """Nothing of a failed command happens later."""
    entries.command(session, 2, kit.operation(toy, "fail_late", 1), mode=RELEASE)
    entries.add(NOOP_RECORD, pass_ms=1000)
    assert entries.executor.resources[toy].machine.told == []


def test_a_result_that_cannot_be_encoded_is_an_error(entries, kit, session, toy):
    """Nothing that a handler returns can crash a replica."""
    code, text = entries.command(session, 2, kit.operation(toy, "unpackable"))
    assert code == errors.MACHINE_ERROR
    assert text.startswith("TypeError: ")


def test_a_replica_without_memory_stops(entries, kit, session, toy):
    """One replica's shortage of memory must not become a result: the others would have another one."""
    with pytest.raises(MemoryError):
        entries.command(session, 2, kit.operation(toy, "out_of_memory"))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1", errors.BAD_OPERATION),
        (b"", errors.BAD_OPERATION),
        (operations.encode([1 << 40, "tell"]), errors.UNKNOWN_RESOURCE),
        (operations.encode([2, "no such"]), errors.UNKNOWN_OPERATION),
        (operations.encode([2, "words"]), errors.UNKNOWN_OPERATION),
        (operations.encode([2, "tell"]), errors.MACHINE_ERROR),
        (operations.encode([2, "tell", 1, 2, 3]), errors.MACHINE_ERROR),
    ],
)
def test_an_entry_that_cannot_be_run_is_an_error_and_is_released(entries, session, toy, data, code):
    """A bad entry that did reach the log crashes no replica and leaves nothing behind."""
    assert toy == 2
    assert entries.command(session, 2, data, mode=RELEASE)[0] == code
    assert entries.executor.take_released() == [len(entries.log)]


def test_the_nesting_limit_of_a_process_changes_no_entry(entries, kit, session, toy):
    """A limit decides what enters the log; what is in the log means the same under every limit."""
    deep = [[[[[[1]]]]]]
    entries.command(session, 2, kit.operation(toy, "tell", deep))
    strict = Executor(kit.MACHINES, nesting_max=2)
    assert kit.state_of(kit.apply(strict, entries.log)) == kit.state_of(entries.executor)


# -- time ----------------------------------------------------------------------------------------------


def test_time_is_the_entries_time_and_never_runs_back(entries):
    """Log time is the entries' own."""
    entries.add(NOOP_RECORD, pass_ms=10)
    at = entries.time
    entries.add(NOOP_RECORD, pass_ms=-5)
    assert entries.executor.time == at


@pytest.mark.parametrize("kind", [NOOP, CONFIGURATION, TICK])
def test_entries_without_content_move_index_and_time(entries, kind):
    """No-op, configuration and tick entries move index and time only."""
    entries.add((kind, SNAPSHOT, 0, 0, 0, b""), pass_ms=7)
    assert (entries.executor.applied_index, entries.executor.time) == (1, entries.time)


def test_a_timer_fires_before_the_entry_that_moves_the_time(entries, kit, session, toy):
    """Due means due: the entry that reaches the time sees its effect."""
    entries.command(session, 2, kit.operation(toy, "later", 10, "a"))
    due = entries.time + 10
    assert entries.command(session, 3, kit.operation(toy, "tell", "b"), pass_ms=10) == (errors.OK, 2)
    assert entries.executor.resources[toy].machine.told == [(due, "a"), "b"]


def test_a_timer_never_fires_within_the_entry_that_armed_it(entries, kit, session, toy):
    """A due time lies after its arming entry's time."""
    entries.command(session, 2, kit.operation(toy, "later", -1000, "a"))
    assert entries.executor.resources[toy].machine.told == []
    entries.add(NOOP_RECORD, pass_ms=1)
    assert [word for _, word in entries.executor.resources[toy].machine.told] == ["a"]


def test_timers_armed_by_timers_of_one_entry_keep_an_order(entries, kit, session, toy):
    """Timers fire by (due time, index that armed them, number within it), whatever their arguments are."""
    for sequence, word in ((2, "x"), (3, 7), (4, None), (5, {"a": 1})):
        entries.command(session, sequence, kit.operation(toy, "later", 10, "again", word))
    entries.add(NOOP_RECORD, pass_ms=10)
    entries.add(NOOP_RECORD, pass_ms=10)
    assert [word for _, word in entries.executor.resources[toy].machine.told[4:]] == ["x", 7, None, {"a": 1}]


@pytest.mark.parametrize("due", ["soon", None, 1.5, -1, (1 << 64) - 1])
def test_a_due_time_that_is_no_time_is_the_handlers_error(entries, kit, session, toy, due):
    """What a client sends cannot become a timer that crashes every replica when it is armed."""
    assert entries.command(session, 2, kit.operation(toy, "wrong_timer", due, "fire"))[0] == errors.MACHINE_ERROR
    assert entries.executor.timers.next_due is None


@pytest.mark.parametrize("index", [10**6, (1 << 64) - 1, -1, "x", None])
def test_what_cannot_be_released_is_the_handlers_error(entries, kit, session, toy, index):
    """What a client sends cannot become an index that stops every replica when the log is told."""
    assert entries.command(session, 2, kit.operation(toy, "let_go", index), mode=RELEASE)[0] == errors.MACHINE_ERROR
    assert entries.executor.take_released() == [len(entries.log)]


def test_a_handler_may_release_several_entries(entries, kit, session, toy):
    """Its own among them."""
    kept = [entries.command(session, n, kit.operation(toy, "keep", n), mode=RELEASE)[1] for n in (2, 3)]
    own = len(entries.log) + 1
    entries.command(session, 4, kit.operation(toy, "let_go", *kept, own), mode=RELEASE)
    assert entries.executor.take_released() == [*kept, own]
    assert entries.executor.live_counts() == {toy: 0}


def test_a_timer_cannot_release_the_entry_that_it_fires_before(entries, kit, session, toy):
    """That entry is not applied yet."""
    entries.command(session, 2, kit.operation(toy, "wrong_timer", entries.time, "release_coming"))
    entries.command(session, 3, kit.operation(toy, "keep", 1), mode=RELEASE, pass_ms=5)
    assert entries.executor.take_released() == []
    assert entries.executor.live_counts() == {toy: 1}


def test_a_timer_of_an_unknown_method_is_the_handlers_error(entries, kit, session, toy):
    """...nor one that crashes them when it is due."""
    command = kit.operation(toy, "wrong_timer", entries.time, "nothing")
    assert entries.command(session, 2, command)[0] == errors.MACHINE_ERROR
    assert entries.executor.timers.next_due is None


def test_a_timer_that_raises_is_dropped(entries, kit, session, toy):
    """Nobody waits for a timer: if it raises, its releases and timers are dropped and the index goes on."""
    entries.command(session, 2, kit.operation(toy, "wrong_timer", entries.time, "explode"))
    entries.add(NOOP_RECORD, pass_ms=1000)
    assert entries.executor.applied_index == len(entries.log)


# -- resources -----------------------------------------------------------------------------------------


def test_a_resource_is_named_by_the_index_that_created_it(entries, session, kit):
    """A command's payload names its resource by the index that created it; opening it again finds it."""
    created = entries.open(session, 1, "map", "users")
    entries.add(NOOP_RECORD)
    entries.add((RESOURCE, SNAPSHOT, 2, session, 2, kit.opening("users", "map")))
    results = entries.executor.sessions.get(session).results
    assert [kit.decoded(result) for _, result in results.values()] == [(errors.OK, created)] * 2


def test_a_resource_of_another_type_is_refused(entries, session, kit):
    """WRONG_TYPE: the resource exists and is of another type."""
    entries.open(session, 1, "map", "users")
    entries.open(session, 2, "counter", "users")
    assert kit.decoded(entries.executor.sessions.get(session).results[2][1])[0] == errors.WRONG_TYPE


def test_a_type_that_is_not_installed_ends_it(entries, session):
    """A leader that has it let it in: without it every later state would differ from the others'."""
    with pytest.raises(
        MachineMissing, match="entry 2 needs version 1 of the machine 'no such type', and no version of it"
    ):
        entries.open(session, 1, "no such type")
    assert entries.executor.applied_index == 1


# -- queries -------------------------------------------------------------------------------------------


def query(entries, kit, resource, name, *arguments):
    return kit.decoded(entries.executor.run_query(1, kit.operation(resource, name, *arguments)))


def test_a_query_reads_the_state(entries, kit, session, toy):
    """A query sees every applied command."""
    entries.command(session, 2, kit.operation(toy, "tell", "a"))
    assert query(entries, kit, toy, "words") == (errors.OK, ["a"])


def test_a_query_that_releases_is_an_error_and_releases_nothing(entries, kit, session, toy):
    """Queries cannot release: the query fails, the replica lives, and no other replica could tell."""
    kept = entries.command(session, 2, kit.operation(toy, "keep", 1), mode=RELEASE)[1]
    assert query(entries, kit, toy, "releasing", kept)[0] == errors.MACHINE_ERROR
    entries.command(session, 3, kit.operation(toy, "tell", "a"))
    assert entries.executor.take_released() == []


def test_a_query_that_schedules_is_an_error_and_schedules_nothing(entries, kit, session, toy):
    """A timer that only the leader armed would make it another machine than its followers'."""
    assert query(entries, kit, toy, "scheduling")[0] == errors.MACHINE_ERROR
    entries.command(session, 2, kit.operation(toy, "tell", "a"))
    entries.add(NOOP_RECORD, pass_ms=1000)
    assert entries.executor.resources[toy].machine.told == ["a"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1", errors.BAD_OPERATION),
        (operations.encode([99, "words"]), errors.UNKNOWN_RESOURCE),
        (operations.encode([2, "tell", 1]), errors.UNKNOWN_OPERATION),
        (operations.encode([2, "words", 1]), errors.BAD_OPERATION),
        (operations.encode([2, "releasing", "x"]), errors.BAD_OPERATION),
    ],
)
def test_a_bad_query_is_answered_with_its_code(entries, kit, session, toy, data, code):
    """A query that cannot run is an error to its caller and nothing else."""
    assert kit.decoded(entries.executor.run_query(session, data))[0] == code


# -- equality ------------------------------------------------------------------------------------------


def test_replicas_that_apply_the_same_entries_are_equal(entries, kit, session, toy):
    """Deterministic: the same entries in other portions, decoded or not, give the same state."""
    for sequence in range(2, 30):
        name = ("tell", "keep", "later", "fail_late")[sequence % 4]
        arguments = (sequence,) if name != "later" else (sequence, "again", sequence)
        mode = RELEASE if name in ("keep", "fail_late") else SNAPSHOT
        entries.command(session, sequence, kit.operation(toy, name, *arguments), mode=mode, window=3, pass_ms=3)
    follower = Executor(kit.MACHINES)
    for start in range(0, len(entries.log), 7):
        kit.apply(follower, entries.log[start : start + 7])
    assert kit.state_of(follower) == kit.state_of(entries.executor)


def test_an_operation_that_the_leader_decoded_has_the_same_effect(entries, kit, session, toy):
    """`decoded` spares decoding and changes nothing."""
    data = kit.operation(toy, "tell", [1, b"x", {"a": None}])
    entries.executor.decoded[len(entries.log) + 1] = operations.decode(data)
    entries.command(session, 2, data)
    assert not entries.executor.decoded
    assert kit.state_of(kit.apply(Executor(kit.MACHINES), entries.log)) == kit.state_of(entries.executor)


def test_a_hole_in_the_log_is_noticed(entries, kit):
    """Entries are applied in order, one after the other: anything else stops the replica, with the numbers."""
    with pytest.raises(AssertionError, match="entry 5 after 0"):
        kit.apply(entries.executor, kit.entries_of(5, 1, [(COMMAND, SNAPSHOT, 1, 1, 1, b"")]))


# -- what keeps entries alive, and deleting it ---------------------------------------------------------


def test_live_entries_are_counted(entries, kit, session):
    """Kept by a RELEASE command that took effect, until the machine releases it; failures and SNAPSHOT commands are not."""
    users, hits = entries.open(session, 1, "map", "users"), entries.open(session, 2, "counter", "hits")
    steps = [
        ("put", b"a", b"1"),
        ("put", b"b", b"1"),
        ("put", b"a", b"2"),
        ("put_if_absent", b"a", b"3"),
        ("put", b"c"),
    ]
    for sequence, step in enumerate(steps, 3):
        entries.command(session, sequence, kit.operation(users, *step), mode=RELEASE)
    entries.command(session, 8, kit.operation(hits, "add", 1))
    assert entries.executor.live_counts() == {users: 2, hits: 0}
    assert (entries.executor.resources[users].kept, entries.executor.resources[users].released) == (4, 2)


def test_a_machine_that_never_releases_is_noticed_after_a_while(entries, kit, session, monkeypatch):
    """One that has released anything is not meant."""
    monkeypatch.setattr(resource, "HOARD_MIN", 3)
    toys = [entries.open(session, number, "toy", f"toy {number}") for number in (1, 2)]
    for sequence in range(3, 9):
        entries.command(session, sequence, kit.operation(toys[sequence % 2], "keep", 1), mode=RELEASE)
    assert [found.name for found in entries.executor.resources.values() if found.hoards] == ["toy 1", "toy 2"]
    entries.command(session, 9, kit.operation(toys[0], "let_go", 4), mode=RELEASE)
    assert [found.name for found in entries.executor.resources.values() if found.hoards] == ["toy 2"]


def test_deleting_a_resource_releases_all_its_entries(entries, kit, session):
    """And nobody else's; commands for it are without effect from there on."""
    users, other = entries.open(session, 1, "map", "users"), entries.open(session, 2, "map", "other")
    for sequence in range(3, 9):
        resource = users if sequence % 2 else other
        entries.command(session, sequence, kit.operation(resource, "put", b"%d" % sequence, b"1"), mode=RELEASE)
    entries.executor.delete(entries.executor.resources[users], len(entries.log))
    assert entries.executor.take_released() == [4, 6, 8]
    assert entries.executor.live_counts() == {other: 3}
    code, _ = entries.command(session, 9, kit.operation(users, "put", b"k", b"v"), mode=RELEASE)
    assert code == errors.UNKNOWN_RESOURCE
    assert entries.executor.take_released() == [len(entries.log)]


def test_a_deleted_name_can_be_another_resource(entries, kit, session):
    """Of another type even, and under another index."""
    users = entries.open(session, 1, "map", "users")
    entries.executor.delete(entries.executor.resources[users], len(entries.log))
    again = entries.open(session, 2, "counter", "users")
    assert entries.executor.by_name["users"].index == again != users


def test_a_deleted_resource_fires_no_timer(entries, kit):
    """And its sessions' listeners are told nothing."""
    entries = kit.Entries(registry((*kit.MACHINES.values(), kit.Plain)))
    session = entries.register()
    plain = entries.open(session, 1, "plain")
    entries.command(session, 2, kit.operation(plain, "later", 10))
    machine = entries.executor.resources[plain].machine
    entries.executor.delete(entries.executor.resources[plain], len(entries.log))
    assert entries.executor.timers.next_due is None
    entries.add((UNREGISTER, SNAPSHOT, 0, session, 0, b""), pass_ms=100)
    assert machine.told == 0


def test_a_machine_that_cannot_tell_its_entries_is_not_deleted(entries, session, toy):
    """They would stay in the log for ever."""
    with pytest.raises(CannotDelete, match="a toy does not tell"):
        entries.executor.delete(entries.executor.resources[toy], len(entries.log))
    assert toy in entries.executor.resources


def test_a_capture_has_what_is_deleted_later(entries, kit, session):
    """It is in the snapshot at S, and gone in the next."""
    entries.open(session, 1, "map", "users")
    hits = entries.open(session, 2, "counter", "hits")
    entries.command(session, 3, kit.operation(hits, "add", 5))
    capture = Capture(entries.executor)
    entries.executor.delete(entries.executor.resources[hits], len(entries.log))
    while not capture.step():
        pass
    installed = Executor(kit.MACHINES)
    install_state(installed, capture.index, capture.pieces).finish()
    assert installed.by_name["hits"].machine.value == 5
