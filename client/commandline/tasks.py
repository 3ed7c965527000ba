"""`ocelog tasks`: submit tasks, and work on them.

    ocelog tasks submit mails '{"to": "ada"}' --wait
    ocelog tasks work mails -- ./send
    ocelog tasks stats mails

The command of `work` finds the task on its standard input (a bare text, else JSON), and in OCELOG_TASK, its id and attempt
in OCELOG_TASK_ID and OCELOG_TASK_ATTEMPT. The task is acknowledged when it ends with 0, else it has failed. Without a
command each task is printed and acknowledged. Working ends with Ctrl-C, which gives back the task under way, or after
`--count` tasks.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from .. import child, watch
from ..plain import bare, plain, to_json
from ..verbs import add_connection_options, missing, parse_value, show

if TYPE_CHECKING:
    from ..resources.task_queue_sync import Task

SUBMIT = "add a task; the answer is its id"
WORK = "run a command for each task, or print and acknowledge it; until Ctrl-C"
STATS = "how many tasks are pending, under way, acknowledged and failed, and how many workers there are"

NONE = {"pending": 0, "under_way": 0, "workers": 0, "acknowledged": 0, "failed": 0}
"""The figures of a task queue that nobody has used yet."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ocelog tasks`."""
    choices = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for operation, text in (("submit", SUBMIT), ("work", WORK), ("stats", STATS)):
        choice = choices.add_parser(operation, help=text, description=text)
        choice.add_argument("name", metavar="NAME", help="the task queue's name")
        if operation == "submit":
            choice.add_argument("task", metavar="TASK", type=parse_value)
            choice.add_argument("--wait", action="store_true", help="wait until it is done, at most --timeout seconds")
        add_connection_options(choice)
        if operation == "work":
            choice.add_argument("--count", type=int, metavar="N", help="end after so many tasks")
            watch.configure(choice)


def run(options: argparse.Namespace) -> int:
    """Submit a task, work, or tell how it goes. Raises OcelogError; 1 when a task failed that was waited for."""
    from ..sync import connect
    from ..workers import TaskFailed

    with connect(options.endpoints, timeout=options.timeout) as client:
        tasks = client.task_queue(options.name)
        if options.operation == "work":
            return _work(tasks, options)
        if options.operation == "stats":
            _print(NONE if missing(client, options.name) else tasks.stats(), options)
        elif not options.wait:
            _print(tasks.submit(options.task), options)
        else:
            try:
                tasks.submit_and_wait(options.task, timeout=options.timeout)
            except TaskFailed as failed:
                sys.stderr.write(f"ocelog: {failed}\n")
                return 1
    return 0


def _print(result: Any, options: argparse.Namespace) -> None:
    show(result, as_json=options.json, to_person=sys.stdout.isatty())


def _work(tasks: Any, options: argparse.Namespace) -> int:
    left = options.count
    with tasks.subscribe() as worker:
        while left is None or left > 0:
            task = worker.next()
            if options.command:
                _carry_out(options.command, task)
            else:
                sys.stdout.write(f"{to_json(plain(task.value))}\n")
                sys.stdout.flush()
                task.ack()
            left = None if left is None else left - 1
    return 0


def _carry_out(command: list[str], task: Task) -> None:
    text = bare(plain(task.value))
    names = {"OCELOG_TASK": text, "OCELOG_TASK_ID": str(task.id), "OCELOG_TASK_ATTEMPT": str(task.attempt)}
    code, _ = child.run(command, names, input=text)
    if code:
        task.fail(f"exit code {code}" if code > 0 else f"signal {-code}")
    else:
        task.ack()
