"""A run's samples as a picture: the size of every replica's log over time, and how far its snapshot has come.

Needs matplotlib (the extra `bench`), which is imported when something is drawn and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .faults import Fault
from .samples import by_replica, column

MIB = 1 << 20
MILLION = 1_000_000
SIZE_INCHES = (10.0, 7.0)


def draw(
    path: Path,
    rows: list[tuple[Any, ...]],
    *,
    title: str,
    faults: Sequence[Fault] = (),
    segment_bytes_max: int | None = None,
) -> None:
    """Draw samples (see `samples.COLUMNS`) into a file whose ending names its format.

    With `segment_bytes_max` the size that a log may have is drawn too: three times the live bytes and four segments.
    Raises ImportError without matplotlib, ValueError for an ending that it does not know, OSError.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (sizes, indexes) = pyplot.subplots(2, 1, sharex=True, figsize=SIZE_INCHES, layout="constrained")
    for (shard, replica), mine in by_replica(rows).items():
        name, at = f"replica {shard}/{replica}", column(mine, "at_s")
        (line,) = sizes.plot(at, _scaled(mine, "log_bytes", MIB), label=f"log, {name}")
        sizes.plot(at, _scaled(mine, "live_bytes", MIB), color=line.get_color(), linestyle=":", label=f"live, {name}")
        indexes.plot(at, _scaled(mine, "last_index", MILLION), color=line.get_color(), label=f"last, {name}")
        indexes.plot(
            at, _scaled(mine, "snapshot_index", MILLION), color=line.get_color(), linestyle="--", label=f"S, {name}"
        )
    if segment_bytes_max is not None:
        _draw_bound(sizes, rows, segment_bytes_max)
    for axes in (sizes, indexes):
        for fault in faults:
            axes.axvspan(fault.killed_at_s, fault.restarted_at_s or fault.killed_at_s, color="grey", alpha=0.15)
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend above the lines
        axes.legend(fontsize="small", ncols=3, loc="upper left")
    sizes.set_ylabel("MiB")
    indexes.set_ylabel("index, millions")
    indexes.set_xlabel("seconds")
    sizes.set_title(title)
    figure.savefig(path)
    pyplot.close(figure)


def _draw_bound(axes: Any, rows: list[tuple[Any, ...]], segment_bytes_max: int) -> None:
    """The bound that follows from the replica with the most live bytes at each time."""
    most: dict[float, int] = {}
    for at, live in zip(column(rows, "at_s"), column(rows, "live_bytes"), strict=True):
        if live is not None:
            most[at] = max(live, most.get(at, 0))
    bound = [(3 * live + 4 * segment_bytes_max) / MIB for live in most.values()]
    axes.plot(list(most), bound, color="black", linewidth=0.8, label="3 x live + 4 segments")


def _scaled(rows: list[tuple[Any, ...]], name: str, unit: int) -> list[float]:
    return [float("nan") if value is None else value / unit for value in column(rows, name)]
