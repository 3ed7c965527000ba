"""A replica whose directory is gone may have voted and acknowledged: it must not begin again as if it were new."""

from __future__ import annotations

import pytest
from ocelog.log.directory import open_directory
from ocelog.log.errors import Corruption
from ocelog.log.identity import Identity
from ocelog.log.log import LogConfig

from .conftest import Place

EXPECTED = Identity(cluster_id="ab" * 16, shard=0, member=0, incarnation=1)
CONFIG = LogConfig(segment_bytes_max=65536, segment_entries_max=1000)


def test_a_directory_that_was_emptied_is_refused(place: Place) -> None:
    """An empty directory of a member that is already active must not vote."""
    witness = f"{place.directory}-members/0-0"
    open_directory(place.disk, place.directory, expected=EXPECTED, config=CONFIG, witness=witness)
    emptied = f"{place.directory}-emptied"
    with pytest.raises(Corruption, match=r"identity.* missing.*this replica has run before") as caught:
        open_directory(place.disk, emptied, expected=EXPECTED, config=CONFIG, witness=witness)
    assert caught.value.exit_code == 65
    assert witness in str(caught.value)
    assert not place.disk.exists(f"{emptied}/manifest")


def test_a_first_start_that_was_cut_off_goes_on(place: Place) -> None:
    """The witness comes last: nothing was promised before it is durable, and what is there already is kept."""
    witness = f"{place.directory}-members/0-0"
    Identity.load_or_create(place.disk, place.directory, EXPECTED)
    open_directory(place.disk, place.directory, expected=EXPECTED, config=CONFIG, witness=witness)
    assert place.disk.exists(witness)
    open_directory(place.disk, place.directory, expected=EXPECTED, config=CONFIG, witness=witness)


def test_a_directory_with_nothing_left_but_its_identity_is_refused(place: Place) -> None:
    """It looks like a first start that was cut off, but for the witness."""
    witness = f"{place.directory}-members/0-0"
    open_directory(place.disk, place.directory, expected=EXPECTED, config=CONFIG, witness=witness)
    rest = f"{place.directory}-rest"
    place.disk.make_directory(rest)
    Identity.load_or_create(place.disk, rest, EXPECTED)
    with pytest.raises(Corruption, match=r"manifest.* missing.*this replica has run before"):
        open_directory(place.disk, rest, expected=EXPECTED, config=CONFIG, witness=witness)
