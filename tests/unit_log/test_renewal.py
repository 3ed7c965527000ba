"""A member whose files are lost or damaged begins again as a new incarnation, wherever its renewal is cut off."""

from __future__ import annotations

from random import Random

import pytest
from ocelog.log import renewal
from ocelog.log.directory import open_directory, open_or_renew
from ocelog.log.entry import COMMAND, RELEASE
from ocelog.log.errors import Corruption, IdentityMismatch
from ocelog.log.identity import Identity
from ocelog.log.log import LogConfig

from tests.simulation.disk import SimDisk

from .conftest import Place

EXPECTED = Identity(cluster_id="ab" * 16, shard=0, member=0, incarnation=1)
CONFIG = LogConfig(segment_bytes_max=65536, segment_entries_max=1000)


def witness_of(place: Place) -> str:
    return f"{place.directory}-members/0-0"


def start(place: Place, *, alone: bool = False):
    return open_or_renew(
        place.disk, place.directory, expected=EXPECTED, config=CONFIG, witness=witness_of(place), alone=alone
    )


def used(place: Place) -> None:
    """A member that has voted and holds an entry."""
    _, meta, log, _ = start(place)
    meta.store(3, 1)
    log.append(3, 1, [(COMMAND, RELEASE, 0, 0, 0, b"kept")])
    log.close()


def test_a_sound_directory_is_opened_as_it_is(place: Place) -> None:
    used(place)
    identity, meta, log, probation = start(place)
    assert (identity.incarnation, meta.term, log.last_index, probation) == (1, 3, 1, False)


def test_an_emptied_directory_comes_back_as_a_new_incarnation_that_knows_nothing(place: Place) -> None:
    used(place)
    place.disk.remove_tree(place.directory)
    identity, meta, log, probation = start(place)
    assert (identity.incarnation, meta.term, meta.voted_for, log.last_index, probation) == (2, 0, None, 0, True)


def test_damaged_files_are_set_aside_and_kept(place: Place) -> None:
    used(place)
    place.disk.replace(f"{place.directory}/manifest", b"damaged")
    identity, _, log, probation = start(place)
    assert (identity.incarnation, log.last_index, probation) == (2, 0, True)
    assert place.disk.read(f"{place.directory}/set-aside-2/manifest") == b"damaged"
    assert place.disk.exists(f"{place.directory}/set-aside-2/log")


def test_one_damaged_copy_is_enough(place: Place) -> None:
    used(place)
    for incarnation in (2, 3):
        place.disk.replace(f"{place.directory}/manifest", b"damaged")
        assert start(place)[0].incarnation == incarnation
    assert not place.disk.exists(f"{place.directory}/set-aside-2")
    assert place.disk.exists(f"{place.directory}/set-aside-3")


def test_probation_outlives_restarts_until_it_is_over(place: Place) -> None:
    used(place)
    place.disk.remove_tree(place.directory)
    for _ in range(2):
        identity, *_, probation = start(place)
        assert (identity.incarnation, probation) == (2, True)
    renewal.end_probation(place.disk, place.directory)
    identity, *_, probation = start(place)
    assert (identity.incarnation, probation) == (2, False)


def test_a_member_without_peers_refuses(place: Place) -> None:
    """There is nobody to get anything back from: it stays down rather than guess."""
    used(place)
    place.disk.replace(f"{place.directory}/manifest", b"damaged")
    with pytest.raises(Corruption, match="manifest"):
        start(place, alone=True)
    assert place.disk.read(f"{place.directory}/manifest") == b"damaged"


def test_an_old_copy_of_the_directory_is_noticed(place: Place) -> None:
    """The witness names a later incarnation: what the copy promises was given up long ago."""
    used(place)
    renewal.write_witness(place.disk, witness_of(place), Identity(**{**vars(EXPECTED), "incarnation": 5}))
    with pytest.raises(Corruption, match="old copy"):
        open_directory(place.disk, place.directory, expected=EXPECTED, config=CONFIG, witness=witness_of(place))
    assert start(place)[0].incarnation == 6


def test_a_foreign_directory_is_refused_and_not_set_aside(place: Place) -> None:
    used(place)
    other = Identity(cluster_id="cd" * 16, shard=0, member=0, incarnation=1)
    with pytest.raises(IdentityMismatch):
        open_or_renew(place.disk, place.directory, expected=other, config=CONFIG, witness=None, alone=False)
    assert place.disk.exists(f"{place.directory}/manifest")


def test_damage_found_in_use_renews_at_the_next_start(place: Place) -> None:
    used(place)
    renewal.mark_damaged(place.disk, place.directory, "entry 7 is damaged")
    with pytest.raises(Corruption, match="entry 7 is damaged"):
        start(place, alone=True)
    identity, *_, probation = start(place)
    assert (identity.incarnation, probation) == (2, True)
    assert start(place)[0].incarnation == 2


class Cut(Exception):
    """The power goes."""


@pytest.mark.parametrize("power_loss", [False, True])
@pytest.mark.parametrize("damage", ["lost", "manifest", "meta", "marked"])
def test_a_renewal_may_be_cut_off_anywhere(damage: str, power_loss: bool) -> None:
    """After every single operation: the next start is a new incarnation in probation, which never knew a vote."""
    for cut in range(1000):
        disk = SimDisk(Random(cut))
        place = Place(disk, "data/replica-0")
        used(place)
        if damage == "lost":
            disk.remove_tree(place.directory)
        elif damage == "marked":
            renewal.mark_damaged(disk, place.directory, "by a test")
        else:
            for name in ("manifest",) if damage == "manifest" else ("meta.0", "meta.1"):
                disk.replace(f"{place.directory}/{name}", b"damaged")
        left = cut

        def hook(what: str) -> None:
            nonlocal left
            if left == 0:
                raise Cut(what)
            left -= 1

        disk.operation_hook = hook
        try:
            start(place)
        except Cut:
            disk.operation_hook = None
            if power_loss:
                disk.crash()
            identity, meta, log, probation = start(place)
            assert identity.incarnation >= 2
            assert (meta.term, meta.voted_for, log.last_index, probation) == (0, None, 0, True), cut
        else:
            assert cut > 10
            return
    pytest.fail("the renewal never ended")
