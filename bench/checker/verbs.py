"""`ocelog check HISTORY`: whether some order of the operations of a history explains every result."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from .judge import Bounds, Judgement, judge
from .model import Model
from .models import MODELS
from .page import page
from .reading import BadHistory, BadModel, Recorded, TooLong, model_called, read_file
from .search import MEMORY_BYTES_MAX, STATES_MAX, ModelFailed

FINDINGS_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ocelog check`."""
    parser.description = (
        "Check that a history is linearizable. Exit codes: 0 it is, 1 it is not, 75 undecided within the bounds, "
        "65 a line that cannot be read or nothing to judge, 74 a file that cannot, 64 usage. The format is docs/checking.md."
    )
    parser.add_argument("history", type=Path, help="JSON lines, one operation each")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help=f"of lines that name none: {', '.join(MODELS)} or MODULE:CLASS; NAME=MODULE:CLASS gives a model a name",
    )
    parser.add_argument("--seconds", type=float, default=300.0, metavar="S", help="give up after so long (default 300)")
    parser.add_argument(
        "--states",
        type=int,
        default=STATES_MAX,
        metavar="N",
        help=f"places remembered at a time (default {STATES_MAX})",
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=MEMORY_BYTES_MAX >> 20,
        metavar="MIB",
        help=f"what these may take (default {MEMORY_BYTES_MAX >> 20})",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="where to show what is wrong (default HISTORY.html)")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(args: argparse.Namespace) -> int:
    """Check: 0, 1, 75 undecided, 65 for a bad line or nothing to judge, 64 for a bad model or bound. Raises OSError."""
    try:
        default, models = _models(args.model)
        bounds = _bounds(args)
    except ValueError as error:
        print(f"ocelog check: {error}", file=sys.stderr)
        return os.EX_USAGE
    try:
        recorded = read_file(args.history, default, models)
    except BadHistory as error:
        print(f"ocelog check: {error}", file=sys.stderr)
        return os.EX_DATAERR
    except TooLong as error:
        print(f"ocelog check: undecided: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL
    try:
        judgement = judge(recorded.operations, models, bounds)
    except ModelFailed as error:
        print(f"ocelog check: {args.history}: {error}", file=sys.stderr)
        return os.EX_DATAERR
    shown = None
    if judgement.verdict != "linearizable":
        shown = args.html or args.history.with_name(args.history.name + ".html")
        shown.write_text(page(judgement, args.history.name), encoding="utf-8")
    _tell(judgement, recorded, shown, args.json)
    return {"linearizable": os.EX_OK, "undecided": os.EX_TEMPFAIL}.get(judgement.verdict, 1)


def _models(given: list[str]) -> tuple[str | None, dict[str, Model]]:
    """The default model's name and all that lines may name. Raises ValueError."""
    models: dict[str, Model] = {name: made() for name, made in MODELS.items()}
    default = None
    for text in given:
        name, equals, source = text.partition("=")
        if equals:
            models[name] = model_called(source)
            continue
        if default is not None:
            raise BadModel(f"--model {text}: lines that name no model have one already, {default}; NAME=MODULE:CLASS")
        models[text] = model_called(text)
        default = text
    return default, models


def _bounds(args: argparse.Namespace) -> Bounds:
    for option, value in (("--seconds", args.seconds), ("--states", args.states), ("--memory", args.memory)):
        if not value > 0:
            raise ValueError(f"{option} {value}: more than 0")
    return Bounds(seconds=args.seconds, states_max=args.states, memory_bytes_max=args.memory << 20)


def _tell(judgement: Judgement, recorded: Recorded, shown: Path | None, as_json: bool) -> None:
    findings = [*judgement.wrong, *judgement.undecided]
    if as_json:
        result: dict[str, Any] = {
            "verdict": judgement.verdict,
            "operations": judgement.operations,
            "unknown": judgement.unknown,
            "failed": recorded.failed,
            "weaker_reads": recorded.weaker,
            "other_records": recorded.others,
            "parts": judgement.parts,
            "steps": judgement.steps,
            "seconds": round(judgement.seconds, 3),
            "findings": [str(finding) for finding in findings],
            "page": str(shown) if shown else None,
        }
        print(json.dumps(result))
        return
    rate = judgement.operations / judgement.seconds if judgement.seconds else 0.0
    print(
        f"{judgement.verdict}: {judgement.operations} operations ({judgement.unknown} without a known outcome) in "
        f"{judgement.parts} parts, {judgement.seconds:.2f} s, {rate:.0f} operations/s"
    )
    for count, text in (
        (recorded.failed, "operations failed for sure and count as never done"),
        (recorded.weaker, "weaker reads, which this checker does not judge"),
        (recorded.others, "records of other checkers"),
    ):
        if count:
            print(f"  left out: {count} {text}")
    for finding in findings[:FINDINGS_SHOWN]:
        print(f"  {finding}")
    if len(findings) > FINDINGS_SHOWN:
        print(f"  and {len(findings) - FINDINGS_SHOWN} more")
    if shown:
        print(f"shown in {shown}")
