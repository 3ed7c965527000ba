"""Damage that is found between opening the files and serving: the replica starts again, and then by what its peers have."""

from __future__ import annotations

import pytest
from ocelog.cluster.config import Settings
from ocelog.log.directory import open_directory
from ocelog.log.entry import COMMAND, CONFIGURATION, RELEASE, SNAPSHOT
from ocelog.log.errors import Corruption
from ocelog.log.files import OsDisk
from ocelog.log.identity import Identity
from ocelog.log.log import LogConfig
from ocelog.shard import assembly
from ocelog.shard.errors import DamageFound
from ocelog.shard.raft.membership import Configuration

CLUSTER_ID = "ab" * 16
SEGMENT_BYTES = 8192


def options(tmp_path, replicas):
    limits = {"operation_bytes_max": 1024, "message_bytes_max": 8192}
    sections = {"log": {"segment_bytes_max": SEGMENT_BYTES}, "limits": limits}
    return {
        "data": str(tmp_path),
        "cluster_id": CLUSTER_ID,
        "shard": 0,
        "replica": 0,
        "replicas": replicas,
        "sockets": str(tmp_path),
        "settings": Settings.from_sections(sections).sections(),
    }


def write_damaged(tmp_path):
    """A log whose configuration entry is damaged, in a segment that is closed: opening does not read it."""
    disk, directory = OsDisk(), assembly.replica_directory(str(tmp_path), 0, 0)
    expected = Identity(cluster_id=CLUSTER_ID, shard=0, member=0, incarnation=1)
    config = LogConfig(segment_bytes_max=SEGMENT_BYTES)
    _, _, log = open_directory(disk, directory, expected=expected, config=config)
    command = (COMMAND, RELEASE, 1, 1, 1, bytes(500))
    changed = (CONFIGURATION, SNAPSHOT, 0, 0, 0, Configuration.bootstrap(range(3)).encode())
    log.append(1, 1000, [command, command, changed, command])
    log.append(1, 1000, [command] * 20)
    log.close()
    log = open_directory(disk, directory, expected=expected, config=config)[2]
    segment = log._segments.of(3)
    assert segment is not log._open
    segment.buffer[segment.offset_of(3) + 50] ^= 1
    segment.file.sync()


@pytest.fixture
def open_again(monkeypatch, tmp_path):
    """Open the replica as the next process would, to whom the directory is free."""
    held = []
    acquire = assembly.DirectoryLock.acquire

    def take(directory):
        held.append(acquire(directory))
        return held[-1]

    def open_again(replicas):
        while held:
            held.pop().release()
        return assembly.open_replica(options(tmp_path, replicas))

    monkeypatch.setattr(assembly.DirectoryLock, "acquire", take)
    monkeypatch.setattr(assembly, "Server", lambda replica, identity, **fields: replica)
    return open_again


def test_with_peers_the_next_start_begins_again_by_what_they_have(tmp_path, open_again):
    write_damaged(tmp_path)
    with pytest.raises(DamageFound, match="entry 3"):
        open_again(3)
    replica = open_again(3)
    assert (replica.core.incarnation, replica.core.probation) == (2, True)


def test_alone_it_stays_down(tmp_path, open_again):
    write_damaged(tmp_path)
    for _ in range(2):
        with pytest.raises(Corruption, match="entry 3"):
            open_again(1)
