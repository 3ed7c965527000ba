"""The barrier machine alone: never fewer than all pass, all pass at once, and what breaks it."""

from __future__ import annotations

import random

import msgpack
import pytest
from ocelog.client.protocol.errors import DELETED
from ocelog.client.protocol.events import unpack_batch
from ocelog.client.protocol.operations import DELETE, SHARD, encode
from ocelog.log.entry import RESOURCE, SNAPSHOT, UNREGISTER
from ocelog.shard.machines.barrier import PARTIES_MAX, BarrierMachine
from ocelog.shard.testing import check


class Gate:
    """One barrier and four sessions; requests are numbered by the caller."""

    def __init__(self, entries, kit, type_name="barrier"):
        self.entries, self.kit = entries, kit
        self.sessions = [entries.register(key=bytes((97 + n,)) * 16) for n in range(4)]
        self.resource = entries.open(self.sessions[0], 1, type_name)
        self._sequences = dict.fromkeys(self.sessions, 1) | {self.sessions[0]: 2}

    @property
    def machine(self):
        return self.entries.executor.resources[self.resource].machine

    def run(self, who, name, *arguments, pass_ms=0):
        session = self.sessions[who]
        operation = self.kit.operation(self.resource, name, *arguments)
        code, value = self.entries.command(session, self._next(who), operation, pass_ms=pass_ms)
        return value if code == 0 else (code, value)

    def _next(self, who):
        session = self.sessions[who]
        self._sequences[session] += 1
        return self._sequences[session] - 1

    def end(self, who):
        self.entries.add((UNREGISTER, SNAPSHOT, 0, self.sessions[who], 0, b""))

    def delete(self, who):
        payload = encode([SHARD, DELETE, "it"])
        self.entries.add((RESOURCE, SNAPSHOT, 1, self.sessions[who], self._next(who), payload))

    def answers(self, who):
        batches = self.entries.executor.sessions.get(self.sessions[who]).events
        return [event.value for batch in batches for event in unpack_batch(batch.payload)]

    def answer(self, who):
        """The only answer to the only request."""
        ((_, answer),) = self.answers(who)
        return answer

    @property
    def status(self):
        return self.machine.status(None)


@pytest.fixture
def gate(entries, kit):
    return Gate(entries, kit)


def test_nobody_passes_before_all_have_come_and_then_all_do(gate):
    assert [gate.run(who, "wait", 1, None, 3) for who in (0, 1)] == [None, None]
    assert gate.status == [1, 3, 2, False, 0]
    assert gate.answers(0) == gate.answers(1) == []
    assert gate.run(2, "wait", 1, None, 3) == [[1, 2, gate.sessions[2], 1]]
    assert gate.answer(0) == [1, 0, gate.sessions[0], 1]
    assert gate.answer(1) == [1, 1, gate.sessions[1], 1]
    assert gate.status == [2, None, 0, False, 0]
    assert not any(map(gate.machine.watches, gate.sessions))


def test_it_is_used_again_and_counts_the_generations(gate):
    for generation in (1, 2, 3):
        gate.run(0, "wait", generation, None, 2)
        assert gate.run(1, "wait", generation, None, 2)[0][:2] == [generation, 1]
    assert [answer[0] for _, answer in gate.answers(0)] == [1, 2, 3]


def test_one_party_needs_no_other(gate):
    assert gate.run(0, "wait", 1, None, 1) == [[1, 0, gate.sessions[0], 1]]


def test_one_session_may_come_more_than_once(gate):
    assert gate.run(0, "wait", 1, None, 2) is None
    assert gate.run(0, "wait", 2, None, 2)[0][:2] == [1, 1]


def test_who_does_not_want_to_wait_has_not_come(gate):
    assert gate.run(0, "wait", 1, 0, 2) == [None]
    assert gate.status == [1, None, 0, False, 0]
    gate.run(1, "wait", 1, None, 2)
    assert gate.run(0, "wait", 2, 0, 2)[0][:2] == [1, 1]


def test_the_first_says_how_many_and_others_must_agree(gate):
    gate.run(0, "wait", 1, None, 3)
    code, text = gate.run(1, "wait", 1, None, 2)
    assert code and "gathers 3 parties, not 2" in text
    assert gate.status == [1, 3, 1, False, 0]


@pytest.mark.parametrize("parties", [0, -1, PARTIES_MAX + 1])
def test_parties_are_within_bounds(gate, parties):
    code, text = gate.run(0, "wait", 1, None, parties)
    assert code and text.startswith("ValueError")
    assert gate.status == [1, None, 0, False, 0]


def test_a_request_is_made_once(gate):
    gate.run(0, "wait", 1, None, 3)
    assert gate.run(0, "wait", 1, None, 3)[1].startswith("ValueError")
    assert gate.run(0, "leave", 1, None, 1, 1)[1].startswith("ValueError")


# -- breaking ------------------------------------------------------------------------------------------


def test_the_end_of_a_waiting_session_breaks_it_for_all_others(gate):
    gate.run(0, "wait", 1, None, 3)
    gate.run(1, "wait", 1, None, 3)
    gate.end(0)
    assert gate.answer(1) == [1, None, gate.sessions[1], 1]
    assert gate.run(2, "wait", 1, None, 3) == [[1, None, gate.sessions[2], 1]], "it stays broken"
    assert gate.status == [1, None, 0, True, 0]


def test_the_end_of_a_session_that_does_not_wait_breaks_nothing(gate):
    gate.run(0, "wait", 1, None, 2)
    gate.end(3)
    assert gate.run(1, "wait", 1, None, 2)[0][:2] == [1, 1]


def test_who_gives_up_breaks_it_and_is_told_that_its_time_is_over(gate):
    gate.run(0, "wait", 1, 100, 3)
    gate.run(1, "wait", 1, None, 3)
    gate.run(3, "reset", 99, pass_ms=100)
    assert gate.answer(0) is None
    assert gate.answer(1) == [1, None, gate.sessions[1], 1]
    assert gate.machine.broken and not gate.machine.alarms


def test_a_timer_of_an_earlier_generation_breaks_no_later_one(gate):
    """Timers were removed by the index current when they fired: [read]."""
    gate.run(0, "wait", 1, 100, 2)
    gate.run(1, "wait", 1, 50, 2)
    gate.run(0, "wait", 2, 1000, 2, pass_ms=10)
    gate.run(3, "reset", 99, pass_ms=200)
    assert not gate.machine.broken and len(gate.machine.gathering) == 1
    gate.run(3, "reset", 99, pass_ms=800)
    assert gate.machine.broken and gate.answers(0)[-1] == [2, None]


def test_timers_of_those_who_passed_do_not_pile_up(gate):
    for number in range(1, 200):
        gate.run(0, "wait", number, 60_000, 2)
        gate.run(1, "wait", number, 60_000, 2)
    assert len(gate.entries.executor.timers.unowned()) == 1


def test_short_patience_again_and_again_arms_the_timer_of_a_long_one_once(gate):
    for who in range(3):
        gate.run(who, "enter", 1, None, 3)
    gate.run(0, "leave", 2, 10**6, 1, 1)
    for number in range(2, 22):
        gate.run(1, "leave", number, 10, 1, 1, pass_ms=20)
    gate.run(3, "reset", 99, pass_ms=20)
    assert len(gate.answers(1)) >= 20 and len(gate.entries.executor.timers.unowned()) == 1


def test_a_request_that_is_taken_back_breaks_it(gate):
    gate.run(0, "wait", 1, None, 3)
    gate.run(1, "wait", 1, None, 3)
    gate.run(0, "cancel", 1)
    assert gate.answers(0) == [] and gate.answer(1)[1] is None
    gate.run(2, "cancel", 7)
    assert gate.machine.broken


def test_a_request_that_is_taken_back_after_it_passed_breaks_nothing(gate):
    gate.run(0, "wait", 1, None, 2)
    gate.run(1, "wait", 1, None, 2)
    gate.run(0, "cancel", 1)
    assert not gate.machine.broken


def test_a_broken_barrier_is_reset_by_its_generation_once(gate):
    gate.run(0, "wait", 1, None, 3)
    gate.run(1, "wait", 1, None, 3)
    gate.end(0)
    assert gate.run(1, "reset", 1) is True
    gate.run(1, "wait", 2, None, 2)
    assert gate.run(2, "reset", 1) is False, "the second who resets it does not break it again"
    assert gate.run(2, "wait", 1, None, 2)[0][:2] == [2, 1]


def test_a_reset_tells_those_who_wait(gate):
    gate.run(0, "wait", 1, None, 2)
    assert gate.run(1, "reset") is True
    assert gate.answer(0) == [1, None, gate.sessions[0], 1]
    assert gate.status == [2, None, 0, False, 0]
    assert gate.run(1, "reset", "x")[1].startswith("TypeError")


def test_whoever_waits_at_a_barrier_that_is_deleted_is_told(gate):
    gate.run(0, "enter", 1, None, 2)
    gate.run(1, "enter", 1, None, 2)
    gate.run(0, "leave", 2, None, 1, 1)
    gate.run(2, "wait", 1, 100, 2)
    gate.delete(3)
    assert gate.answers(2)[-1][:3] == [1, None, DELETED]
    assert gate.answers(0)[-1][:3] == [2, None, DELETED]
    assert gate.entries.executor.timers.next_due is None


# -- entering and leaving ------------------------------------------------------------------------------


def entered(gate, *parties):
    for who in parties:
        gate.run(who, "enter", 1, None, len(parties))
    assert gate.status[-1] == len(parties)


def test_all_leave_together(gate):
    entered(gate, 0, 1)
    assert gate.run(0, "leave", 2, None, 1, 1) is None
    assert gate.run(1, "leave", 2, None, 1, 1) == [True]
    assert gate.answers(0)[-1] == [2, True]
    assert gate.status == [2, None, 0, False, 0]
    assert not any(map(gate.machine.watches, gate.sessions))


def test_the_end_of_a_session_inside_counts_as_leaving(gate):
    entered(gate, 0, 1)
    gate.run(0, "leave", 2, None, 1, 1)
    gate.end(1)
    assert gate.answers(0)[-1] == [2, True]
    assert not gate.machine.broken


def test_who_does_not_wait_for_the_others_has_left_all_the_same(gate):
    entered(gate, 0, 1, 2)
    assert gate.run(0, "leave", 2, 0, 1, 1) == [None]
    gate.run(1, "leave", 2, 100, 1, 1)
    gate.run(3, "reset", 99, pass_ms=100)
    assert gate.answers(1)[-1] == [2, None]
    assert gate.status[-1] == 1
    assert gate.run(1, "leave", 3, None, 1, 1) is None, "it may be waited for again"
    gate.run(1, "cancel", 3)
    assert gate.run(2, "leave", 2, None, 1, 1) == [True]


def test_nobody_passes_while_somebody_is_inside(gate):
    entered(gate, 0, 1)
    assert gate.run(2, "wait", 1, None, 2) is None
    assert gate.run(3, "wait", 1, None, 2) is None
    gate.run(0, "leave", 2, None, 1, 1)
    assert gate.answers(2) == []
    gate.run(1, "leave", 2, None, 1, 1)
    assert [gate.answer(who)[:2] for who in (2, 3)] == [[2, 0], [2, 1]]


def test_those_who_are_too_many_are_of_the_next_generation(gate):
    entered(gate, 0, 1)
    for number in (1, 2):
        gate.run(2, "enter", number, None, 2)
    for number in (1, 2, 3):
        gate.run(3, "wait", number, None, 2)
    gate.run(0, "leave", 2, None, 1, 1)
    gate.run(1, "leave", 2, None, 1, 1)
    assert [answer[:2] for _, answer in gate.answers(2)] == [[2, 0], [2, 1]]
    assert gate.answers(3) == [] and len(gate.machine.gathering) == 3
    gate.run(2, "leave", 3, 0, 2, 1)
    assert gate.run(2, "leave", 4, None, 2, 2) == [True]
    assert [answer[:2] for _, answer in gate.answers(3)] == [[3, 0], [3, 1]]
    assert gate.status == [4, 2, 1, False, 0]


def test_who_had_entered_when_its_request_is_taken_back_is_out(gate):
    entered(gate, 0, 1)
    gate.run(0, "cancel", 1)
    assert gate.status[-1] == 1
    assert gate.run(1, "leave", 2, None, 1, 1) == [True]


def test_a_leave_of_an_earlier_generation_waits_for_nobody(gate):
    entered(gate, 0, 1)
    gate.run(0, "leave", 2, 0, 1, 1)
    gate.run(1, "leave", 2, 0, 1, 1)
    gate.run(2, "enter", 1, None, 1)
    assert gate.run(0, "leave", 3, None, 1, 1) == [True]
    assert gate.status[-1] == 1


def test_a_reset_leaves_alone_who_is_inside(gate):
    entered(gate, 0, 1)
    gate.run(2, "reset")
    assert gate.status == [3, None, 0, False, 2]
    assert gate.run(2, "wait", 1, 0, 1) == [None]


# -- the state -----------------------------------------------------------------------------------------


def test_a_snapshot_is_the_whole_state(gate):
    entered(gate, 0, 1)
    gate.run(0, "leave", 2, 500, 1, 1)
    gate.run(2, "enter", 1, 300, 2)
    gate.run(3, "wait", 1, None, 2)
    state = msgpack.unpackb(msgpack.packb(gate.machine.snapshot()))
    other = BarrierMachine()
    other.install(state)
    assert other.snapshot() == gate.machine.snapshot() == state


@pytest.mark.parametrize(
    "state",
    [
        [1, None, False, [], 0, [], [], None, None],
        ["1", None, False, [], 0, [], [], None],
        [1, None, 0, [], 0, [], [], None],
        [1, 2, False, [], 0, [], [], None],
        [1, None, False, [[1, 1, 1, [None, False]]], 0, [], [], None],
        [1, 2, True, [[1, 1, 1, [None, False]]], 0, [], [], None],
        [2, None, False, [], 1, [], [], None],
        [2, None, False, [], 0, [[1, 1]], [], None],
        [2, None, False, [], 1, [[1, "x"]], [], None],
        [2, None, False, [], 0, [], [[1, 1, 1, None]], None],
        [1, None, False, [], 0, [], [], "soon"],
    ],
)
def test_what_no_snapshot_returned_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        BarrierMachine().install(state)


@pytest.mark.parametrize("seed", range(5))
def test_in_no_history_fewer_than_all_pass(entries, kit, seed):
    """Each generation that passed did so with as many as it gathered, by one entry, each place taken once, nobody inside."""
    gate, drawn = Gate(entries, kit), random.Random(seed)
    passed, seen, alive = {}, dict.fromkeys(range(4), 0), list(range(4))
    for number in range(1, 500):
        generation, parties, _, broken, inside = gate.status
        who, wait_ms = drawn.choice(alive), drawn.choice((None, None, 0, 5))
        step = "reset" if broken else drawn.choices(("wait", "enter", "cancel", "reset"), (30, 15, 1, 1))[0]
        if inside and drawn.random() < 0.5:
            session = drawn.choice(sorted(gate.machine.inside))
            who, entered = gate.sessions.index(session), drawn.choice(list(gate.machine.inside[session]))
            found = gate.run(who, "leave", number, wait_ms, gate.machine.inside_generation, entered)
        elif step in ("wait", "enter"):
            parties = parties or drawn.choice((2, 3))
            found = gate.run(who, step, number, wait_ms, parties, pass_ms=drawn.choice((0, 0, 1, 2)))
        else:
            found = gate.run(who, step, *((drawn.randrange(1, number),) if step == "cancel" else ()))
        answers = [found[0]] if type(found) is list else []
        for other in alive:
            new = gate.answers(other)[seen[other] :]
            seen[other] += len(new)
            answers += [answer for _, answer in new]
        places = sorted(answer for answer in answers if type(answer) is list and answer[1] is not None)
        for several in (places[start : start + parties] for start in range(0, len(places), parties or 1)):
            assert len(several) == parties and len({answer[0] for answer in several}) == 1
            assert sorted(answer[1] for answer in several) == list(range(parties))
            assert several[0][0] not in passed and several[0][0] >= generation
            passed[several[0][0]] = number
        if number == 300:
            gate.end(alive.pop())
    assert len(passed) > 50


def test_a_rebuilt_barrier_has_those_inside_in_their_order():
    """Of one session too, and whatever the numbers of its requests: else replicas differ, though in nothing that shows."""
    check(BarrierMachine, [("enter", 2, None, 2), ("enter", 1, None, 2)])
