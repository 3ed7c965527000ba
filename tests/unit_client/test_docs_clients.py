"""docs/clients.md: its tables are the library's. That its programs run is tested in tests/docs, on a cluster."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import ocelog
import ocelog.client
from ocelog.client.protocol import outcomes

PAGE = (Path(ocelog.__file__).parent / "docs" / "clients.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)`(?: \(an? `(\w+)`(?: and an? `(\w+)`)?\))? \| (yes|no) \|", PAGE, re.MULTILINE)


def test_the_table_of_errors_names_all_of_them_truly():
    errors = {name for name in ocelog.client.__all__ if isinstance(getattr(ocelog.client, name), type)}
    errors = {name for name in errors if issubclass(getattr(ocelog.client, name), ocelog.OcelogError)}
    assert {name for name, *_ in ROWS} == errors - {"OcelogError"}
    for name, *bases, definite in ROWS:
        error = getattr(ocelog.client, name)
        assert error.definite == (definite == "yes")
        assert {base for base in bases if base} <= {parent.__name__ for parent in error.__mro__}


def test_the_table_of_options_names_all_of_them():
    options = set(inspect.signature(ocelog.connect).parameters)
    assert options == set(inspect.signature(ocelog.connect_async).parameters)
    assert options == set(re.findall(r"^\| `(\w+)` \|.*\|.*\|$", PAGE.partition("## Resources")[0], re.MULTILINE))


def test_the_tables_of_levels_states_and_outcomes_name_all_of_them():
    for level in ocelog.Consistency:
        assert f"| `{level.name}`" in PAGE
    for state in ocelog.ClientState:
        assert f"| `{state.name}` |" in PAGE
    for name in outcomes.NAMES.values():
        assert f'| `"{name}"` |' in PAGE
