"""Versions of machines: which is in force, switching as a committed step, and replicas that lack what the log needs."""

from __future__ import annotations

import re

import pytest
from ocelog.client.protocol import errors, frames, operations
from ocelog.client.protocol.admin import SNAPSHOT as SNAPSHOT_REQUEST
from ocelog.client.protocol.admin import AdminRequest
from ocelog.log.entry import RESOURCE
from ocelog.shard.errors import MachineMissing
from ocelog.shard.machines.base import RELEASE, SNAPSHOT, MachineDefinitionError, StateMachine, command, query
from ocelog.shard.machines.installed import Machines
from ocelog.shard.machines.registry import BUILT_IN, registry
from ocelog.shard.raft.messages import LEADER

from .trio import Trio


class Tally(StateMachine):
    """Adds up, notes words in live entries, and rings a bell later."""

    type_name = "tally"

    def __init__(self):
        super().__init__()
        self.total = 0
        self.words = {}
        self.rung = 0

    @command(mode=SNAPSHOT)
    def add(self, commit, number: int):
        self.total += number
        return self.total

    @command(mode=RELEASE)
    def note(self, commit, word: str):
        self.words[commit.index] = word

    @command(mode=SNAPSHOT)
    def ring_later(self, commit, in_ms: int):
        self.schedule(commit.time + in_ms, "ring")

    def ring(self, commit):
        self.rung += 1

    @query
    def status(self, commit):
        return [self.version, self.total, list(self.words.values()), self.rung]

    def live_entries(self):
        return self.words

    def snapshot(self):
        return [self.total, self.rung]

    def install(self, state):
        self.total, self.rung = state


class TallyTwo(Tally):
    """Counts twofold from here on."""

    version = 2

    @command(mode=SNAPSHOT)
    def add(self, commit, number: int):
        self.total += 2 * number
        return self.total


class Mute(StateMachine):
    """A tally whose version 3 can do nothing that the others can."""

    type_name = "tally"
    version = 3

    def __init__(self):
        super().__init__()
        self.total = 0

    @command(mode=SNAPSHOT)
    def nothing(self, commit):
        pass

    def snapshot(self):
        return self.total

    def install(self, state):
        self.total = state


class Changed(Tally):
    """Keeps in its snapshot what it kept in entries."""

    version = 4

    @command(mode=SNAPSHOT)
    def note(self, commit, word: str):
        self.words[commit.index] = word


class Refusing(Tally):
    """Does not want to."""

    version = 5

    def upgrade(self, previous):
        raise ValueError(f"not from {previous.total}")


class Stateless(StateMachine):
    """Has no snapshot any more."""

    type_name = "tally"
    version = 6


class Wordy(Tally):
    """Wants to be told more with each word, also by entries that are there already."""

    version = 7

    @command(mode=RELEASE)
    def note(self, commit, word: str, language: str):
        self.words[commit.index] = word


class WordyWithCare(Tally):
    """The same, and knows the old entries."""

    version = 8

    @command(mode=RELEASE)
    def note(self, commit, word: str, language: str):
        self.words[commit.index] = word

    @note.restore
    def _restore_note(self, commit, word, language="en"):
        self.words[commit.index] = word


ONE = registry((*BUILT_IN, Tally))
BOTH = registry((*BUILT_IN, Tally, TallyTwo))
ALL = registry((*BUILT_IN, Tally, TallyTwo, Mute, Changed, Refusing, Stateless, Wordy, WordyWithCare))
TINY = {"segment_bytes_max": 4096, "compaction": {"enabled": 0, "digest_entries": 50}}


class Unmakeable(Tally):
    """Cannot be made at all."""

    type_name = "unmakeable"

    def __init__(self):
        raise OSError("no such file")


class TallyUnmakeable(Unmakeable):
    """Nor can a version of the tally."""

    type_name = "tally"
    version = 9


class Shard:
    """One executor with a session and a tally."""

    def __init__(self, kit, machines=ALL):
        self.kit = kit
        self.entries = kit.Entries(machines)
        self.session = self.entries.register()
        self.sequence = 1
        self.tally = self.entries.open(self.session, 1, "tally")

    @property
    def executor(self):
        return self.entries.executor

    def run(self, name, *arguments, mode=SNAPSHOT, pass_ms=0):
        self.sequence += 1
        data = self.kit.operation(self.tally, name, *arguments)
        return self.entries.command(self.session, self.sequence, data, mode=mode, pass_ms=pass_ms)

    def switch(self, version, type_name="tally"):
        self.sequence += 1
        payload = operations.encode([operations.SHARD, operations.SWITCH, type_name, version])
        self.entries.add((RESOURCE, SNAPSHOT, 1, self.session, self.sequence, payload))
        return self.kit.decoded(self.executor.sessions.get(self.session).results[self.sequence][1])

    def status(self):
        return self.kit.decoded(self.executor.run_query(1, self.kit.operation(self.tally, "status")))[1]


@pytest.fixture
def shard(kit):
    return Shard(kit)


# -- what is installed ---------------------------------------------------------------------------------


def test_classes_are_found_by_type_and_version():
    assert ALL["tally"] is Tally, "the lowest"
    assert (ALL.find("tally", 2), ALL.find("tally", 9), ALL.find("x", 1)) == (TallyTwo, None, None)
    assert (ALL.versions("tally"), ALL.versions("x")) == ([1, 2, 3, 4, 5, 6, 7, 8], [])


def test_two_classes_of_one_type_and_version_are_refused():
    class Again(TallyTwo):
        pass

    with pytest.raises(ValueError, match="two machines are called 'tally' in version 2"):
        Machines([Tally, TallyTwo, Again])


def test_upgrade_is_no_operation():
    with pytest.raises(MachineDefinitionError, match="upgrade means something else"):

        class Wrong(StateMachine):
            @command(mode=SNAPSHOT)
            def upgrade(self, commit):
                pass

            def snapshot(self):
                pass

            def install(self, state):
                pass


# -- which is in force ---------------------------------------------------------------------------------


def test_the_first_opening_puts_the_leaders_version_in_force(kit):
    """The lowest that it has, so that an upgrade may begin with any replica."""
    for machines, version in ((BOTH, 1), (registry((TallyTwo,)), 2)):
        desk = kit.Desk(machines=machines)
        session = desk.register()
        tally = desk.open(session, 1, "tally")
        desk.query(session, kit.operation(tally, "status"), after=1)
        (answer,) = desk.turn()
        assert answer.values == [[version, 0, [], 0]]
        assert desk.executor.active == {"tally": version}


def test_later_openings_have_the_version_in_force(kit, shard):
    assert shard.switch(2) == (errors.OK, 2)
    shard.sequence += 1
    other = shard.entries.open(shard.session, shard.sequence, "tally", "other")
    assert shard.executor.resources[other].version == 2


def test_a_client_cannot_choose_a_version(kit):
    desk = kit.Desk(machines=BOTH)
    session = desk.register()
    desk.commands(session, 1, operations.encode([0, "open", "it", "tally", 2]))
    (answer,) = desk.turn()
    assert answer.results[0][0] == errors.UNKNOWN_OPERATION


def test_a_machine_that_cannot_be_made_ends_no_replica(kit):
    """The opening is committed: raised on, it would end every replica, and again whenever one starts."""
    shard = Shard(kit, Machines((Tally, Unmakeable)))
    shard.sequence += 1
    shard.entries.open(shard.session, shard.sequence, "unmakeable", "other")
    results = shard.executor.sessions.get(shard.session).results
    assert kit.decoded(results[shard.sequence][1]) == (errors.MACHINE_ERROR, "OSError: no such file")
    assert shard.executor.active == {"tally": 1}
    assert "other" not in shard.executor.by_name
    assert shard.run("add", 2) == (errors.OK, 2)


# -- switching -----------------------------------------------------------------------------------------


def test_a_version_that_cannot_be_made_is_refused(kit):
    shard = Shard(kit, Machines((Tally, TallyUnmakeable)))
    code, said = shard.switch(9)
    assert (code, "OSError: no such file" in said) == (errors.MACHINE_ERROR, True)
    assert (shard.executor.active, shard.status()[0]) == ({"tally": 1}, 1)


def test_the_state_goes_on_under_the_other_version(shard):
    shard.run("add", 3)
    shard.run("note", "word", mode=RELEASE)
    assert shard.status() == [1, 3, ["word"], 0]
    assert shard.switch(2) == (errors.OK, 2)
    assert shard.status() == [2, 3, ["word"], 0]
    assert shard.run("add", 3) == (errors.OK, 9)
    assert shard.switch(2) == (errors.OK, 2), "said twice it changes nothing"
    assert shard.switch(1) == (errors.OK, 1), "and back"
    assert shard.run("add", 1) == (errors.OK, 10)


def test_timers_go_on_under_the_other_version(shard):
    shard.run("ring_later", 100)
    shard.switch(2)
    shard.run("add", 0, pass_ms=200)
    assert shard.status() == [2, 0, [], 1]


@pytest.mark.parametrize(
    ("before", "version", "why"),
    [
        ([("note", ("w",), RELEASE)], 3, "version 3 has no note, and entries of 'it' are live"),
        ([("ring_later", (100,), SNAPSHOT)], 3, "version 3 has no method ring, for which 'it' has set a timer"),
        (
            [("note", ("w",), RELEASE)],
            7,
            "note in version 7 does not restore what it took before, and entries of 'it' are",
        ),
        ([], 4, "note has another mode in version 4"),
        ([], 5, "upgrade.. of 'it': ValueError: not from 0"),
        ([], 6, "version 6 has no snapshot, and the state of 'it' is in one"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(shard, before, version, why):
    for name, arguments, mode in before:
        shard.run(name, *arguments, mode=mode)
    state = shard.kit.state_of(shard.executor)["resources"]
    code, text = shard.switch(version)
    assert code == errors.MACHINE_ERROR
    assert text.startswith("CannotSwitch: ")
    assert re.search(why, text), text
    assert shard.kit.state_of(shard.executor)["resources"] == state
    assert shard.executor.active == {"tally": 1}


def test_without_live_entries_or_timers_commands_may_go(shard):
    assert shard.switch(3) == (errors.OK, 3)
    code, text = shard.run("add", 1)
    assert (code, text) == (errors.UNKNOWN_OPERATION, "a tally has no command 'add'")


def test_commands_may_take_other_arguments_if_nothing_is_live_or_it_can_be_restored(kit, shard):
    assert shard.switch(7) == (errors.OK, 7), "nothing is live"
    other = Shard(kit)
    other.run("note", "w", mode=RELEASE)
    assert other.switch(8) == (errors.OK, 8)
    assert other.switch(7)[0] == errors.MACHINE_ERROR, "it may be an entry of version 1 that is live"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tally", 9), errors.UNKNOWN_TYPE, "version 9 of 'tally' is not installed here, but 1, 2"),
        (("teapot", 1), errors.UNKNOWN_TYPE, "no machine of type 'teapot' is installed"),
        (("tally", "2"), errors.BAD_OPERATION, "switch takes a type, a string, and a version, an integer"),
        (("tally",), errors.UNKNOWN_OPERATION, "the shard has no command 'switch' of 3 items"),
    ],
)
def test_a_leader_asks_nobody_for_what_it_has_not(kit, arguments, code, said):
    desk = kit.Desk(machines=BOTH)
    session = desk.register()
    desk.commands(session, 1, operations.encode([operations.SHARD, operations.SWITCH, *arguments]))
    (answer,) = desk.turn()
    assert answer.results == [(code, said)]


def test_which_are_there_and_in_force_can_be_asked(kit):
    desk = kit.Desk(machines=registry((Tally, TallyTwo)))
    session = desk.register()
    ask = operations.encode([operations.SHARD, operations.MACHINES])
    desk.query(session, ask)
    assert desk.turn()[0].values == [[["tally", None, [1, 2]]]]
    desk.open(session, 1, "tally")
    desk.query(session, ask, after=1)
    assert desk.turn()[0].values == [[["tally", 1, [1, 2]]]]


# -- whole replicas ------------------------------------------------------------------------------------


class Story:
    """Three replicas, and a session at whoever leads."""

    def __init__(self, trio, kit):
        self.trio, self.kit = trio, kit
        self.leader = trio.elect()
        self.session = trio.register(self.leader)
        self.sequence = 0

    def run(self, *parts):
        first = self.sequence + 1
        self.sequence += len(parts)
        return self.trio.commands(self.leader, self.session, first, *parts)

    def shard_command(self, *parts):
        return self.run(operations.encode([operations.SHARD, *parts]))

    def states(self):
        return [self.kit.state_of(replica.executor) for replica in self.trio.replicas if replica.state.usable]


@pytest.fixture
def trio(tmp_path):
    return Trio(tmp_path, **TINY, machines={0: ONE, 1: ONE, 2: ONE})


def open_tally(story):
    return story.run(story.kit.opening("t", "tally"))[0][1]


def test_a_rolling_upgrade(trio, kit):
    """Each replica is restarted with both versions, then the switch; it survives snapshots, restarts and the end of version 1."""
    story = Story(trio, kit)
    tally = open_tally(story)
    story.run(kit.operation(tally, "add", 5), kit.operation(tally, "note", "w"))
    for member in range(3):
        trio.machines[member] = BOTH
        trio.restart(member)
        trio.run(150)
    story.leader = trio.elect()
    assert story.shard_command(operations.SWITCH, "tally", 2) == [(errors.OK, 2)]
    assert story.run(kit.operation(tally, "add", 5)) == [(errors.OK, 15)]
    for member in range(3):
        trio.replicas[member].administer(AdminRequest(SNAPSHOT_REQUEST))
    trio.run(60)
    assert all(replica.log.snapshot_index > tally for replica in trio.replicas)
    for member in range(3):
        trio.machines[member] = registry((*BUILT_IN, TallyTwo))
        trio.restart(member)
    trio.run(200)
    first, second, third = story.states()
    assert first == second == third
    story.leader = trio.elect()
    assert story.run(kit.operation(tally, "add", 1)) == [(errors.OK, 17)]


def test_a_replica_that_lacks_a_version_stops_there_and_the_others_go_on(trio, kit):
    """It keeps the log and votes, answers no query, takes no snapshot; with the version it goes on where it was."""
    story = Story(trio, kit)
    tally = open_tally(story)
    behind = next(member for member in range(3) if member != story.leader)
    for member in range(3):
        if member != behind:
            trio.machines[member] = BOTH
            trio.restart(member)
            trio.run(150)
    story.leader = trio.elect() if trio.leader != behind else _another_leader(trio, behind)
    assert story.shard_command(operations.SWITCH, "tally", 2) == [(errors.OK, 2)]
    assert story.run(kit.operation(tally, "add", 4)) == [(errors.OK, 8)]
    trio.run(20)
    replica = trio.replicas[behind]
    assert not replica.state.usable
    assert "needs version 2 of the machine 'tally', and version 1 of it is installed here" in str(replica.state.missing)
    assert replica.status()["missing_machine"] == str(replica.state.missing)
    assert replica.administer(AdminRequest(SNAPSHOT_REQUEST)) == {
        "shard": 0,
        "replica": behind,
        "ok": False,
        "reason": str(replica.state.missing),
    }
    assert replica.log.last_index == trio.replicas[story.leader].log.last_index, "it keeps the log like any other"
    reply, _ = trio.ask(
        behind,
        frames.QUERY,
        frames.pack_parts([kit.operation(tally, "status")]),
        count=1,
        session=story.session,
        level=2,
    )
    assert (reply.kind, reply.code) == (frames.REFUSED, errors.BEHIND)
    trio.machines[behind] = BOTH
    trio.restart(behind)
    trio.run(100)
    first, second, third = story.states()
    assert first == second == third


def _another_leader(trio, not_this):
    trio.cut.add(not_this)
    leader = trio.elect()
    trio.cut.clear()
    trio.run(60)
    return leader


def test_a_replica_that_lacks_a_machine_does_not_lead_also_when_it_is_asked_to(trio, kit):
    """Its log is as long as any other; if it led, nothing could be answered."""
    for member in (0, 1):
        trio.restart(member)
    trio.machines[2] = registry()
    trio.restart(2)
    story = Story(trio, kit)
    if story.leader == 2:
        story.leader = _another_leader(trio, 2)
        story.session, story.sequence = trio.register(story.leader), 0
    tally = open_tally(story)
    trio.run(20)
    assert trio.replicas[2].state.missing is not None
    for _ in range(3):
        trio.replicas[story.leader].core.transfer(2)
        trio.run(100)
        assert trio.replicas[2].core.role is not LEADER
    trio.cut.add(story.leader)
    trio.run(600)
    other = next(member for member in (0, 1) if member != story.leader)
    assert trio.leader == other
    trio.cut.clear()
    story.leader = other
    trio.run(100)
    assert story.run(kit.operation(tally, "add", 1)) == [(errors.OK, 1)]


def test_a_leader_that_lacks_what_an_earlier_one_logged_steps_down(trio, kit):
    """It notices when it applies the entry, perhaps only after it was elected."""
    story = Story(trio, kit)
    open_tally(story)
    lacking = story.leader
    replica = trio.replicas[lacking]
    replica.state.missing = MachineMissing("tally", 2, [1], index=9)
    trio.run(10)
    assert replica.core.role is not LEADER
    trio.run(200)
    assert trio.leader not in (None, lacking)


def test_a_snapshot_with_a_version_that_is_missing_stops_it_at_the_start(trio, kit):
    """Also when the entry that switched is gone."""
    story = Story(trio, kit)
    tally = open_tally(story)
    story.run(kit.operation(tally, "add", 1))
    trio.replicas[0].administer(AdminRequest(SNAPSHOT_REQUEST))
    trio.run(60)
    trio.machines[0] = registry()
    trio.restart(0)
    trio.run(60)
    missing = trio.replicas[0].state.missing
    assert missing is not None
    assert (missing.type_name, missing.version, missing.index) == ("tally", 1, tally)
