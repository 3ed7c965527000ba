"""What compaction, snapshots and installs promise, one class per promise; checked whenever the log below D has changed.

The model says what is live at every index, and what the state is there: snapshots, holes and rebuilt replicas are held
against that.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ocelog.log.entry import HEADER, HEADER_BYTES
from ocelog.log.manifest import NAME, Manifest
from ocelog.log.snapshot import Snapshot
from ocelog.shard.executor import Executor
from ocelog.shard.persist import PersistJob
from ocelog.shard.raft.membership import Configuration
from ocelog.shard.replica import Turn
from ocelog.shard.restoring import install_state

from .host import DIRECTORY, Host
from .leases import machines
from .model import digest_of
from .observer import Checker, Observer

APPLIED_BETWEEN = 16
"""Live sets are compared when the log has changed shape, and after so many applied entries."""


class HolesAreLegal(Checker):
    """What is missing lies at or below D <= S, is committed, and is dead at S; what is present is what was committed."""

    def reshaped(self, host: Host) -> None:
        if not host.sound:
            return  # what is damaged can be told from what is wrong only by the replica itself
        observer, log = self.observer, host.replica.log
        dense, snapshot = log.dense_index, log.snapshot_index
        ordered = dense <= snapshot <= min(log.last_index, len(observer.committed))
        self.check(ordered, f"{host.name} is dense behind {dense}, S is {snapshot}, the log ends at {log.last_index}")
        entries = observer.sparse[host.member]
        self.check(list(entries) == sorted(entries), f"the entries of {host.name} are not in their order")
        for index, stamp in entries.items():
            same = observer.committed[index - 1] == stamp
            self.check(same, f"{host.name} holds another entry at {index} than was committed")
        lost = [index for index in observer.model.lives[snapshot] if index <= dense and index not in entries]
        self.check(not lost, f"{host.name} lacks {lost}, live at S = {snapshot}")


class ManifestSurvives(Checker):
    """A snapshot counts only when the log is synced through it, and the files that the manifest names are all there."""

    def durable(self, host: Host, job: PersistJob) -> None:
        disk = host.disk
        if not disk.exists(f"{DIRECTORY}/{NAME}") or not host.sound:
            return
        manifest = Manifest.decode(NAME, disk.durable_bytes(f"{DIRECTORY}/{NAME}"))
        synced = len(self.observer.durable[host.member])
        self.check(
            manifest.snapshot_index <= synced,
            f"{host.name} has published the snapshot at {manifest.snapshot_index}, and synced {synced} entries",
        )
        names = [f"log/{record.file_name}" for record in manifest.segments]
        if manifest.snapshot_name is not None:
            names.append(f"snapshots/{manifest.snapshot_name}")
        missing = [name for name in names if not disk.survives(f"{DIRECTORY}/{name}")]
        self.check(not missing, f"the manifest of {host.name} names {missing}, which a crash would take")


class LiveSetsAgree(Checker):
    """What a replica has released is what the model says, at its applied index; so all replicas agree at equal index."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._compared: dict[int, int] = {}

    def started(self, host: Host) -> None:
        self._compared[host.member] = -1

    def turned(self, host: Host, turn: Turn) -> None:
        applied = host.replica.executor.applied_index
        if not host.replica.rebuilding and not 0 <= applied - self._compared[host.member] < APPLIED_BETWEEN:
            self._compare(host)

    def reshaped(self, host: Host) -> None:
        if not host.replica.rebuilding:
            self._compare(host)

    def _compare(self, host: Host) -> None:
        applied = self._compared[host.member] = host.replica.executor.applied_index
        log = host.replica.log
        found = [index for index in log.live_indexes().tolist() if index <= applied]
        wrong = sorted(set(found) ^ set(self.observer.model.lives[applied]))
        self.check(not wrong, f"{host.name} differs from the model at {applied} in {wrong[:5]}")


class EqualDigests(Checker):
    """The rolling digest is the same wherever the same index has been applied, rebuilt or not; nobody reports divergence."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._digests: dict[int, bytes] = {}

    def turned(self, host: Host, turn: Turn) -> None:
        replica = host.replica
        odd = replica.digests.divergence.disagreeing
        if odd:
            self.check(False, f"{host.name} says that {odd} have diverged")
        if not replica.rebuilding:
            applied, digest = replica.executor.applied_index, replica.executor.digest
            known = self._digests.setdefault(applied, digest)
            if known != digest:
                self.check(False, f"{host.name} has the digest {digest.hex()} at {applied}, others {known.hex()}")


class RebuildsEqual(Checker):
    """Whatever was compacted: the snapshot and the live entries that a replica holds give the state at S exactly.

    Looked at whenever the log has changed shape, without waiting for a crash; EqualStates sees the real rebuilds.
    """

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self.count = 0
        self._equal: set[tuple[int, bytes]] = set()

    def reshaped(self, host: Host) -> None:
        log = host.replica.log
        snapshot = log.snapshot
        if snapshot is None or not host.sound:
            return
        self.count += 1
        index = snapshot.head.index
        live = snapshot.live.tolist()
        wrong = sorted(set(live) ^ set(self.observer.model.lives[index]))
        self.check(not wrong, f"the live set in the snapshot of {host.name} at {index} is wrong at {wrong[:5]}")
        runs = log.live_runs(snapshot.live, 0, len(live) + 1)[0]
        # What is rebuilt from depends on nothing but these bytes: those that gave the state once would give it again.
        bytes_read = _bytes_of(snapshot, runs)
        if (index, bytes_read) in self._equal:
            return
        executor = Executor(machines())
        restoring = install_state(executor, index, snapshot.pieces())
        for buffer, offsets in runs:
            restoring.restore(buffer, offsets)
        restoring.finish()
        same = digest_of(executor) == self.observer.model.digests[index]
        self.check(same, f"rebuilding {host.name} would not give the state at {index}")
        self._equal.add((index, bytes_read))


def _bytes_of(snapshot: Snapshot, runs: Sequence[tuple[memoryview, list[int]]]) -> bytes:
    """A hash of all that a replica is rebuilt from: the snapshot, and the live entries with their headers."""
    hash = sha256()
    for piece in snapshot.pieces():
        hash.update(len(piece).to_bytes(8, "little"))
        hash.update(piece)
    for buffer, offsets in runs:
        for offset in offsets:
            length = HEADER.unpack_from(buffer, offset)[1]
            hash.update(buffer[offset : offset + HEADER_BYTES + length])
    return hash.digest()


class InstallsGoForward(Checker):
    """An install never takes away what is committed or was acknowledged: it ends above the commit index that was."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._commit: dict[int, int] = {}

    def started(self, host: Host) -> None:
        self._commit[host.member] = 0

    def turned(self, host: Host, turn: Turn) -> None:
        publishing = self.observer.publishing[host.member]
        if publishing is not None and turn.job is not None:
            commit = max(self._commit[host.member], host.replica.core.commit_index)
            text = f"{host.name} knows {commit} committed, installs {len(publishing)}"
            self.check(len(publishing) > commit, text)
        self._commit[host.member] = host.replica.core.commit_index


class CommittedStaysDurable(Checker):
    """What is committed stays on a majority: no install, no crash and no lost directory takes the last copy but one too many.

    A member that lost its files counts until it is back: it may have acknowledged, and nobody counts it before. The
    majority may be that of a configuration which counted when the entry was committed, and which its leader alone had.
    """

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._committed_by: list[Configuration] = []

    def committed(self, host: Host, first: int) -> None:
        self._committed_by = [host.configuration, host.replica.core.configuration]

    def started(self, host: Host) -> None:
        self._look(host)

    def durable(self, host: Host, job: PersistJob) -> None:
        self._look(host)

    def _look(self, host: Host) -> None:
        observer = self.observer
        last = len(observer.committed)
        if not last:
            return
        stamp = observer.committed[-1]
        known = [each.configuration for each in observer.hosts.values()]
        for configuration in [observer.configuration, *known, *self._committed_by]:
            holders = [member for member in configuration.voters if observer.holds(member, last, stamp)]
            if 2 * len(holders) > len(configuration.voters):
                return
        self.check(False, f"entry {last} is committed; since {host.name} has changed, only {holders} have it")


COMPACTION_CHECKERS: tuple[type[Checker], ...] = (
    HolesAreLegal,
    ManifestSurvives,
    LiveSetsAgree,
    EqualDigests,
    RebuildsEqual,
    InstallsGoForward,
    CommittedStaysDurable,
)
