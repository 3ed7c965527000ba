"""Campaigns: many seeds, in several processes, with results that are appended to a file and gone on with.

A line of results is one seed: what it was about, whether it failed and how, what happened and how long it took. It counts
only for the code that it ran with, by a checksum over all sources, so that whoever changes a line begins again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import ocelog

from .profiles import PROFILES
from .simulation import Failure, run

Result = dict[str, Any]
"""One seed, as JSON holds it."""


def run_seed(seed: int, profile: str) -> Result:
    """Run one seed; whatever comes of it is in the result."""
    began = time.process_time()
    result: Result = {"seed": seed, "profile": profile, "code": code()}
    try:
        done = run(seed, overrides=PROFILES[profile])
    except Failure as failure:
        result |= {"failed": failure.what, "text": str(failure), "seconds": failure.seconds}
    else:
        happened = {"entries": done.entries, "restarts": done.restarts, "terms": done.terms, "answered": done.answered}
        result |= {"trace": done.trace, "seconds": done.seconds, "faults": done.faults, "looks": done.looks}
        result["counts"] = {**done.counts, **happened}
    result["cpu"] = time.process_time() - began
    return result


_code: list[str] = []


def code() -> str:
    """A checksum over the code that is tested and the simulation."""
    if not _code:
        tests = Path(__file__).parents[1]
        rooms = [Path(ocelog.__file__).parent / room for room in ("log", "shard", "client", "cluster")]
        here = [tests / "simulation", tests / "unit_shard" / "machines", tests / "unit_shard" / "rebuild"]
        value = 0
        for directory in [*rooms, *here]:
            for path in sorted(directory.rglob("*.py")):
                value = crc32(path.read_bytes(), value)
        _code.append(f"{value:08x}")
    return _code[0]


class Campaign:
    """Takes seeds, gives results. What is in the file `results` already, of this code and profile, is not run again."""

    def __init__(
        self, profile: str, *, jobs: int = 1, results: Path | None = None, minutes: float | None = None
    ) -> None:
        self.profile = profile
        self.jobs = jobs
        self.results = results
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.known = {result["seed"]: result for result in self._recorded()}

    def _recorded(self) -> Iterator[Result]:
        if self.results is None or not self.results.exists():
            return
        for line in self.results.read_text().splitlines():
            try:
                result = json.loads(line)
            except ValueError:
                continue  # the last line of a campaign that was killed
            if (result.get("code"), result.get("profile")) == (code(), self.profile):
                yield result

    def run(self, seeds: Iterable[int]) -> Iterator[Result]:
        """The results of these seeds, as they come, until the time is over."""
        wanted = (seed for seed in seeds if seed not in self.known)
        if self.jobs == 1:
            for seed in wanted:
                if self._over:
                    return
                yield self._record(run_seed(seed, self.profile))
            return
        with ProcessPoolExecutor(self.jobs, mp_context=get_context("spawn")) as pool:
            running: set[Future[Result]] = set()
            for seed in wanted:
                if self._over:
                    break
                running.add(pool.submit(run_seed, seed, self.profile))
                if len(running) > self.jobs:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (self._record(future.result()) for future in done)
            yield from (self._record(future.result()) for future in running)

    @property
    def _over(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _record(self, result: Result) -> Result:
        if self.results is not None:
            with self.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
        return result


class Total:
    """What results amount to."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failed: list[int] = []
        self.seeds = 0
        self.seconds = self.cpu = 0.0

    def add(self, result: Result) -> None:
        """One more."""
        self.seeds += 1
        self.seconds += result["seconds"]
        self.cpu += result["cpu"]
        if "failed" in result:
            self.failed.append(result["seed"])
        else:
            self.counts.update(result["counts"], faults=result["faults"], looks=result["looks"])

    def lines(self) -> Iterator[str]:
        """As a campaign prints it."""
        yield f"{self.seeds} seeds, {len(self.failed)} failed{': ' if self.failed else ''}{sorted(self.failed) or ''}"
        yield ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        if self.cpu:
            rates = {name: self.counts[key] / self.cpu for name, key in RATES.items()}
            per_second = ", ".join(f"{rate:.0f} {name}" for name, rate in rates.items())
            yield f"{self.cpu:.1f} s of CPU: {self.seconds / self.cpu:.0f} simulated seconds, {per_second} per core-second"


RATES = {"operations answered": "answered", "entries": "entries", "faults": "faults", "looks of checkers": "looks"}
"""What the speed of a campaign is told in: by name, the count."""
