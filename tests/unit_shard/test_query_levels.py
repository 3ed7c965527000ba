"""Queries at every level, asked of three real replicas: who answers, after what has been waited for, and who refuses."""

from __future__ import annotations

import msgpack
import pytest
from ocelog.client.protocol import errors, frames, operations
from ocelog.client.protocol.frames import BOUNDED_LINEARIZABLE, CAUSAL, LINEARIZABLE, SEQUENTIAL
from ocelog.shard.local_reads import BEHIND_MS, READING_MS
from ocelog.shard.raft.messages import Append, Heartbeat

from .trio import Trio

LEVELS = (SEQUENTIAL, CAUSAL)


class Readers(Trio):
    """A trio with a leader, a session and a map of one key."""

    def __init__(self, path):
        super().__init__(path)
        self.lead = self.elect()
        self.session = self.register(self.lead)
        body = operations.encode([operations.SHARD, operations.OPEN, "m", "map"])
        self.map = self.commands(self.lead, self.session, 1, body)[0][1]
        self.sequence = 1
        self.put(b"v0")
        self.run(4)

    @property
    def followers(self):
        return [member for member in range(3) if member != self.lead]

    def operation(self, name, *arguments):
        return operations.encode([self.map, name, *arguments])

    def put(self, value):
        """Write the key; returns the log index of the command."""
        self.sequence += 1
        body = frames.pack_parts([self.operation("put", b"\xc4\x01k", value)])
        reply, body = self.ask(self.lead, frames.COMMAND, body, session=self.session, first=self.sequence, count=1)
        return frames.unpack_results(body, reply.count)[0][0]

    def query(self, member, level, **fields):
        """Send one get; returns its request id."""
        body = frames.pack_parts([self.operation("get", b"\xc4\x01k")])
        fields = {"session": self.session, "first": self.sequence, "count": 1, "level": level} | fields
        return self.send(member, frames.QUERY, body, **fields)

    def answer(self, member, request):
        """The answer to a request, if there is one: (code, encoded value, applied index); or a refusal's code and leader."""
        for reply, body in self.answers[member]:
            if reply.request == request:
                if reply.kind == frames.REFUSED:
                    return reply.code, None, reply.leader
                assert reply.kind == frames.ANSWERS
                [result] = frames.unpack_parts(body, 1)
                return (
                    result[0],
                    operations.unpack(result[1:]) if hasattr(operations, "unpack") else result[1:],
                    reply.index,
                )
        return None

    def answered(self, member, request, turns=60):
        """Run until it is answered."""
        for _ in range(turns):
            self.run(1)
            answer = self.answer(member, request)
            if answer is not None:
                return answer
        raise AssertionError("no answer")


@pytest.fixture
def readers(tmp_path):
    return Readers(tmp_path)


# -- SEQUENTIAL and CAUSAL -------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_every_replica_answers_in_the_turn_in_which_it_is_asked(readers, level):
    """Table of levels: SEQUENTIAL and CAUSAL are served by any stateful replica, without a round."""
    for member in range(3):
        request = readers.query(member, level)
        readers.turn(member)
        assert readers.answer(member, request)[0] == errors.OK


@pytest.mark.parametrize("level", LEVELS)
def test_a_query_waits_for_what_its_client_has_seen(readers, level):
    """Applied >= the highest index the client has seen; L2: a session never sees state go back, whoever answers."""
    follower = readers.followers[0]
    readers.cut = {follower}
    index = readers.put(b"v1")
    request = readers.query(follower, level, seen=index)
    readers.turn(follower)
    assert readers.answer(follower, request) is None
    readers.cut = set()
    code, value, applied = readers.answered(follower, request)
    assert (code, applied >= index) == (errors.OK, True)
    assert b"v1" in value


def test_a_sequential_query_waits_for_the_commands_sent_before_it(readers):
    """L2: a session reads its own writes, also before it knows that they were applied; CAUSAL does not wait for them."""
    follower = readers.followers[0]
    waiting = {level: readers.query(follower, level, first=readers.sequence + 1) for level in LEVELS}
    readers.turn(follower)
    assert readers.answer(follower, waiting[CAUSAL])[0] == errors.OK
    assert readers.answer(follower, waiting[SEQUENTIAL]) is None
    readers.put(b"v1")
    assert b"v1" in readers.answered(follower, waiting[SEQUENTIAL])[1]


def test_state_never_goes_back_when_the_replica_changes(readers):
    """L2: `seen` is the index of the last answer, from whomever; the next replica waits until it is as far."""
    fast, slow = readers.followers
    readers.loses = lambda message: message.to == slow
    index = readers.put(b"v1")
    _, value, applied = readers.answered(fast, readers.query(fast, SEQUENTIAL, seen=index))
    request = readers.query(slow, SEQUENTIAL, seen=applied)
    readers.run(2)
    assert readers.answer(slow, request) is None
    readers.loses = lambda message: False
    assert readers.answered(slow, request)[1] == value


def test_a_replica_that_stays_behind_sends_to_the_leader(readers):
    """Still behind after a bounded wait: BEHIND, with the leader and its term."""
    follower = readers.followers[0]
    request = readers.query(follower, SEQUENTIAL, seen=10_000)
    begun = readers.replicas[follower].core.ticks
    assert readers.answered(follower, request, turns=200) == (errors.BEHIND, None, readers.lead)
    assert (readers.replicas[follower].core.ticks - begun) * 50 <= BEHIND_MS + 100


def test_a_replica_that_is_cut_off_sends_to_the_leader(readers):
    """A replica without leader contact for an election timeout answers with the leader it knows, and answers until then."""
    follower = readers.followers[0]
    readers.cut = {follower}
    readers.run(3)
    assert readers.answered(follower, readers.query(follower, SEQUENTIAL))[0] == errors.OK
    waiting = readers.query(follower, SEQUENTIAL, seen=10_000)
    for _ in range(22):
        readers.turn(follower, tick=True)
    assert readers.answer(follower, waiting)[0] in (errors.BEHIND, errors.NO_LEADER, errors.NOT_LEADER)
    code, _, _ = readers.answered(follower, readers.query(follower, SEQUENTIAL))
    assert code in (errors.NO_LEADER, errors.NOT_LEADER)


def test_a_replica_that_has_just_started_knows_no_leader(readers):
    """It may be as far behind as it was long away."""
    follower = readers.followers[0]
    readers.restart(follower)
    request = readers.query(follower, SEQUENTIAL)
    readers.turn(follower)
    assert readers.answer(follower, request)[0] == errors.NO_LEADER


def test_queries_for_the_leader_are_refused_by_others(readers):
    """TO_LEADER is obeyed: the client had a reason."""
    follower = readers.followers[0]
    request = readers.query(follower, SEQUENTIAL, flags=frames.TO_LEADER)
    readers.turn(follower)
    assert readers.answer(follower, request)[::2] == (errors.NOT_LEADER, readers.lead)
    request = readers.query(readers.lead, SEQUENTIAL, flags=frames.TO_LEADER)
    readers.turn(readers.lead)
    assert readers.answer(readers.lead, request)[0] == errors.OK


@pytest.mark.parametrize("level", [LINEARIZABLE, BOUNDED_LINEARIZABLE])
def test_a_follower_answers_no_linearizable_query(readers, level):
    follower = readers.followers[0]
    request = readers.query(follower, level)
    readers.turn(follower)
    assert readers.answer(follower, request)[::2] == (errors.NOT_LEADER, readers.lead)


def test_sessions_that_are_not_open_are_unknown_to_everybody(readers):
    """A session unknown at applied >= its id has ended; one above that may be opened by what is to come."""
    follower = readers.followers[0]
    ended = readers.query(follower, SEQUENTIAL, session=2 if readers.session != 2 else 1)
    wrong = readers.query(follower, SEQUENTIAL, key=b"x" * 16)
    ahead = readers.query(follower, SEQUENTIAL, session=10_000)
    readers.turn(follower)
    assert [readers.answer(follower, request)[0] for request in (ended, wrong)] == [errors.UNKNOWN_SESSION] * 2
    assert readers.answer(follower, ahead) is None


@pytest.mark.parametrize("bound", ["waiting_max", "bytes_max"])
def test_what_waits_is_bounded(readers, bound):
    """Waiting queries are bounded in number and bytes; beyond them BUSY is answered, with a time to come back."""
    follower = readers.followers[0]
    setattr(readers.replicas[follower].local_reads, bound, 1)
    requests = [readers.query(follower, SEQUENTIAL, seen=10_000) for _ in range(2)]
    readers.turn(follower)
    assert readers.answer(follower, requests[0]) is None
    assert readers.answer(follower, requests[1])[0] == errors.BUSY


@pytest.mark.parametrize("fields", [{"level": 7}, {"count": 0}, {"count": 3}])
def test_a_message_that_cannot_be_read_is_refused(readers, fields):
    follower = readers.followers[0]
    request = readers.query(follower, **({"level": SEQUENTIAL} | fields))
    readers.turn(follower)
    assert readers.answer(follower, request)[0] == errors.BAD_MESSAGE


def test_a_traced_query_says_by_which_path_it_was_answered(readers):
    """Receipts: lease, read index, local."""
    paths = []
    for member, level in (
        (readers.followers[0], SEQUENTIAL),
        (readers.lead, BOUNDED_LINEARIZABLE),
        (readers.lead, LINEARIZABLE),
    ):
        request = readers.query(member, level, flags=frames.TRACED)
        readers.run(4)
        kinds = [(reply.kind, body) for reply, body in readers.answers[member] if reply.request == request]
        assert [kind for kind, _ in kinds] == [frames.RECEIPT, frames.ANSWERS]
        receipt = msgpack.unpackb(kinds[0][1])
        assert receipt["replica"] == member
        assert receipt.keys() == {"index", "term", "replica", "path", "queued", "applied"}
        paths.append(receipt["path"])
    assert paths == ["local", "lease", "read index"]


# -- notices of commits ----------------------------------------------------------------------------


def test_where_clients_read_commits_are_told_at_once(readers):
    """The leader tells a new commit index at once where somebody reads, and waits for company elsewhere."""
    reading, silent = readers.followers
    leader = readers.replicas[readers.lead]
    readers.query(reading, SEQUENTIAL)
    readers.run(3)
    told = {reading: 0, silent: 0}
    for message in notices_after_commit(readers):
        told[message.to] += 1
    assert (told[reading], told[silent]) == (1, 0)
    for _ in range(READING_MS // 50 + 3):
        readers.run(3)
    assert not leader.core.progress[reading].reading
    assert notices_after_commit(readers) == []


def notices_after_commit(readers):
    """What a busy leader (`notify=False`) tells alone when a command has committed."""
    leader = readers.replicas[readers.lead]
    readers.sequence += 1
    body = frames.pack_parts([readers.operation("put", b"\xc4\x01k", b"x")])
    readers.send(readers.lead, frames.COMMAND, body, session=readers.session, first=readers.sequence, count=1)
    before, told = leader.core.commit_index, []
    while leader.core.commit_index == before:
        for member in readers.followers:
            readers.turn(member)
        inbox, readers.inboxes[readers.lead] = readers.inboxes[readers.lead], []
        for message in inbox:
            leader.receive_peer(message)
        turn = leader.step(readers.now, readers.now, notify=False, lease_clock_ms=readers.now)
        told += [message for message in turn.messages if isinstance(message, Heartbeat) and not message.round]
        for message in turn.messages:
            readers.inboxes[message.to].append(message)
        if turn.job is not None:
            turn.job.run()
            leader.job_done(turn.job)
    return told


# -- BOUNDED_LINEARIZABLE --------------------------------------------------------------------------


def test_a_bounded_query_costs_no_message(readers):
    """Speed: no extra messages per query. The leader answers in the turn in which it is asked."""
    readers.run(9)
    readers.turn(readers.lead)
    readers.sent.clear()
    for _ in range(50):
        request = readers.query(readers.lead, BOUNDED_LINEARIZABLE)
        readers.turn(readers.lead)
        assert readers.answer(readers.lead, request)[0] == errors.OK
    assert readers.sent == []
    readers.query(readers.lead, LINEARIZABLE)
    readers.turn(readers.lead)
    assert len(readers.sent) == 2, "a round, by comparison"


def test_a_bounded_query_without_a_lease_waits_for_a_round(readers):
    """Without a valid lease it falls back to a read index: never a wrong answer."""
    readers.run(9)
    readers.now += 5000  # the leader was paused
    request = readers.query(readers.lead, BOUNDED_LINEARIZABLE)
    readers.turn(readers.lead)
    readers.turn(readers.lead)
    assert readers.answer(readers.lead, request) is None
    assert readers.answered(readers.lead, request)[0] == errors.OK


def test_a_leader_that_was_replaced_during_a_pause_answers_no_bounded_query(readers):
    """L1, the stale leader: it wakes, believes to lead, and has a query waiting."""
    old = readers.lead
    readers.run(9)
    readers.cut = {old}
    for _ in range(60):
        readers.now += 60
        for member in readers.followers:
            readers.turn(member, tick=True)
    assert readers.leader not in (None, old)
    request = readers.query(old, BOUNDED_LINEARIZABLE)
    readers.turn(old)
    readers.turn(old)
    assert readers.replicas[old].leadership is not None, "it does not know yet"
    assert readers.answer(old, request) is None
    readers.cut = set()
    assert readers.answered(old, request)[0] == errors.NOT_LEADER


def test_a_linearizable_query_never_goes_by_the_lease(readers):
    """The lease rests on clocks; the default level does not."""
    readers.run(9)
    readers.loses = lambda message: not isinstance(message, Append)
    request = readers.query(readers.lead, LINEARIZABLE)
    readers.run(6, ticks=False)
    assert readers.answer(readers.lead, request) is None


def test_a_bounded_query_waits_for_the_commands_sent_before_it(readers):
    """At every level but CAUSAL a query runs after the commands that its session sent before it."""
    readers.run(9)
    request = readers.query(readers.lead, BOUNDED_LINEARIZABLE, first=readers.sequence + 1)
    readers.run(3)
    assert readers.answer(readers.lead, request) is None
    readers.put(b"v1")
    assert b"v1" in readers.answered(readers.lead, request)[1]
