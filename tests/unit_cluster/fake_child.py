"""Stands in for any child in tests of the supervisor: follows a child's contract and does nothing else.

How it behaves is read from `<data>/behaviour/<name>` at its start: words out of `silent` (no ready line), `young`
(still without a handler of SIGTERM), `stubborn` (ignores SIGTERM and the end of its input), or `exit=CODE` (says a line
on standard error and ends).
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path


def main() -> int:
    arguments = json.loads(sys.argv[1])
    is_router = "listen" in arguments
    is_replica = "replica" in arguments
    name = "router-0" if is_router else "compactor"
    if is_replica:
        name = f"replica-{arguments['shard']}-{arguments['replica']}"
    data = Path(arguments["data"])
    behaviour = data / "behaviour" / name
    words = behaviour.read_text().split() if behaviour.exists() else []
    with (data / f"{name}.starts").open("a") as starts:
        starts.write(f"{os.getpid()} {arguments.get('listen', '')}\n")
    for word in words:
        if word.startswith("exit="):
            sys.stderr.write(f"some warning\n{name} cannot do it\n\n")
            return int(word.removeprefix("exit="))
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif "young" not in words:
        signal.signal(signal.SIGTERM, lambda *_: ended(0))
    if "silent" not in words:
        line = {"ready": True, "pid": os.getpid()}
        if is_router:
            line["endpoint"] = arguments["listen"].replace(":0", ":45678")
        print(json.dumps(line), flush=True)
    sys.stdin.read()
    if "stubborn" in words:
        threading.Event().wait()
    return ended(0, data / f"{name}.ends")


def ended(code: int, note: Path | None = None) -> int:
    if note is not None:
        note.write_text("the end of standard input")
        return code
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
