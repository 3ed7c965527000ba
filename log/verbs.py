"""The verbs `ocelog log verify`, `inspect` and `heat`: their arguments, what they print, their exit codes.

None of them changes a file or asks a running replica anything.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

# numpy is imported where it is used and not here, so that `ocelog --help` does not wait for it.
if TYPE_CHECKING:
    from .inspect import LogReport, LogView

EXIT_USAGE, EXIT_DAMAGED, EXIT_UNAVAILABLE = 64, 65, 69

Why = Callable[["LogView"], dict[str, list[dict[str, Any]]]]
"""Who keeps the live entries of a log: rows by what they are of. Another room tells, as this one does not read payloads."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog log`."""
    verbs = parser.add_subparsers(dest="log_verb", required=True, metavar="VERB")
    verify_parser = verbs.add_parser("verify", help="check every checksum of every file, and change nothing")
    verify_parser.add_argument("directory", metavar="DIR", help="a data directory, or that of one replica")
    inspect_parser = verbs.add_parser("inspect", help="tell what each segment holds, and what of it is live")
    inspect_parser.add_argument("directory", metavar="DIR", help="a data directory, or that of one replica")
    inspect_parser.add_argument("--json", action="store_true", help="print one JSON object per replica")
    inspect_parser.add_argument(
        "--why", action="store_true", help="tell which resources and sessions keep entries live"
    )
    heat_parser = verbs.add_parser("heat", help="draw each segment: live, dead and missing entries")
    heat_parser.add_argument("directory", metavar="DIR", help="the directory of one replica")
    heat_parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the picture, for example heat.png")


def run(options: argparse.Namespace, why: Why | None = None) -> int:
    """Carry out a verb of `ocelog log`."""
    if options.log_verb == "verify":
        return verify(options.directory, sys.stdout)
    if options.log_verb == "heat":
        return heat(options.directory, options.output)
    return inspect(options.directory, sys.stdout, as_json=options.json, why=why if options.why else None)


def verify(directory: str, out: TextIO) -> int:
    """Print one line per file below `directory`; returns 0, 65 when one is damaged, 64 when there is nothing to check."""
    from .dump import check
    from .files import OsDisk

    replicas = _replicas(directory)
    if not replicas:
        return EXIT_USAGE
    damaged = files = 0
    for replica in replicas:
        for finding in check(OsDisk(), replica):
            out.write(f"{'ok     ' if finding.sound else 'DAMAGED'}  {finding.path}  {finding.text}\n")
            files += 1
            damaged += not finding.sound
    out.write(f"{files} files of {len(replicas)} replicas, {damaged or 'none'} damaged\n")
    return EXIT_DAMAGED if damaged else 0


def inspect(directory: str, out: TextIO, *, as_json: bool = False, why: Why | None = None) -> int:
    """Print what the logs below `directory` hold; returns 0, 65 when one cannot be read, 64 when there is none."""
    from .errors import LogError
    from .files import ReadingDisk
    from .inspect import LogView

    replicas = _replicas(directory)
    code = 0 if replicas else EXIT_USAGE
    for number, replica in enumerate(replicas):
        try:
            view = LogView.open(ReadingDisk(), replica)
            report, kept = view.report(), why(view) if why else {}
        except LogError as error:
            sys.stderr.write(f"ocelog: {error}\n")
            code = EXIT_DAMAGED
            continue
        if as_json:
            out.write(json.dumps(dataclasses.asdict(report) | kept) + "\n")
        else:
            out.write("\n" * (number > 0) + "\n".join(_described(report, kept)) + "\n")
    return code


def heat(directory: str, path: str) -> int:
    """Draw the log of one replica into a file; returns 0, 64 without one replica, 69 without matplotlib."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        sys.stderr.write("ocelog: a picture needs matplotlib: pip install 'ocelog[bench]'\n")
        return EXIT_UNAVAILABLE
    from .files import ReadingDisk
    from .heat import draw
    from .inspect import LogView

    replicas = _replicas(directory)
    if len(replicas) > 1:
        sys.stderr.write(
            f"ocelog: there are {len(replicas)} replicas in {directory}: name one, such as {replicas[0]}\n"
        )
    if len(replicas) != 1:
        return EXIT_USAGE
    try:
        draw(LogView.open(ReadingDisk(), replicas[0]), path)
    except ValueError as error:  # an ending that matplotlib does not know
        sys.stderr.write(f"ocelog: {path}: {error}\n")
        return EXIT_USAGE
    return 0


def _replicas(directory: str) -> list[str]:
    """The replica directories that it is or holds; says so when there are none."""
    from .dump import replica_directories
    from .files import OsDisk

    try:
        found = replica_directories(OsDisk(), directory.rstrip("/") or "/")
    except (FileNotFoundError, NotADirectoryError):
        found = []
    if not found:
        sys.stderr.write(f"ocelog: {directory} is no data directory: there is no replica in it\n")
    return found


SEGMENT_COLUMNS = {
    "segment": "file",
    "version": "version",
    "first": "first_index",
    "last": "last_index",
    "entries": "entries",
    "live": "live",
    "dead": "dead",
    "above S": "newer",
    "bytes": "bytes",
    "live bytes": "live_bytes",
    "file": "file_bytes",
}


def _described(report: LogReport, kept: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The lines for people."""
    snapshot = "no snapshot, so nothing is known to be dead"
    if report.snapshot_index:
        snapshot = f"snapshot at S = {report.snapshot_index} ({report.snapshot_bytes} bytes), D = {report.dense_index}"
    lines = [f"{report.directory}: entries up to {report.last_index}, {snapshot}"]
    rows = [[str(getattr(segment, field)) for field in SEGMENT_COLUMNS.values()] for segment in report.segments]
    for row, segment in zip(rows, report.segments, strict=True):
        row[0] += " (open)" if segment.open else ""
    total = ("entries", "live", "dead", "newer", "bytes", "live_bytes", "file_bytes")
    rows.append(["total"] + [str(report.total(f)) if f in total else "" for f in list(SEGMENT_COLUMNS.values())[1:]])
    lines += _table(list(SEGMENT_COLUMNS), rows)
    for what, keepers in kept.items():
        lines += ["", f"live entries by {what}:" if keepers else f"live entries by {what}: none"]
        if keepers:
            lines += _table(list(keepers[0]), [[str(value) for value in keeper.values()] for keeper in keepers])
    return lines


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    """Columns of equal width, the first one flush left."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for row in (headings, *rows):
        first, *rest = (
            text.ljust(width) if not at else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(["  " + first, *rest]).rstrip())
    return lines
