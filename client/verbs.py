"""The verbs `ocelog map` and `ocelog counter`, and what the modules of `commandline` share.

One operation on one resource, or watching it, through the blocking client.

Keys and values are JSON where the text is JSON, else the text itself. On a terminal the answer is written for people;
in a pipe it is the bare value, and with `--json` always JSON. What is absent or false ends with exit code 1, and an
absent value prints nothing (`null` with `--json`). With `--trace` the receipt of the call goes to the standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import watch
from .endpoints import DEFAULT, VARIABLE
from .plain import bare, to_json

if TYPE_CHECKING:
    from .sync import Client

TIMEOUT_S = 10.0

CONSISTENCIES = ("linearizable", "bounded-linearizable", "sequential", "causal")


class Operation(NamedTuple):
    """A method of a resource: its arguments' names, what it does, which results end with exit code 1, and its options.

    `empty`, which a read has and a change has not, says by the arguments what is read of a resource that does not exist.
    `lines` says that the answer is a list whose items are printed one a line.
    """

    arguments: tuple[str, ...]
    help: str
    is_absent: Callable[[Any], bool] = lambda result: False
    options: tuple[str, ...] = ()
    empty: Callable[..., Any] | None = None
    lines: bool = False


def absent(result: Any) -> bool:
    """Nothing was there."""
    return result is None


def present(result: Any) -> bool:
    """Something was there, where nothing should be."""
    return result is not None


def false(result: Any) -> bool:
    """It was not so."""
    return result is False


def nothing(*arguments: Any) -> None:
    """What there is in an empty resource."""


def no(*arguments: Any) -> bool:
    """Whether something is in an empty resource."""
    return False


def yes(*arguments: Any) -> bool:
    """Whether an empty resource is empty."""
    return True


def zero(*arguments: Any) -> int:
    """How much there is in an empty resource."""
    return 0


def no_rows(*arguments: Any) -> list[Any]:
    """All that there is in an empty resource."""
    return []


_TTL = ("ttl",)

MAP = {
    "put": Operation(("key", "value"), "set a key; the answer is the value before", options=_TTL),
    "put_many": Operation(("pairs",), "set many keys, each as KEY=VALUE", options=_TTL),
    "put_if_absent": Operation(
        ("key", "value"), "set a key that is absent; the answer is the value in the way", present, _TTL
    ),
    "replace": Operation(("key", "value"), "set a key that is present; the answer is the value before", absent, _TTL),
    "replace_if": Operation(("key", "old", "value"), "set a key whose value is OLD: true or false", false, _TTL),
    "replace_if_version": Operation(
        ("key", "version", "value"), "set a key whose value is of that version: true or false", false, _TTL
    ),
    "remove": Operation(("key",), "remove a key; the answer is its value; 1 when it is absent", absent),
    "remove_if": Operation(("key", "old"), "remove a key whose value is OLD: true or false", false),
    "remove_if_version": Operation(
        ("key", "version"), "remove a key whose value is of that version: true or false", false
    ),
    "clear": Operation((), "remove every key"),
    "get": Operation(("key",), "the value of a key; 1 when it is absent", absent, empty=nothing),
    "get_or_default": Operation(
        ("key", "value"), "the value of a key, or VALUE when it is absent", empty=lambda key, value: value
    ),
    "get_versioned": Operation(
        ("key",), "the value of a key and its version; 1 when it is absent", absent, empty=nothing
    ),
    "get_many": Operation(("keys",), "the values of those keys that are present", empty=lambda keys: {}),
    "contains": Operation(("key",), "true or false", false, empty=no),
    "contains_value": Operation(("value",), "whether any key has this value: true or false", false, empty=no),
    "size": Operation((), "the number of keys", empty=zero),
    "is_empty": Operation((), "whether there is no key: true or false", false, empty=yes),
    "keys": Operation((), "every key, one a line", empty=no_rows),
    "values": Operation((), "every value, one a line", empty=no_rows),
    "entries": Operation((), "every key with its value, of one moment, one a line", empty=no_rows),
    "items": Operation((), "every key with its value, page by page, one a line", empty=no_rows),
}

COUNTER = {
    "get": Operation((), "the value", empty=zero),
    "set": Operation(("number",), "set the value"),
    "add": Operation(("number",), "add, and answer with the sum"),
    "increment": Operation((), "add 1, and answer with the sum"),
    "decrement": Operation((), "subtract 1, and answer with the difference"),
    "get_and_set": Operation(("number",), "set the value; the answer is the one before"),
    "get_and_add": Operation(("number",), "add; the answer is the value before"),
    "get_and_increment": Operation((), "add 1; the answer is the value before"),
    "get_and_decrement": Operation((), "subtract 1; the answer is the value before"),
    "compare_and_set": Operation(("expected", "number"), "set the value if it is as expected: true or false", false),
}


def add_connection_options(parser: argparse.ArgumentParser, timeout_s: float = TIMEOUT_S) -> None:
    """The options of every verb that asks a cluster; `timeout_s` is how long it waits unless told otherwise."""
    parser.add_argument(
        "--endpoints",
        metavar="ENDPOINT[,...]",
        help=f"where the cluster listens (${VARIABLE}, else {DEFAULT})",
    )
    parser.add_argument(
        "--timeout", type=seconds, default=timeout_s, metavar="S", help=f"seconds to wait ({timeout_s:g})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def seconds(text: str) -> float:
    """A time on the command line. Raises ValueError and ArgumentTypeError."""
    found = float(text)
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a time in seconds above 0 and below 1000000")
    return found


def configure_map(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog map`."""
    configure_operations(parser, MAP, "map")


def configure_counter(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog counter`."""
    configure_operations(parser, COUNTER, "counter")


def configure_operations(parser: argparse.ArgumentParser, operations: dict[str, Operation], resource: str) -> None:
    """One subcommand for each method of a resource's handle, and `watch`; `resource` is the client's method that makes it."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for method, operation in operations.items():
        spelled = method.replace("_", "-")
        choice = choices.add_parser(
            spelled, aliases=[method] if spelled != method else [], help=operation.help, description=operation.help
        )
        choice.add_argument("name", metavar="NAME", help=f"the {resource.replace('_', ' ')}'s name")
        for argument in operation.arguments:
            several = argument in _SEVERAL
            metavar = _SEVERAL.get(argument, argument.upper())
            choice.add_argument(argument, metavar=metavar, type=_KINDS[argument], nargs="+" if several else None)
        for option in operation.options:
            _add_option(choice, option)
        add_connection_options(choice)
        choice.add_argument(
            "--consistency", choices=CONSISTENCIES, help="the level (docs/clients.md); the default is safe"
        )
        choice.add_argument("--trace", action="store_true", help="tell how it was served, on the standard error")
    _configure_watch(choices.add_parser("watch", help=WATCH, description=WATCH), resource)


def _add_option(choice: argparse.ArgumentParser, option: str) -> None:
    spelled = f"--{option.replace('_', '-')}"
    if option in _FLAGS:
        default, text = _FLAGS[option]
        choice.add_argument(spelled, action=argparse.BooleanOptionalAction, default=default, help=text)
    else:
        kind, text = _OPTIONS[option]
        choice.add_argument(spelled, type=kind, metavar=option.upper(), help=text)


WATCH = "print each change as JSON, or run a command for it; until Ctrl-C"


def _configure_watch(parser: argparse.ArgumentParser, resource: str) -> None:
    parser.add_argument("name", metavar="NAME", help=f"the {resource.replace('_', ' ')}'s name")
    if resource in ("map", "partitioned_map", "sorted_map", "multimap"):
        parser.add_argument("--key", type=parse_key, help="this key only")
    elif resource in ("set", "sorted_set"):
        parser.add_argument("--value", dest="key", type=parse_value, metavar="VALUE", help="this value only")
    add_connection_options(parser)
    watch.configure(parser)


def parse_value(text: str) -> Any:
    """A value on the command line: JSON if it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")  # Python's parser would take NaN and Infinity


def parse_key(text: str) -> Any:
    """A key on the command line: as a value, but only texts and whole numbers can be keys; all else is a text."""
    key = parse_value(text)
    return key if isinstance(key, str) or type(key) is int else text


def parse_pair(text: str) -> tuple[Any, Any]:
    """A key and its value on the command line, as KEY=VALUE."""
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r:.60} is not KEY=VALUE")
    return parse_key(key), parse_value(value)


_KINDS: dict[str, Callable[[str], Any]] = {
    "key": parse_key,
    "keys": parse_key,
    "value": parse_value,
    "old": parse_value,
    "pairs": parse_pair,
    "values": parse_value,
    "number": int,
    "expected": int,
    "version": int,
}
_SEVERAL = {"keys": "KEY", "values": "VALUE", "pairs": "KEY=VALUE"}
_LINES = ("keys", "values", "entries", "items", "range")
_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "ttl": (float, "seconds to live; for ever without"),
    "low": (parse_key, "where the range begins; without, at the first"),
    "high": (parse_key, "where it ends; without, behind the last"),
    "limit": (int, "at most so many"),
}
_FLAGS = {
    "include_low": (True, "whether LOW belongs to the range"),
    "include_high": (False, "whether HIGH does"),
    "reverse": (False, "begin at the end"),
}


def run_map(options: argparse.Namespace) -> int:
    """Carry out one operation on a map. Raises OcelogError."""
    return run_operation(options, MAP, "map")


def run_counter(options: argparse.Namespace) -> int:
    """Carry out one operation on a counter. Raises OcelogError."""
    return run_operation(options, COUNTER, "counter")


def run_operation(options: argparse.Namespace, operations: dict[str, Operation], resource: str) -> int:
    """Carry out what `configure_operations` has read. Raises OcelogError."""
    from .consistency import Consistency
    from .sync import connect  # needs ZeroMQ, which `--help` should not wait for

    if options.operation == "watch":
        return _watch(options, resource)
    method = options.operation.replace("-", "_")
    operation = operations[method]
    arguments = [getattr(options, argument) for argument in operation.arguments]
    keywords = {option: getattr(options, option) for option in operation.options}
    level = Consistency[options.consistency.upper().replace("-", "_")] if options.consistency else None
    lines = operation.lines or method in _LINES
    with connect(options.endpoints, timeout=options.timeout) as client:
        target = getattr(client, resource)(options.name)
        if operation.empty is not None and missing(client, options.name, target):
            return _print(operation.empty(*arguments), operation, lines, options)
        with client.receipts() if options.trace else contextlib.nullcontext(()) as receipts:
            try:
                result = getattr(target, method)(*arguments, **keywords, consistency=level)
                result = list(result) if lines else result
            finally:
                for receipt in receipts:
                    print(to_json(receipt.as_dict()) if options.json else receipt, file=sys.stderr)
    return _print(result, operation, lines, options)


def missing(client: Client, name: str, target: Any = None) -> bool:
    """Whether there is no such resource. A read asks first: it would create it, and a mistyped name be taken for good.

    `target` is the handle, of which a partitioned map is asked itself. A person is told on the standard error.
    """
    ask = getattr(target, "exists", None)
    there = client.exists(name) is not None if ask is None else ask()
    if not there and sys.stderr.isatty():
        sys.stderr.write(f"ocelog: there is no resource {name!r}\n")
    return not there


def _print(result: Any, operation: Operation, lines: bool, options: argparse.Namespace) -> int:
    if lines and not options.json:
        print("".join(f"{_line(item)}\n" for item in result), end="")
    else:
        show(result, as_json=options.json, to_person=sys.stdout.isatty())
    return 1 if operation.is_absent(result) else 0


def _line(item: Any) -> str:
    return "\t".join(map(bare, item)) if isinstance(item, tuple) else bare(item)


def _watch(options: argparse.Namespace, resource: str) -> int:
    from .sync import connect

    keys = () if getattr(options, "key", None) is None else (options.key,)
    with (
        connect(options.endpoints, timeout=options.timeout) as client,
        getattr(client, resource)(options.name).events(*keys) as events,
    ):
        return watch.watch(events, options.command)


def show(result: Any, *, as_json: bool, to_person: bool) -> None:
    """Print a result; nothing when there is none, but `null` as JSON."""
    if as_json:
        print(to_json(result))
    elif result is None:
        return
    elif to_person:
        print(to_json(result, indent=2))
    elif isinstance(result, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(result)  # exactly these, since they may be on their way to a file
    else:
        print(bare(result))
