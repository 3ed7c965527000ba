"""The verb `ocelog log`: what the log room can say of its files, and, with `--why`, whose the live entries are."""

from __future__ import annotations

import argparse

from ..log import verbs


def configure_log(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog log`."""
    verbs.configure(parser)


def run_log(options: argparse.Namespace) -> int:
    """Carry out `ocelog log`."""
    if not getattr(options, "why", False):
        return verbs.run(options)
    from .keepers import keepers  # which needs numpy

    return verbs.run(options, why=keepers)
