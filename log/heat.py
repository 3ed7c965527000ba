"""A picture of a log: one row per segment, one column per run of indexes, and beside it the bytes that the segment takes.

Of each run, what is live, dead, newer than the snapshot or missing is stacked, by number of indexes; the larger its entries, the
deeper the colours. What compaction did shows as grey where dead entries were, and as rows that became one.

Needs matplotlib (the extra `bench`), which nothing else in this room does; it is imported when something is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .inspect import LogReport, LogView
from .segment import Segment

COLUMNS = 800
"""Runs per row; a segment that covers fewer indexes has one run for each."""
ROW_INCHES = 0.26
ROWS_LABELLED_MAX = 60
INCHES_MAX = 40.0
WIDTH_INCHES = 11.0
ROW_PIXELS = 24
SEEN_PIXELS = 1.5
PALEST = 0.4
"""How deep the colour of the smallest entries is, of 1."""
ONE_SIZE = 1.1
"""Entries that differ by less than this factor are drawn as of one size."""
MIB = 1 << 20

LIVE, DEAD, NEWER, MISSING = range(4)
NAMES = ("live", "dead, can be removed", "above S, not judged yet", "missing")
COLOURS = np.array([[0.10, 0.52, 0.30], [0.84, 0.29, 0.18], [0.23, 0.42, 0.69], [0.90, 0.90, 0.90]])

Floats = npt.NDArray[np.float64]


def runs_of(view: LogView, segment: Segment, columns: int = COLUMNS) -> tuple[Floats, Floats]:
    """Cut what a segment covers into runs: the share of each state per run, and the mean size of its entries.

    Shapes (runs, 4) and (runs,); the mean is 0 where there is no entry.
    """
    covered = segment.last_index - segment.first_index + 1
    count = min(columns, covered)
    edges = segment.first_index + np.arange(count + 1, dtype=np.int64) * covered // max(count, 1)
    row_at = np.searchsorted(segment.indexes().astype(np.int64), edges)
    live = view.live_rows(segment)
    newer = np.arange(segment.count) >= segment.count - view.newer_rows(segment)
    width = np.diff(edges)
    present = np.diff(row_at)
    states = [_per_run(mask, row_at) for mask in (live, ~live & ~newer, newer)]
    shares: Floats = np.stack([*states, width - present], axis=1) / np.maximum(width, 1)[:, None]
    sizes: Floats = _per_run(segment.sizes(), row_at) / np.maximum(present, 1)
    return shares, sizes


def _per_run(values: npt.NDArray[Any], row_at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The sum of a row's values in each run."""
    total = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    return np.diff(total[row_at])


def colours_of(shares: Floats, sizes: Floats, smallest: float, largest: float) -> Floats:
    """Red, green and blue, 0 to 1, of a row's pixels: shape (ROW_PIXELS, runs, 3), the top one first."""
    # One live entry among a million that are missing is seen all the same.
    seen = np.where(shares > 0, np.maximum(shares, SEEN_PIXELS / ROW_PIXELS), 0)
    seen /= seen.sum(axis=1, keepdims=True)
    level = 1 - (np.arange(ROW_PIXELS) + 0.5) / ROW_PIXELS
    state = (np.cumsum(seen, axis=1)[:, :MISSING] <= level[:, None, None]).sum(axis=2)
    depth = np.ones(len(sizes))
    if largest >= ONE_SIZE * smallest:
        depth = np.log(np.maximum(sizes, smallest) / smallest) / np.log(largest / smallest)
    # What is missing has no size, and is as grey wherever it is.
    deep = np.where(state == MISSING, 1.0, PALEST + (1 - PALEST) * depth)
    pixels: Floats = 1 - deep[..., None] * (1 - COLOURS[state])
    return pixels


def draw(view: LogView, path: str) -> None:
    """Draw a log into a file whose ending names its format.

    Raises ImportError without matplotlib, ValueError for an ending that it does not know, OSError.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    report = view.report()
    pairs = [runs_of(view, segment) for segment in view.segments]
    sizes = np.concatenate([sizes for _, sizes in pairs]) if pairs else np.zeros(0)
    sizes = sizes[sizes > 0]
    smallest, largest = (float(sizes.min()), float(sizes.max())) if len(sizes) else (1.0, 1.0)
    rows = max(len(pairs), 1)
    picture = np.ones((rows * ROW_PIXELS, COLUMNS, 3))
    for row, (shares, means) in enumerate(pairs):
        if len(means):
            pixels = colours_of(shares, means, smallest, largest)
            # Rows of fewer runs are drawn as wide as the others.
            wide = pixels[:, np.arange(COLUMNS) * len(means) // COLUMNS]
            picture[row * ROW_PIXELS : (row + 1) * ROW_PIXELS] = wide
    height = min(INCHES_MAX, 1.9 + ROW_INCHES * rows)
    figure, (heat, bars) = pyplot.subplots(
        1, 2, figsize=(WIDTH_INCHES, height), width_ratios=(4, 1), sharey=True, layout="constrained"
    )
    heat.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, 100, rows - 0.5, -0.5))
    _label(heat, report)
    _draw_bytes(bars, report)
    figure.suptitle(_title(report), fontsize=10)
    figure.legend(handles=_legend(smallest, largest), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _title(report: LogReport) -> str:
    snapshot = "no snapshot yet"
    if report.snapshot_index:
        snapshot = f"S = {report.snapshot_index:,}, D = {report.dense_index:,}"
    live, entries, taken = report.total("live"), report.total("entries"), report.total("bytes")
    return (
        f"{report.directory}: {entries:,} entries up to {report.last_index:,}, {snapshot}\n"
        f"{live:,} of them live; {taken / MIB:,.1f} MiB, of which {report.total('live_bytes') / MIB:,.1f} MiB live"
    )


def _label(axes: Any, report: LogReport) -> None:
    """The range of indexes and the version of each row; of every n-th when there are many."""
    step = -(-len(report.segments) // ROWS_LABELLED_MAX) or 1
    rows = range(0, len(report.segments), step)
    axes.set_yticks(list(rows), [_row_label(report, row) for row in rows], fontsize=7, family="monospace")
    axes.set_xlabel("place in the range of indexes that a segment covers, %", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    for row in range(1, len(report.segments)):
        axes.axhline(row - 0.5, color="white", linewidth=1.5)


def _row_label(report: LogReport, row: int) -> str:
    segment = report.segments[row]
    version = "open" if segment.open else f"v{segment.version}"
    return f"{segment.first_index:,} - {segment.last_index:,}  {version}"


def _draw_bytes(axes: Any, report: LogReport) -> None:
    """What the entries of each segment take, by state."""
    rows = np.arange(len(report.segments))
    left = np.zeros(len(rows))
    for state, field in ((LIVE, "live_bytes"), (DEAD, "dead_bytes"), (NEWER, "newer_bytes")):
        width = np.array([_bytes_of(segment, field) for segment in report.segments]) / MIB
        axes.barh(rows, width, left=left, color=COLOURS[state], height=0.7)
        left += width
    axes.set_xlabel("MiB of entries", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", left=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _bytes_of(segment: Any, field: str) -> int:
    if field == "newer_bytes":
        return int(segment.bytes - segment.live_bytes - segment.dead_bytes)
    return int(getattr(segment, field))


def _legend(smallest: float, largest: float) -> list[Any]:
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=name) for colour, name in zip(COLOURS, NAMES, strict=True)]
    if largest >= ONE_SIZE * smallest:
        pale = 1 - PALEST * (1 - COLOURS[LIVE])
        patches.append(Patch(color=pale, label=f"pale: entries of {smallest:,.0f} bytes"))
        patches.append(Patch(color=COLOURS[LIVE], label=f"deep: of {largest:,.0f}"))
    return patches
