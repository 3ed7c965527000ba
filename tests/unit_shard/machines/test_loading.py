"""What a machine of one's own has to be called, so that it can be opened and listed."""

from __future__ import annotations

import pytest
from ocelog.shard.machines.base import StateMachine
from ocelog.shard.machines.loading import MachineNotLoaded, load


class Called(StateMachine):
    """As the tests say."""

    type_name = "called"


@pytest.mark.parametrize(
    ("type_name", "version"),
    [("", 1), (5, 1), (b"called", 1), (None, 1), ("called", 0), ("called", True), ("called", "2")],
)
def test_a_machine_is_called_by_a_text_and_has_a_whole_number_as_its_version(monkeypatch, type_name, version):
    """A list of all types, some of them no texts, has no order: who asked for it would have ended the replica."""
    assert load(f"{__name__}:Called") is Called
    monkeypatch.setattr(Called, "type_name", type_name)
    monkeypatch.setattr(Called, "version", version)
    with pytest.raises(MachineNotLoaded, match="needs a text and a whole number from 1 on"):
        load(f"{__name__}:Called")
