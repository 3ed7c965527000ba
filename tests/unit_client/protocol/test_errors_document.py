"""docs/errors.md is what the generator makes of the error table and the exceptions."""

from __future__ import annotations

import inspect

from ocelog.client.protocol import errors, generate


def test_the_checked_in_page_is_up_to_date():
    written = generate.PAGE.read_text(encoding="utf-8")
    assert written == generate.page(), "run python -m ocelog.client.protocol.generate"


def test_every_code_and_every_exception_is_on_it():
    page = generate.page()
    for row in errors.TABLE:
        assert f"| {row.code} | {row.name} |" in page
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.OcelogError) and kind is not errors.OcelogError:
            assert f"| `{name}` |" in page
            assert kind.__doc__, f"{name} does not say what it means"
