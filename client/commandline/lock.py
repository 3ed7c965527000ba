"""`ocelog lock`, `ocelog rwlock` and `ocelog semaphore`: run a command while something is held, or tell who holds it.

ocelog lock deploy --timeout 60 -- ./deploy.sh
ocelog rwlock config --read -- ./report.sh
ocelog semaphore uploads --capacity 3 -- ./upload.sh
ocelog semaphore uploads --set-capacity 5
ocelog lock deploy --status
"""

from __future__ import annotations

import argparse

from ..verbs import show
from . import guarded


def configure_lock(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog lock`."""
    guarded.configure(parser, "lock")


def run_lock(options: argparse.Namespace) -> int:
    """Run a command while a lock is held. Raises OcelogError."""
    return guarded.run(
        options,
        lambda client: client.lock(options.name),
        lambda lock, **keywords: lock.lock(**keywords),
    )


def configure_rwlock(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog rwlock`."""
    guarded.configure(parser, "read-write lock")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--read", action="store_true", help="hold it for reading, beside other readers")
    how.add_argument("--write", action="store_true", help="hold it for writing, alone (so it is without either)")


def run_rwlock(options: argparse.Namespace) -> int:
    """Run a command while a read-write lock is held. Raises OcelogError."""
    return guarded.run(
        options,
        lambda client: client.read_write_lock(options.name),
        lambda lock, **keywords: lock.read(**keywords) if options.read else lock.write(**keywords),
    )


def configure_semaphore(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog semaphore`."""
    guarded.configure(parser, "semaphore")
    parser.add_argument("--permits", type=int, default=1, metavar="N", help="how many permits to hold (1)")
    parser.add_argument(
        "--capacity", type=int, metavar="N", help="how many there are; without, as many as was said before"
    )
    parser.usage = f"{parser.usage}\n       {parser.prog} NAME --set-capacity N"
    parser.add_argument("--set-capacity", type=int, metavar="N", help="change how many there are, and run nothing")


def run_semaphore(options: argparse.Namespace) -> int:
    """Run a command while permits of a semaphore are held, or change how many there are. Raises OcelogError."""
    if options.set_capacity is not None:
        return _set_capacity(options)
    return guarded.run(
        options,
        lambda client: client.semaphore(options.name, options.capacity),
        lambda semaphore, **keywords: semaphore.acquire(options.permits, **keywords),
    )


def _set_capacity(options: argparse.Namespace) -> int:
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout or guarded.CONNECT_S) as client:
        before = client.semaphore(options.name).set_capacity(options.set_capacity)
    show(before, as_json=options.json, to_person=False)
    return 0
