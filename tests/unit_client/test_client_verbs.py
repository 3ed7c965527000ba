"""`ocelog map` and `ocelog counter` without a cluster: what the arguments mean and how an answer is shown."""

import argparse
import json

import pytest
from ocelog.client import verbs, watch
from ocelog.client.changes import MapEvent, Resync
from ocelog.client.commandline.sorted_map import SORTED_MAP
from ocelog.client.protocol.errors import Closed
from ocelog.client.protocol.values import encode_key, encode_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7.5", -7.5),
        ("true", True),
        ("null", None),
        ('"7"', "7"),
        ('{"a": [1]}', {"a": [1]}),
        ("seven", "seven"),
        ("{a}", "{a}"),
        ("", ""),
        ("007", "007"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_json_if_it_can_be(text, value):
    assert verbs.parse_value(text) == value
    assert type(verbs.parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "key"), [("7", 7), ('"7"', "7"), ("a", "a"), ("true", "true"), ("1.5", "1.5"), ("[1]", "[1]")]
)
def test_a_key_is_a_text_or_a_whole_number(text, key):
    assert verbs.parse_key(text) == key


@pytest.mark.parametrize(
    ("result", "piped", "terminal", "as_json"),
    [
        ("text", "text\n", '"text"\n', '"text"\n'),
        (7, "7\n", "7\n", "7\n"),
        (True, "true\n", "true\n", "true\n"),
        (None, "", "", "null\n"),
        ({"a": 1}, '{"a": 1}\n', '{\n  "a": 1\n}\n', '{"a": 1}\n'),
        ({1: b"\xff"}, '{"1": {"base64": "/w=="}}\n', None, '{"1": {"base64": "/w=="}}\n'),
        ("ä", "ä\n", '"ä"\n', '"ä"\n'),
    ],
)
def test_an_answer_is_shown_for_a_pipe_a_person_and_a_program(capsys, result, piped, terminal, as_json):
    verbs.show(result, as_json=False, to_person=False)
    assert capsys.readouterr().out == piped
    verbs.show(result, as_json=False, to_person=True)
    assert terminal is None or capsys.readouterr().out == terminal
    capsys.readouterr()
    verbs.show(result, as_json=True, to_person=True)
    assert capsys.readouterr().out == as_json


def test_bytes_go_into_a_pipe_as_they_are(capfdbinary):
    verbs.show(b"\x00\xff", as_json=False, to_person=False)
    assert capfdbinary.readouterr().out == b"\x00\xff"


@pytest.mark.parametrize(("operations", "configure"), [(verbs.MAP, "map"), (verbs.COUNTER, "counter")])
def test_every_operation_is_a_method_with_those_arguments(operations, configure):
    from inspect import signature

    from ocelog.client.resources import counter_sync, map_sync

    handle = {"map": map_sync.Map, "counter": counter_sync.Counter}[configure]
    for method, operation in operations.items():
        parameters = list(signature(getattr(handle, method)).parameters.values())[1:]
        required = [one for one in parameters if one.default is one.empty]
        assert len(required) == len(operation.arguments), method


def test_both_spellings_of_an_operation_are_understood():
    parser = argparse.ArgumentParser()
    verbs.configure_map(parser)
    for spelled in ("put-if-absent", "put_if_absent"):
        options = parser.parse_args([spelled, "m", "k", "[1]"])
        assert (options.name, options.key, options.value) == ("m", "k", [1])


@pytest.mark.parametrize(
    ("arguments", "key", "command"),
    [
        (["watch", "m"], None, []),
        (["watch", "m", "--key", "7"], 7, []),
        (
            ["watch", "--key", "ada", "m", "--", "sh", "-c", "echo", "--key", "--"],
            "ada",
            ["sh", "-c", "echo", "--key", "--"],
        ),
        (["watch", "m", "--"], None, []),
    ],
)
def test_what_is_watched_and_the_command_behind_the_dashes(arguments, key, command):
    parser = argparse.ArgumentParser()
    verbs.configure_map(parser)
    options = parser.parse_args(arguments)
    assert (options.operation, options.name, options.key, options.command) == ("watch", "m", key, command)


def test_a_command_finds_the_event_in_its_environment():
    event = MapEvent(["updated", encode_key("ada"), encode_value({"b": 1}), encode_value("text")], 7)
    assert watch.environment(event) == {
        "OCELOG_EVENT": '{"kind": "updated", "key": "ada", "old": {"b": 1}, "new": "text", "index": 7}',
        "OCELOG_EVENT_KIND": "updated",
        "OCELOG_EVENT_KEY": "ada",
        "OCELOG_EVENT_OLD": '{"b": 1}',
        "OCELOG_EVENT_NEW": "text",
        "OCELOG_EVENT_INDEX": "7",
    }
    found = watch.environment(MapEvent(["cleared", None, None, None], 8))
    assert set(found) == {"OCELOG_EVENT", "OCELOG_EVENT_KIND", "OCELOG_EVENT_INDEX"}
    found = watch.environment(Resync({b"\xff": 1}, 9))
    assert found["OCELOG_EVENT_STATE"] == '{"{\\"base64\\": \\"/w==\\"}": 1}'


def test_events_are_printed_as_lines_until_the_stream_ends(capsys):
    events = iter([MapEvent(["added", encode_key(1), None, encode_value(b"\xff")], 7)])

    class Stream:
        def next(self, timeout):
            try:
                return next(events)
            except StopIteration:
                raise Closed("the stream is closed") from None

    with pytest.raises(Closed):
        watch.watch(Stream(), [])
    assert json.loads(capsys.readouterr().out) == {
        "kind": "added",
        "key": 1,
        "old": None,
        "new": {"base64": "/w=="},
        "index": 7,
    }


@pytest.mark.parametrize(
    ("resource", "arguments", "key"),
    [
        ("map", ["--key", "7"], 7),
        ("multimap", ["--key", "reds"], "reds"),
        ("sorted_map", [], None),
        ("set", ["--value", '["a"]'], ["a"]),
        ("sorted_set", ["--value", "7"], 7),
    ],
)
def test_one_key_or_one_value_may_be_watched(resource, arguments, key):
    parser = argparse.ArgumentParser()
    verbs.configure_operations(parser, {}, resource)
    assert parser.parse_args(["watch", "name", *arguments]).key == key


def test_a_range_is_told_by_options_that_say_what_they_do_without():
    parser = argparse.ArgumentParser()
    verbs.configure_operations(parser, SORTED_MAP, "sorted_map")
    options = parser.parse_args(["range", "name", "--low", "7", "--no-include-low", "--limit", "3"])
    assert (options.low, options.high, options.limit) == (7, None, 3)
    assert (options.include_low, options.include_high, options.reverse) == (False, False, False)
    options = parser.parse_args(["remove-range", "name", "--high", "x", "--include-high"])
    assert (options.low, options.high, options.include_low, options.include_high) == (None, "x", True, True)
