"""The network between replicas and clients: it loses, repeats, delays and reorders, and can be cut in one direction or both.

Messages are lists of frames, copied on the way in as a real network would. Whoever is at the other end when they arrive
gets them, also a later incarnation than the one they were meant for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .scheduler import MS, Scheduler

Frames = list[bytes]
Receiver = Callable[[str, Frames], None]


@dataclass(kw_only=True)
class Weather:
    """How bad the network is. Probabilities per message; delays in microseconds, `late_max` for the few late ones."""

    loss: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    delay_min: int = 50
    delay_max: int = 2 * MS
    late_max: int = 50 * MS
    reorders: bool = False


class Network:
    """Endpoints by name. `cut` holds the (from, to) pairs between which nothing passes; `lost` counts what was lost.

    What `parks(source, to, frames)` says is kept in `parked` when it would arrive, until `deliver_parked`.
    """

    def __init__(self, scheduler: Scheduler, weather: Weather) -> None:
        self.scheduler = scheduler
        self.weather = weather
        self.lost = 0
        self.cut: set[tuple[str, str]] = set()
        self.parks: Callable[[str, str, Frames], bool] | None = None
        self.parked: list[tuple[str, str, Frames]] = []
        self._receivers: dict[str, Receiver] = {}
        self._last_arrival: dict[tuple[str, str], int] = {}

    def attach(self, name: str, receiver: Receiver) -> None:
        """Deliver what is sent to `name` to this function."""
        self._receivers[name] = receiver

    @property
    def names(self) -> list[str]:
        """Every endpoint, in the order they were attached."""
        return list(self._receivers)

    def send(self, source: str, to: str, frames: Sequence[bytes | memoryview]) -> None:
        """Send one message; it may arrive never, once or twice."""
        weather, scheduler = self.weather, self.scheduler
        copied = [bytes(frame) for frame in frames]
        if (source, to) in self.cut or scheduler.chance(weather.loss):
            self.lost += 1
            return
        for _ in range(2 if scheduler.chance(weather.repeat) else 1):
            scheduler.after(self._delay(source, to), self._arrive, source, to, copied)

    def _delay(self, source: str, to: str) -> int:
        weather, scheduler = self.weather, self.scheduler
        delay = scheduler.between(weather.delay_min, weather.delay_max)
        if scheduler.chance(weather.late):
            delay += scheduler.between(0, weather.late_max)
        if weather.reorders:
            return delay
        arrival = max(scheduler.now + delay, self._last_arrival.get((source, to), 0))
        self._last_arrival[source, to] = arrival
        return arrival - scheduler.now

    def _arrive(self, source: str, to: str, frames: Frames) -> None:
        if (source, to) in self.cut:
            return
        if self.parks is not None and self.parks(source, to, frames):
            self.parked.append((source, to, frames))
        else:
            self._receivers[to](source, frames)

    def deliver_parked(self) -> None:
        """What was parked arrives now, in its order."""
        parked, self.parked = self.parked, []
        for source, to, frames in parked:
            self._receivers[to](source, frames)

    def separate(
        self, group: Sequence[str], others: Sequence[str], *, inward: bool = True, outward: bool = True
    ) -> None:
        """Cut this group off from the others: what goes in, what comes out, or both."""
        for name in group:
            for other in others:
                if outward:
                    self.cut.add((name, other))
                if inward:
                    self.cut.add((other, name))

    def heal(self) -> None:
        """Connect everybody again."""
        self.cut.clear()


def host_name(member: int) -> str:
    """The endpoint of a member."""
    return f"replica-{member}"
