"""`ocelog group`: who is there, and messages to members.

    ocelog group join workers --id host-1 -- ./handle     # a run of the command for each message, which comes on its input
    ocelog group send workers hello --to host-1           # until it is acknowledged; without --to, by all members
    ocelog group request workers 21 --random              # prints the reply of one of them
    ocelog group members workers

`join` without a command prints each message as JSON and acknowledges it. A command gets the message on its standard input and in
OCELOG_MESSAGE; what it prints is the reply, if one is asked for, and an exit code other than 0 fails the message.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

from .. import child, watch
from ..group_changes import Delivery, MessageFailed
from ..plain import bare, plain, to_json
from ..verbs import add_connection_options, missing, parse_value, show

SENDING = {
    "send": "send a message, and wait until it is acknowledged; the answer is by whom",
    "post": "send a message without waiting for that; the answer is to how many",
    "request": "send a message to one member, and print its reply; 1 when it gives none",
}
TEXTS = {
    "join": "be a member, and print its messages or run a command for each; until Ctrl-C",
    "members": "every member as JSON, one a line, in the order of joining",
    "leader": "who leads, and the term; 1 when nobody is present",
    "remove": "remove a member: true or false",
    "watch": "print each change of the members as JSON, or run a command for it; until Ctrl-C",
    **SENDING,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog group`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for operation, text in TEXTS.items():
        choice = choices.add_parser(operation, help=text, description=text)
        choice.add_argument("name", metavar="NAME", help="the group's name")
        if operation == "remove":
            choice.add_argument("id", metavar="ID", help="what the member is called")
        if operation in SENDING:
            choice.add_argument("message", metavar="MESSAGE", type=parse_value, help="JSON, or a text")
            to = choice.add_mutually_exclusive_group()
            to.add_argument("--to", metavar="ID", help="to this member")
            to.add_argument("--random", action="store_true", help="to one of those present")
        if operation == "join":
            choice.add_argument(
                "--id", metavar="ID", help="what the member is called; it is kept when it is away (none)"
            )
            choice.add_argument("--metadata", type=parse_value, metavar="JSON", help="what others see of it")
            choice.add_argument("--expires", type=float, metavar="S", help="it is removed when it was away for so long")
            choice.add_argument("--count", type=int, metavar="N", help="end after so many messages")
        add_connection_options(choice)
        if operation in ("join", "watch"):
            watch.configure(choice)


def run(options: argparse.Namespace) -> int:
    """Carry out one operation. Raises OcelogError; 1 when nobody leads, nothing was removed, or a message failed."""
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        group = client.group(options.name)
        if options.operation == "join":
            return _join(group, options)
        if options.operation == "watch":
            with group.events() as events:
                return watch.watch(events, options.command)
        if options.operation == "members":
            for member in [] if missing(client, options.name) else group.members():
                sys.stdout.write(f"{to_json(plain(member._asdict()))}\n")
            return 0
        if options.operation == "leader" and missing(client, options.name):
            return 1
        try:
            result = _result(group, options)
        except MessageFailed as failed:
            sys.stderr.write(f"ocelog: {failed}\n")
            return 1
    if result is not None:
        show(result, as_json=options.json, to_person=sys.stdout.isatty())
    return int(result is None or result is False)


def _result(group: Any, options: argparse.Namespace) -> Any:
    if options.operation == "remove":
        return group.remove(options.id)
    if options.operation == "leader":
        leader = group.leader()
        return None if leader.id is None else leader._asdict()
    everybody = Delivery.RANDOM if options.operation == "request" else Delivery.BROADCAST
    to = options.to or (Delivery.RANDOM if options.random else everybody)
    return getattr(group, options.operation)(options.message, to=to)


def _join(group: Any, options: argparse.Namespace) -> int:
    left = options.count
    with group.join(options.id, metadata=options.metadata, expires=options.expires) as member:
        while left is None or left > 0:
            message = next(member)
            if options.command:
                _handle(options.command, message)
            else:
                sys.stdout.write(f"{to_json(plain(message.value))}\n")
                sys.stdout.flush()
                message.ack()
            left = None if left is None else left - 1
    return 0


def _handle(command: list[str], message: Any) -> None:
    text = bare(plain(message.value))
    names = {
        "OCELOG_MESSAGE": text,
        "OCELOG_MESSAGE_ID": str(message.id),
        "OCELOG_MESSAGE_ATTEMPT": str(message.attempt),
    }
    code, printed = child.run(command, names, input=text, stdout=subprocess.PIPE)
    if code:
        message.fail(f"exit code {code}" if code > 0 else f"signal {-code}")
    elif message.wants_reply and printed.strip():
        message.reply(parse_value(printed.strip()))
    else:
        sys.stdout.write(printed)
        sys.stdout.flush()
        message.ack()
