"""Reads sealed segments again, one at a time and slowly, so that damage is found while the peers still have what was lost.

Without it a bit that rots in an entry nobody reads is noticed when the last good copy is gone, too.
"""

from __future__ import annotations

import numpy as np

from ..log.checksums import EntryCopier
from ..log.errors import Corruption
from ..log.log import Log
from ..log.segment import Segment


class ScrubJob:
    """Verifies every entry of one segment in the background; `damage` says what was found."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._to_read = segment.as_it_stands()
        self.damage: Corruption | None = None

    def run(self) -> None:
        """Read and verify."""
        try:
            EntryCopier().verify(self._to_read, np.arange(self._to_read.count))
        except Corruption as damage:
            self.damage = damage


class Scrub:
    """Which segment is to be read next: all of them in turn. `segments_read` counts those found sound."""

    def __init__(self, log: Log, interval_ticks: int) -> None:
        self.log = log
        self.interval_ticks = max(1, interval_ticks)
        self.segments_read = 0
        self._ticks = 0
        self._after = 0

    def tick(self) -> None:
        """One tick of time passed."""
        self._ticks += 1

    def next_job(self) -> ScrubJob | None:
        """The job that is due now, if there is one."""
        if self._ticks < self.interval_ticks:
            return None
        self._ticks = 0
        sealed = self.log.sealed_segments()
        if not sealed:
            return None
        segment = next((each for each in sealed if each.first_index > self._after), sealed[0])
        self._after = segment.first_index
        return ScrubJob(segment)

    def done(self, job: ScrubJob) -> Corruption | None:
        """A job was carried out: what is damaged, unless that entry is not part of the log any more."""
        damage = job.damage
        if damage is None:
            self.segments_read += 1
        elif job.segment not in self.log.sealed_segments() or (damage.index or 0) > job.segment.last_index:
            return None
        return damage
