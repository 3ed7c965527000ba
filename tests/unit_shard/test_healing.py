"""Damaged entries are fetched from peers, one by one, wherever they are found; nothing damaged is applied, sent or kept."""

from __future__ import annotations

from zlib import crc32

import pytest
from ocelog.client.protocol.admin import COMPACT, AdminRequest
from ocelog.log.checksums import EntryCopier
from ocelog.log.errors import Corruption
from ocelog.shard.healing import ASK_TICKS, ASKED_MAX, OneEntry
from ocelog.shard.neighbours import EntryAnswer, EntryQuery
from ocelog.shard.raft.messages import Append
from ocelog.shard.scrub import Scrub
from ocelog.shard.transfers import Part

from .test_replica_compaction import TINY, Load, compact, settle, states
from .trio import Trio


@pytest.fixture
def trio(tmp_path):
    return Trio(tmp_path, **TINY)


def damage(log, index):
    """Flip a bit in the payload of an entry that is there."""
    segment = log._segments.of(index)
    segment.buffer[segment.offset_of(index) + 60] ^= 4


def flip_on_disk(trio, member, index):
    """Flip a bit of an entry in the files of a member that is down, by way of the log that it had open."""
    log = trio.replicas[member].log
    damage(log, index)
    log._segments.of(index).file.sync()


def follower_of(load):
    return (load.leader + 1) % 3


def command_above(log, index):
    """A command entry at or above an index."""
    return next(i for i in range(index, log.last_index + 1) if log.entry(i).kind == 8)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_member_that_starts_with_a_damaged_entry_gets_it_from_its_peers(trio, kit, compacted):
    """In the part that is applied again, and among the live entries of a snapshot."""
    load = Load(trio, kit)
    load.overwrite(6, keys=6)
    load.overwrite(60)
    member = follower_of(load)
    if compacted:
        compact(trio, member)
    trio.run(20)
    log = trio.replicas[member].log
    index = int(log.snapshot.live[0]) if compacted else command_above(log, 20)
    flip_on_disk(trio, member, index)
    trio.restart(member)
    settle(trio, 100)
    replica = trio.replicas[member]
    assert (replica.healing.healed, replica.healing.waiting_for, replica.rebuilding) == (1, [], False)
    assert replica.log.entry(index).index == index
    first, second, third = states(trio, kit)
    assert first == second == third


def test_nothing_damaged_is_applied_while_no_peer_answers(trio, kit):
    load = Load(trio, kit)
    load.overwrite(60)
    trio.run(20)
    member = follower_of(load)
    index = command_above(trio.replicas[member].log, 20)
    flip_on_disk(trio, member, index)
    trio.restart(member)
    trio.cut = {member}
    trio.run(60)
    assert trio.replicas[member].executor.applied_index < index
    trio.cut = set()
    settle(trio, 100)
    assert trio.replicas[member].executor.applied_index == trio.replicas[load.leader].executor.applied_index


def test_a_leader_does_not_send_an_entry_that_is_damaged(trio, kit):
    """It asks for the entry first; what reaches the others is sound."""
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    behind = follower_of(load)
    trio.cut = {behind}
    load.overwrite(40)
    trio.run(20)
    other = 3 - load.leader - behind
    # The others start again, so that what they send comes out of files; one of the two will lead.
    for member, above in ((load.leader, 70), (other, 80)):
        flip_on_disk(trio, member, command_above(trio.replicas[member].log, above))
        trio.restart(member)
    trio.elect()
    trio.cut = set()
    settle(trio, 200)
    first, second, third = states(trio, kit)
    assert first == second == third
    assert sum(replica.healing.healed for replica in trio.replicas) == 2


def test_a_leader_does_not_send_what_rotted_since_it_wrote_it(trio, kit):
    """It wrote the entry itself, which is no reason to believe the disk that it comes back from."""
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    behind = follower_of(load)
    trio.cut = {behind}
    load.overwrite(40)
    trio.run(20)
    leader = trio.replicas[load.leader]
    index = command_above(leader.log, 70)
    damage(leader.log, index)
    trio.cut = set()
    settle(trio, 200)
    assert leader.healing.healed == 1
    assert trio.replicas[behind].log.entry(index).index == index
    first, second, third = states(trio, kit)
    assert first == second == third


@pytest.mark.parametrize("entries", [1, 30])
def test_a_damaged_entry_is_not_taken_from_a_leader(trio, kit, entries):
    """What rotted in the leader's memory has a message around it whose checksum fits."""
    load = Load(trio, kit)
    load.overwrite(5)
    trio.run(20)
    member = follower_of(load)
    damaged = []

    def rot(message):
        carries = isinstance(message, Append) and message.last_index > message.prev_index
        if carries and message.to == member and len(damaged) < 3:
            data = bytearray(message.entries.data)
            data[60] ^= 4
            message.entries = Part(bytes(data), message.entries.sizes)
            damaged.append(message)
        return False

    trio.loses = rot
    load.run(*[kit.operation(load.map, "put", b"key", bytes(120)) for _ in range(entries)])
    settle(trio, 200)
    log = trio.replicas[member].log
    assert len(damaged) == 3
    assert log.last_index == trio.replicas[load.leader].log.last_index
    for index in range(1, log.last_index + 1):
        assert log.entry(index).index == index
    first, second, third = states(trio, kit)
    assert first == second == third


@pytest.mark.parametrize("answered", [False, True])
def test_a_damaged_entry_that_an_install_takes_away_is_not_waited_for(trio, kit, answered):
    """No peer has it any more; giving up would mean setting aside a log that is sound."""
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    member = follower_of(load)
    trio.cut = {member}
    replica = trio.replicas[member]
    index = command_above(replica.log, 20)
    copy = replica.log.entry_bytes(index)
    damage(replica.log, index)
    replica.healing.want(Corruption("segment", "by a test", index=index))
    load.overwrite(40)
    for each in range(3):
        if each != member:
            compact(trio, each)
    trio.cut = set()
    trio.loses = lambda message: isinstance(message, EntryAnswer)
    asked_at = replica.core.ticks
    while replica.rebuilding or replica.log.dense_index < index:
        trio.run(1)
    compact(trio, member)  # what an install keeps of a member's own entries may be dead
    assert not replica.log.has(index)
    if answered:
        replica.receive_peer(EntryAnswer(term=1, sender=load.leader, to=member, index=index, entries=OneEntry(copy)))
    trio.run(3 * ASK_TICKS * ASKED_MAX + 100)
    assert replica.core.ticks - asked_at > ASK_TICKS * ASKED_MAX
    assert replica.healing.waiting_for == []


def test_a_member_that_is_cut_off_does_not_give_up(trio, kit):
    """It waits for a leader, however long: two members that give up what they have are a majority."""
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    member = follower_of(load)
    trio.cut = {member}
    replica = trio.replicas[member]
    index = command_above(replica.log, 20)
    damage(replica.log, index)
    replica.healing.want(Corruption("segment", "by a test", index=index))
    trio.run(3 * ASK_TICKS * ASKED_MAX + 100)
    assert replica.healing.waiting_for == [index]
    trio.cut = set()
    settle(trio, 100)
    assert replica.healing.healed == 1


def test_a_member_whose_peers_do_not_have_the_entry_gives_up(trio, kit):
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    replica = trio.replicas[follower_of(load)]
    index = command_above(replica.log, 20)
    damage(replica.log, index)
    replica.healing.want(Corruption("segment", "by a test", index=index))
    trio.loses = lambda message: isinstance(message, EntryQuery)
    with pytest.raises(Corruption, match="by a test"):
        trio.run(3 * ASK_TICKS * ASKED_MAX + 100)


def test_the_same_entry_damaged_at_two_members_waits_for_the_third(trio, kit):
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    pair = [load.leader, follower_of(load)]
    third = 3 - sum(pair)
    trio.cut = {third}
    index = command_above(trio.replicas[load.leader].log, 20)
    for member in pair:
        damage(trio.replicas[member].log, index)
        trio.replicas[member].healing.want(Corruption("segment", "by a test", index=index))
    trio.run(3 * ASK_TICKS * ASKED_MAX + 100)
    trio.cut = set()
    settle(trio, 100)
    assert [trio.replicas[member].healing.healed for member in pair] == [1, 1]


def test_an_answer_of_another_term_is_not_believed(trio, kit):
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    member = follower_of(load)
    replica = trio.replicas[member]
    index = command_above(replica.log, 20)
    other = bytearray(replica.log.entry_bytes(index))
    other[16] += 1  # the term
    other[:4] = crc32(other[4 : 48 + int.from_bytes(other[4:8], "little")]).to_bytes(4, "little")
    damage(replica.log, index)
    replica.healing.want(Corruption("segment", "by a test", index=index))
    answer = EntryAnswer(term=1, sender=load.leader, to=member, index=index, entries=OneEntry(bytes(other)))
    replica.receive_peer(answer)
    assert replica.healing.waiting_for == [index]
    settle(trio)
    assert replica.healing.healed == 1


def test_the_scrub_finds_what_nobody_reads(tmp_path, kit):
    trio = Trio(tmp_path, segment_bytes_max=4096, compaction=TINY["compaction"] | {"scrub_interval_ms": 100})
    load = Load(trio, kit)
    load.overwrite(60)
    settle(trio)
    replica = trio.replicas[follower_of(load)]
    index = command_above(replica.log, 10)
    damage(replica.log, index)
    settle(trio, 200)
    assert replica.healing.healed == 1
    assert replica.log.entry(index).index == index
    assert replica.housekeeping.scrub.segments_read > 3


def test_a_segment_that_is_cut_while_it_is_read_again_is_not_damaged(trio, kit, monkeypatch):
    """By an install, or by truncation where entries of an older term fill a segment."""
    load = Load(trio, kit)
    load.overwrite(60)
    log = trio.replicas[load.leader].log
    scrub = Scrub(log, 1)
    scrub.tick()
    job = scrub.next_job()
    copy = EntryCopier.copy

    def cut_first(copier, segment, rows):
        log._segments[0].cut(log._segments[0].first_index + 1)
        return copy(copier, segment, rows)

    monkeypatch.setattr(EntryCopier, "copy", cut_first)
    job.run()
    assert (job.damage, scrub.done(job), scrub.segments_read) == (None, None, 1)


def test_a_dead_entry_that_is_damaged_goes_with_the_next_compaction(trio, kit):
    load = Load(trio, kit)
    load.overwrite(6, keys=6)
    load.overwrite(60)
    member = follower_of(load)
    compact(trio, member)
    replica = trio.replicas[member]
    index = int(replica.log.snapshot.live[0])
    assert index <= replica.log.dense_index
    load.overwrite(6, keys=6)  # what lived is overwritten, and not removed yet
    trio.run(20)
    assert (replica.log.has(index), replica.log.is_needed(index)) == (True, False)
    damage(replica.log, index)
    replica.healing.want(Corruption("segment", "by a test", index=index))
    settle(trio, 100)
    assert (replica.healing.healed, replica.log.has(index)) == (0, False)


def test_the_compactor_does_not_keep_a_damaged_entry(trio, kit):
    load = Load(trio, kit)
    load.overwrite(6, keys=6)
    load.overwrite(60)
    trio.run(20)
    member = follower_of(load)
    replica = trio.replicas[member]
    index = next(int(i) for i in replica.log.live_indexes() if replica.log.entry(int(i)).mode == 1)
    assert index <= replica.log.sealed_through(replica.executor.applied_index)
    damage(replica.log, index)
    replica.administer(AdminRequest(COMPACT, True))
    settle(trio, 100)
    assert replica.healing.healed == 1
    assert replica.log.entry(index).index == index
    compact(trio, member, major=True)


def test_what_peers_cannot_give_stops_the_replica(trio, kit):
    """So that it starts again as a new incarnation, which is given everything."""
    load = Load(trio, kit)
    load.overwrite(20)
    trio.run(20)
    replica = trio.replicas[follower_of(load)]
    with pytest.raises(Corruption, match="by a test"):
        replica.healing.want(Corruption("segment", "by a test"))
    with pytest.raises(Corruption, match="by a test"):
        replica.healing.want(Corruption("segment", "by a test", index=10**6))


def test_a_query_about_an_entry_that_may_be_another_is_not_answered(trio, kit):
    """Not committed here, and no agreement behind it."""
    load = Load(trio, kit)
    load.overwrite(5)
    trio.run(20)
    asked, asking = trio.replicas[load.leader], trio.replicas[follower_of(load)]

    def query(index, agreed_index, agreed_term):
        asked.healing.asked(
            EntryQuery(
                term=1,
                sender=asking.member,
                to=asked.member,
                index=index,
                agreed_index=agreed_index,
                agreed_term=agreed_term,
            )
        )
        return len(asked.healing.messages())

    last, term = asked.log.last_index, asked.log.last_term
    assert query(3, 0, 0) == 1
    assert query(3, last, term) == 1
    assert query(3, last, term + 1) == 0
    assert query(3, last + 1, term) == 0
    assert query(last + 1, 0, 0) == 0


def test_a_dead_entry_that_keeps_a_segment_from_being_compacted_stops_the_replica(trio, kit):
    """Its rows are damaged too, so that every entry has to be read to find them; asking for a compaction would go on for ever."""
    load = Load(trio, kit)
    load.overwrite(60)
    trio.run(20)
    replica = trio.replicas[follower_of(load)]
    segment = replica.log.sealed_segments()[0]
    index = next(i for i in range(segment.first_index, segment.last_index) if replica.log.entry(i).kind == 8)
    damage(replica.log, index)
    segment.buffer[segment.file.size - 1] ^= 1
    replica.administer(AdminRequest(COMPACT, True))
    with pytest.raises(Corruption, match="the compactor could not read it"):
        settle(trio, 100)
