"""When which fault strikes: one thread for the light ones, one for the heavy, both seeded, until they are told to stop."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...client import OcelogError
from ..consistency.run import ABANDON_SECONDS
from .faults import FAULTS, Fault, well
from .scene import Scene

FAULT_SECONDS = (0.2, 1.5)
LEADER_SECONDS = 15.0
"""So long is waited for a leader before the next fault."""


class Strikes:
    """Strikes every `every` seconds on average, in either thread, with `faults`; `counts` says how often which of them did.

    `skipped` are those that cannot strike here, with the reason; `complaints` what did not get well again, at the end of
    which `whole` is False.
    """

    def __init__(self, scene: Scene, *, every: float, seed: int, faults: Sequence[type[Fault]] = FAULTS) -> None:
        self.scene = scene
        self.every = every
        self.counts: Counter[str] = Counter()
        self.skipped = {fault.name: scene.lacks[fault.needs] for fault in faults if fault.needs in scene.lacks}
        self.complaints: list[str] = []
        self.whole = True
        self.error: BaseException | None = None
        able = [fault for fault in faults if fault.name not in self.skipped]
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(chosen, f"{seed} {kind}"), name=f"{kind} faults", daemon=True)
            for kind, chosen in (
                ("light", [fault for fault in able if not fault.heavy]),
                ("heavy", [fault for fault in able if fault.heavy]),
            )
            if chosen
        ]
        for thread in self._threads:
            thread.start()

    def abandon(self) -> None:
        """Strike no more, whatever state it leaves."""
        self._over.set()
        for thread in self._threads:
            thread.join(ABANDON_SECONDS)

    def stop(self) -> None:
        """Strike no more, and put everything back. Raises what went wrong in a fault itself."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.scene.links.heal()
        if self.error is not None:
            raise self.error
        if not well(self.scene, lambda: False):
            self.whole = False
            self.complaints.append(f"the cluster did not get well again: {self._verdict()}")

    def _run(self, faults: list[type[Fault]], seed: str) -> None:
        rng = random.Random(seed)
        made = [fault(self.scene, rng) for fault in faults]
        try:
            while not self._over.wait(rng.uniform(0.3, 1.7) * self.every):
                with suppress(OcelogError, TimeoutError):
                    self.scene.leader(0, timeout=LEADER_SECONDS)  # else clients would get nothing done in between
                self._strike(rng.choice(made), rng)
        except BaseException as error:
            self.error = error

    def _strike(self, fault: Fault, rng: random.Random) -> None:
        if fault.heavy and not well(self.scene, self._over.is_set):
            if not self._over.is_set():
                verdict = self._verdict()
                self.complaints.append(f"before {fault.name!r} the cluster did not get well again: {verdict}")
            return
        try:
            fault.strike(rng.uniform(*FAULT_SECONDS))
        except (OcelogError, TimeoutError):
            return  # nobody led, or no router answered, when it wanted to know who does
        self.counts[fault.name] += 1

    def _verdict(self) -> str:
        try:
            return str(self.scene.status()["verdict"])
        except OcelogError as error:
            return str(error)


StrikesOf = Callable[[Scene], Strikes]
