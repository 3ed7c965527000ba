"""`ocelog map` and `ocelog counter` without a cluster: what the arguments mean and how an answer is shown."""

import argparse

import pytest
from ocelog.client import verbs


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
