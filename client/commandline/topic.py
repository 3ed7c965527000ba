"""`ocelog topic`: messages to whoever subscribes at the moment.

ocelog topic publish news '{"title": "a"}'
ocelog topic publish-and-wait news '{"title": "b"}'
ocelog topic subscribe news -- sh -c 'echo "$OCELOG_EVENT_NEW"'
"""

from __future__ import annotations

import argparse
import sys

from .. import watch
from ..verbs import add_connection_options, parse_value, show

SUBSCRIBE = "print each message as JSON, or run a command for it; until Ctrl-C"
PUBLISH = "send a message; the answer is to how many sessions"
PUBLISH_AND_WAIT = "send a message, and wait until every subscriber has handled it"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog topic`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for operation, text in (("publish", PUBLISH), ("publish-and-wait", PUBLISH_AND_WAIT), ("subscribe", SUBSCRIBE)):
        choice = choices.add_parser(operation, help=text, description=text)
        choice.add_argument("name", metavar="NAME", help="the topic's name")
        if operation != "subscribe":
            choice.add_argument("message", metavar="MESSAGE", type=parse_value)
        add_connection_options(choice)
        if operation == "subscribe":
            watch.configure(choice)


def run(options: argparse.Namespace) -> int:
    """Publish a message, or subscribe. Raises OcelogError."""
    from ..sync import connect

    with connect(options.endpoints, timeout=options.timeout) as client:
        topic = client.topic(options.name)
        if options.operation == "subscribe":
            with topic.events() as events:
                return watch.watch(events, options.command)
        publish = topic.publish if options.operation == "publish" else topic.publish_and_wait
        show(publish(options.message), as_json=options.json, to_person=sys.stdout.isatty())
    return 0
