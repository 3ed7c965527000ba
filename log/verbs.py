"""The verb `ocelog log verify DIR`: its argument, what it prints, its exit codes."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

EXIT_USAGE, EXIT_DAMAGED = 64, 65


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog log`."""
    verbs = parser.add_subparsers(dest="log_verb", required=True, metavar="VERB")
    verify_parser = verbs.add_parser("verify", help="check every checksum of every file, and change nothing")
    verify_parser.add_argument("directory", metavar="DIR", help="a data directory, or that of one replica")


def run(options: argparse.Namespace) -> int:
    """Carry out `ocelog log verify`."""
    return verify(options.directory, sys.stdout)


def verify(directory: str, out: TextIO) -> int:
    """Print one line per file below `directory`; returns 0, 65 when one is damaged, 64 when there is nothing to check."""
    # numpy is imported here and not above, so that `ocelog --help` does not wait for it.
    from .dump import check, replica_directories
    from .files import OsDisk

    disk = OsDisk()
    try:
        replicas = replica_directories(disk, directory.rstrip("/") or "/")
    except (FileNotFoundError, NotADirectoryError):
        replicas = []
    if not replicas:
        sys.stderr.write(f"ocelog: {directory} is no data directory: there is no replica in it\n")
        return EXIT_USAGE
    damaged = files = 0
    for replica in replicas:
        for finding in check(disk, replica):
            out.write(f"{'ok     ' if finding.sound else 'DAMAGED'}  {finding.path}  {finding.text}\n")
            files += 1
            damaged += not finding.sound
    out.write(f"{files} files of {len(replicas)} replicas, {damaged or 'none'} damaged\n")
    return EXIT_DAMAGED if damaged else 0
