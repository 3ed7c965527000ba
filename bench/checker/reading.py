"""Histories as text: one JSON object per line, read as hostile input and written. The format is docs/checking.md.

Whatever is wrong with a line is told with the file, the line and the field.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from .model import Model
from .models import MODELS
from .operation import NEVER, Operation, frozen

LINE_BYTES_MAX = 1 << 20
OPERATIONS_MAX = 2_000_000
"""How many operations are kept to be judged: some 500 bytes each."""

JUDGED_LEVELS = ("linearizable", "bounded")
OUTCOMES = ("ok", "unknown", "failed")
FIELDS = frozenset(
    (
        "record",
        "process",
        "model",
        "resource",
        "key",
        "operation",
        "arguments",
        "call",
        "return",
        "outcome",
        "result",
        "index",
        "level",
        "session",
        "number",
        "waited",
    )
)


class BadHistory(ValueError):
    """A line that is not what the format says; the text names the file, the line and the field."""


class TooLong(Exception):
    """More operations than are kept."""


class BadModel(ValueError):
    """A model that is not there or is none."""


@dataclass(kw_only=True, slots=True)
class Recorded:
    """What a file held: the operations to judge, and how many lines of it are not for this checker.

    `failed` operations surely had no effect, `weaker` reads promise less than linearizability, `others` are other records.
    """

    operations: list[Operation] = field(default_factory=list)
    failed: int = 0
    weaker: int = 0
    others: int = 0


def model_called(text: str) -> Model:
    """The model of that name, or of `module:Class`. Raises BadModel."""
    if text in MODELS:
        return MODELS[text]()
    module, colon, name = text.partition(":")
    if not colon:
        raise BadModel(f"no model is called {text!r}: {', '.join(MODELS)}, or MODULE:CLASS for one of your own")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` would: one's own models are usually in the directory one works in
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadModel(f"model {text!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise BadModel(f"model {text!r} is no subclass of ocelog.bench.checker.Model")
    return found()


def read_file(path: Path, default: str | None, models: Mapping[str, Model]) -> Recorded:
    """Read a history; `default` names the model of lines that name none, of those in `models`.

    Raises BadHistory, also when there is nothing in it to judge; TooLong; OSError.
    """
    with path.open("rb") as file:
        # Not line by line: a file that is none may be one line of any length.
        lines = iter(partial(file.readline, LINE_BYTES_MAX + 1), b"")
        recorded = read_lines(lines, str(path), default, models)
    if not recorded.operations:
        left_out = f"{recorded.failed} failed, {recorded.weaker} weaker reads, {recorded.others} records of others"
        raise BadHistory(f"{path}: no operation to judge ({left_out}); was it written to the end, and to this file?")
    return recorded


def read_lines(lines: Iterable[bytes], source: str, default: str | None, models: Mapping[str, Model]) -> Recorded:
    """The same from lines, of which none may be for the checker; `source` is what errors call them."""
    recorded = Recorded()
    reader = _Reader(default, models)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            reader.read(line, number, recorded)
        except BadHistory as error:
            raise BadHistory(f"{source}, line {number}: {error}") from None
        except RecursionError:
            raise BadHistory(f"{source}, line {number}: nested too deep to be a value; flatten it") from None
        if len(recorded.operations) > OPERATIONS_MAX:
            raise TooLong(
                f"{source}, line {number}: more than {OPERATIONS_MAX} operations; check it in pieces, by resource"
            )
    return recorded


class _Reader:
    """Reads one line after the other; errors do not know yet where they happened."""

    def __init__(self, default: str | None, models: Mapping[str, Model]) -> None:
        self.default = default
        self.models = models
        self.kinds: dict[str, tuple[str, int]] = {}

    def read(self, line: bytes, number: int, recorded: Recorded) -> None:
        record = _object(line)
        kind = record.get("record", "operation")
        if kind != "operation":
            _need(isinstance(kind, str), "record", f"a string, not {kind!r:.60}")
            recorded.others += 1
            return
        outcome = _outcome(record)
        operation = self._operation(record, outcome, number)
        level = record.get("level", "linearizable")
        _need(isinstance(level, str), "level", f"a string, not {level!r:.60}")
        if outcome == "failed":
            recorded.failed += 1
        elif level not in JUDGED_LEVELS:
            recorded.weaker += 1
        else:
            recorded.operations.append(operation)

    def _operation(self, record: dict[str, Any], outcome: str, number: int) -> Operation:
        for name in record:
            _need(name in FIELDS, name, f"an unknown field; there are {', '.join(sorted(FIELDS))}")
        resource = record.get("resource", "")
        _need(isinstance(resource, str), "resource", f"a string, not {resource!r:.60}")
        call = _time(record, "call")
        returned = NEVER
        if outcome == "ok":
            returned = _time(record, "return")
            _need(returned >= call, "return", f"not before the call: {returned} < {call}")
            _need("result" in record, "result", "missing; null says that it returned nothing")
        index = record.get("index", 0)
        _need(type(index) is int, "index", f"an integer, not {index!r:.60}")
        process = record.get("process")
        _need(isinstance(process, str | int), "process", f"a string or an integer, not {process!r:.60}")
        model_name = self._model(record, resource, number)
        name, arguments, key = self._call(record, model_name)
        return Operation(
            name,
            arguments,
            frozen(record.get("result")),
            call=call,
            returned=returned,
            process=process,
            key=key,
            resource=resource,
            model=model_name,
            index=index,
            line=number,
        )

    def _model(self, record: dict[str, Any], resource: str, number: int) -> str:
        name = record.get("model", self.default)
        _need(name is not None, "model", "missing, and --model names none for the whole file")
        _need(
            isinstance(name, str) and name in self.models, "model", f"one of {', '.join(self.models)}, not {name!r:.60}"
        )
        assert isinstance(name, str)
        before, line = self.kinds.setdefault(resource, (name, number))
        _need(before == name, "model", f"{name!r}, but line {line} says that resource {resource!r} is a {before}")
        return name

    def _call(self, record: dict[str, Any], model_name: str) -> tuple[str, tuple[Any, ...], Any]:
        model = self.models[model_name]
        name = record.get("operation")
        known = isinstance(name, str) and name in model.operations
        _need(known, "operation", f"one of {', '.join(model.operations)} for a {model_name}, not {name!r:.60}")
        assert isinstance(name, str)
        arguments = record.get("arguments", [])
        _need(isinstance(arguments, list), "arguments", f"an array, not {arguments!r:.60}")
        wanted = model.operations[name]
        low, high = (wanted, wanted) if isinstance(wanted, int) else wanted
        _need(low <= len(arguments) <= high, "arguments", f"{name} takes {_number(low, high)}, not {len(arguments)}")
        key = record.get("key")
        if name in model.keyed:
            _need(key is not None, "key", f"missing; {name} of a {model_name} needs one")
        return name, tuple(map(frozen, arguments)), frozen(key)


def _number(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _object(line: bytes) -> dict[str, Any]:
    _need(len(line) <= LINE_BYTES_MAX, None, f"more than {LINE_BYTES_MAX} bytes; no operation is as long")
    try:
        record = json.loads(line, object_pairs_hook=_fields, parse_constant=_no_number)
    except BadHistory:
        raise
    except (ValueError, RecursionError) as error:
        # Every line that was written whole ends in a line feed, so this one was not.
        cut = (
            ""
            if line.endswith(b"\n")
            else "; the last line is cut off: complete it, with outcome unknown, or remove it"
        )
        raise BadHistory(f"not JSON: {error}{cut}") from None
    _need(isinstance(record, dict), None, f"a JSON object is wanted, not {line.strip()[:60]!r}")
    found: dict[str, Any] = record
    return found


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise BadHistory(f"field {twice!r}: there twice; keep one of them")
    return fields


def _no_number(name: str) -> Any:
    raise BadHistory(f"{name} is no JSON value, and equals nothing, not even itself; write a string")


def _outcome(record: dict[str, Any]) -> str:
    outcome = record.get("outcome", "ok" if record.get("return") is not None else "unknown")
    _need(outcome in OUTCOMES, "outcome", f"one of {', '.join(OUTCOMES)}, not {outcome!r:.60}")
    return str(outcome)


def _time(record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    whole = type(value) is int and -NEVER < value < NEVER
    _need(whole, name, f"an integer below 2^62, in whatever unit, not {value!r:.60}")
    assert isinstance(value, int)
    return value


def _need(condition: bool, name: str | None, wanted: str) -> None:
    if not condition:
        raise BadHistory(wanted if name is None else f"field {name!r}: {wanted}")


def as_line(operation: Operation, **more: Any) -> str:
    """The line of an operation; `more` are further fields, such as outcome "failed" or level."""
    record: dict[str, Any] = {"process": operation.process}
    for name, value in (("model", operation.model), ("resource", operation.resource), ("key", operation.key)):
        if value not in ("", None):
            record[name] = value
    record |= {"operation": operation.name, "arguments": list(operation.arguments), "call": operation.call}
    if operation.known:
        record |= {"return": operation.returned, "outcome": "ok", "result": operation.result}
    else:
        record |= {"return": None, "outcome": "unknown"}
    if operation.index:
        record["index"] = operation.index
    return json.dumps(record | more)
