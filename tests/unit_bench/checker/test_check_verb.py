"""`ocelog check`: exit codes, what is said of bad lines, and the page that shows what is wrong."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ocelog.__main__ import main
from ocelog.bench.checker import Operation, reading
from ocelog.bench.checker.reading import as_line, read_lines
from ocelog.bench.checker.verbs import MODELS

PUT = {
    "process": "a",
    "model": "map",
    "key": "k",
    "operation": "put",
    "arguments": [1],
    "call": 1,
    "return": 2,
    "result": None,
}
GET = {"process": "b", "model": "map", "key": "k", "operation": "get", "call": 3, "return": 4, "result": 1}
STALE = {**GET, "result": "<b>&"}


def check(folder: Path, *lines: Any, options: tuple[str, ...] = ()) -> int:
    path = folder / "history.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return main(["check", str(path), *options])


def test_a_history_that_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed, weaker = {**PUT, "outcome": "failed", "arguments": [9]}, {**STALE, "level": "causal"}
    assert check(tmp_path, PUT, GET, "", failed, weaker, {"record": "listener", "whatever": 1}) == 0
    said = capsys.readouterr().out
    assert said.startswith("linearizable: 2 operations")
    assert "1 operations failed" in said and "1 weaker reads" in said and "1 records of other" in said
    assert not list(tmp_path.glob("*.html"))


class Pictures(HTMLParser):
    """What a page would fetch, and what is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.kinds: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [f"{tag} {name}" for name in given if name in ("src", "href")]
        if tag == "rect":
            self.kinds.append(given["class"] or "")


def test_a_history_that_is_wrong_is_shown_on_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = {**PUT, "arguments": [3], "process": "c", "call": 0, "return": None}
    assert check(tmp_path, PUT, unknown, STALE, {**GET, "key": "other", "result": None}) == 1
    said = capsys.readouterr().out
    assert "nothing explains get('k') = '<b>&' by b, line 3" in said
    text = (tmp_path / "history.jsonl.html").read_text()
    page = Pictures()
    page.feed(text)
    assert page.fetched == [] and "<b>&" not in text, "nothing from elsewhere, and nothing of the history unescaped"
    assert sorted(page.kinds) == ["blocked", "left unknown", "placed"]


def test_bounds_leave_it_undecided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offers = [
        {"process": n, "model": "queue", "operation": "offer", "arguments": [n], "call": 1, "return": 9, "result": None}
        for n in range(12)
    ]
    size = {"process": 1, "model": "queue", "operation": "size", "call": 10, "return": 11, "result": 13}
    assert (
        check(tmp_path, *offers, size, options=("--states", "500", "--json", "--html", str(tmp_path / "p.html"))) == 75
    )
    assert json.loads(capsys.readouterr().out)["verdict"] == "undecided"
    assert (tmp_path / "p.html").exists()


BAD = {
    "not JSON": ("{", "not JSON"),
    "no object": ("[1]", "a JSON object is wanted"),
    "deep": ("[" * 100_000, "not JSON"),
    "unknown field": ({**PUT, "retrun": 1}, "field 'retrun': an unknown field"),
    "no call": ({**PUT, "call": None}, "field 'call': an integer"),
    "a time that is none": ({**PUT, "call": 1.5}, "field 'call': an integer"),
    "a return before the call": ({**PUT, "return": 0}, "field 'return': not before the call"),
    "no result": ({name: PUT[name] for name in PUT if name != "result"}, "field 'result': missing"),
    "a strange outcome": ({**PUT, "outcome": "maybe"}, "field 'outcome': one of ok, unknown, failed"),
    "a strange operation": ({**PUT, "operation": "push"}, "field 'operation': one of get, contains, put"),
    "too few arguments": ({**PUT, "arguments": []}, "field 'arguments': put takes 1, not 0"),
    "arguments that are none": ({**PUT, "arguments": 1}, "field 'arguments': an array"),
    "no key": ({**PUT, "key": None}, "field 'key': missing; put of a map needs one"),
    "no process": ({**PUT, "process": None}, "field 'process': a string or an integer"),
    "a strange model": ({**PUT, "model": "tree"}, "field 'model': one of register"),
    "another model": ({**GET, "model": "counter", "key": None}, "field 'model': 'counter', but line 1 says"),
    "no model": ({**PUT, "model": None}, "field 'model': missing"),
    "a resource that is none": ({**PUT, "resource": 3}, "field 'resource': a string"),
    "an index that is none": ({**PUT, "index": "7"}, "field 'index': an integer"),
    "a level that is none": ({**PUT, "level": 7}, "field 'level': a string"),
}


@pytest.mark.parametrize("story", BAD)
def test_a_bad_line_is_told_with_file_line_and_field(
    story: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, wanted = BAD[story]
    assert check(tmp_path, PUT, line) == 65
    assert f"{tmp_path / 'history.jsonl'}, line 2: {wanted}" in capsys.readouterr().err


def test_a_model_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "checking.md").read_text()
    (tmp_path / "bankmodel.py").write_text(text.split("```python\n")[1].split("```")[0] + "\nNOTHING = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    deposit = {"process": 1, "operation": "deposit", "arguments": [5], "call": 1, "return": 2, "result": 5}
    balance = {"process": 2, "operation": "balance", "call": 3, "return": 4, "result": 5}
    assert check(tmp_path, deposit, balance, options=("--model", "bankmodel:Bank")) == 0
    assert check(tmp_path, deposit, {**balance, "result": 4}, options=("--model", "bankmodel:Bank")) == 1
    named = {**deposit, "model": "bank"}
    assert check(tmp_path, named, PUT | {"resource": "m"}, options=("--model", "bank=bankmodel:Bank")) == 0
    for wrong in ("bank", "bankmodel:Nobody", "nowhere:Bank", "bankmodel:NOTHING"):
        assert check(tmp_path, deposit, options=("--model", wrong)) == 64
    assert check(tmp_path, PUT, options=("--seconds", "0")) == 64


@pytest.mark.parametrize("lines", [(), ("", " "), ({**PUT, "outcome": "failed"}, {"record": "listener"})])
def test_nothing_to_judge_is_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: tuple[Any, ...]
) -> None:
    """A file that was cut short, or is another one, must not pass."""
    assert check(tmp_path, *lines) == 65
    assert "history.jsonl: no operation to judge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"process": "a", "operation": "get"', "the last line is cut off: complete it, with outcome unknown"),
        ('{"process": "a", "process": "b"}', "field 'process': there twice"),
        (json.dumps({**GET, "result": float("nan")}), "NaN is no JSON value"),
        ("[" * 100_000, "not JSON"),
        (json.dumps({**PUT, "arguments": "x" * (1 << 20)}), "more than 1048576 bytes"),
    ],
)
def test_a_line_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(PUT) + "\n" + line)
    assert main(["check", str(path)]) == 65
    err = capsys.readouterr().err
    assert "history.jsonl, line 2: " in err and said in err and len(err) < 1000


def test_an_operation_that_a_model_can_make_nothing_of_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add = {
        "process": "a",
        "model": "counter",
        "operation": "add",
        "arguments": ["x"],
        "call": 1,
        "return": 2,
        "result": 1,
    }
    assert check(tmp_path, add) == 65
    assert "Counter can make nothing of add('x') = 1 by a, line 1: TypeError" in capsys.readouterr().err


def test_more_than_is_kept_is_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "OPERATIONS_MAX", 1)
    assert check(tmp_path, PUT, GET) == 75
    assert "undecided" in capsys.readouterr().err


def test_memory_is_a_bound_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a long queue every place remembers the whole of it."""
    held = [
        {
            "process": 0,
            "model": "queue",
            "operation": "offer",
            "arguments": [n],
            "call": n,
            "return": n + 1,
            "result": None,
        }
        for n in range(0, 4000, 2)
    ]
    offers = [
        {
            "process": n,
            "model": "queue",
            "operation": "offer",
            "arguments": [n],
            "call": 5000,
            "return": 5009,
            "result": None,
        }
        for n in range(9)
    ]
    size = {"process": 1, "model": "queue", "operation": "size", "call": 5010, "return": 5011, "result": 1}
    assert check(tmp_path, *held, *offers, size, options=("--memory", "1")) == 75
    assert "all its memory used up" in capsys.readouterr().out


def test_a_name_that_no_terminal_would_take_is_written_as_python_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, PUT, {**STALE, "process": "\ud800\x1b[2J"}) == 1
    assert "\\ud800\\x1b[2J" in capsys.readouterr().out
    assert (tmp_path / "history.jsonl.html").exists()


def test_what_is_written_is_read_again() -> None:
    operations = [
        Operation("put", (1,), None, call=1, returned=2, process="a", key="k", resource="m", model="map", index=4),
        Operation("put", ((1, 2),), call=3, process="a", key="k", resource="m", model="map"),
    ]
    lines = [as_line(each).encode() for each in operations]
    again = read_lines(lines, "here", None, {"map": MODELS["map"]()}).operations
    assert [as_line(each) for each in again] == [as_line(each) for each in operations]
    assert [each.known for each in again] == [True, False]
