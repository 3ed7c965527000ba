"""How a benchmark's outcome reads: as a dictionary for `--json`, and as a table for people.

Pure but for `show`, which writes lines or, on a terminal with rich installed, a table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from .benchmark import Outcome

Rows = Sequence[tuple[str, str]]


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """The report as JSON holds it; durations carry their unit in the name."""
    options, figures, verdict = outcome.options, outcome.figures, outcome.verdict
    return {
        "workload": options.workload,
        "clients": options.clients,
        "inflight": options.inflight,
        "processes": options.processes,
        "value_bytes": options.value_bytes,
        "keys": options.keys,
        "operations": figures.operations,
        "seconds": round(figures.seconds, 6),
        "operations_per_second": round(figures.operations_per_second, 1),
        "latency_ms": {name: round(value, 4) for name, value in figures.latency.summary_ms().items()},
        "longest_gap_ms": round(figures.longest_gap_ms, 3),
        "tenths": [round(pace, 1) for pace in figures.tenths],
        "errors": outcome.errors,
        "errors_by_type": outcome.errors_by_type,
        "first_error": outcome.first_error,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "impossible": verdict.impossible,
        "unread": verdict.unread,
        "unknown": verdict.unknown,
        "cpu_us_per_operation": cpu_us_per_operation(outcome),
        "harness_us_per_operation": round(outcome.harness_ns_per_operation / 1e3, 2),
        "faults": [asdict(fault) for fault in outcome.faults],
    }


def cpu_us_per_operation(outcome: Outcome) -> dict[str, float]:
    """Microseconds of CPU per acknowledged operation and group, and of all groups together."""
    operations = max(outcome.figures.operations, 1)
    spent = {group: ns / 1e3 / operations for group, ns in outcome.cpu_ns.items()}
    return {name: round(us, 2) for name, us in {**spent, "all": sum(spent.values())}.items()}


def rows(report: dict[str, Any]) -> Rows:
    """What the table says, from the dictionary of `as_dict`."""
    latency, tenths = report["latency_ms"], report["tenths"]
    lines = [
        ("workload", f"{report['workload']}, {report['clients']} clients x {report['inflight']} in flight"),
        ("operations", f"{report['operations']:,} in {report['seconds']:.2f} s"),
        ("throughput", f"{report['operations_per_second']:,.0f} operations/s"),
        ("latency", "  ".join(f"{name} {value:.3f} ms" for name, value in latency.items())),
        ("longest gap", f"{report['longest_gap_ms']:.1f} ms without a completed operation"),
    ]
    if tenths:
        lines.append(("each tenth", "  ".join(f"{pace:,.0f}" for pace in tenths) + " operations/s"))
    cpu = "  ".join(f"{group} {us:.1f}" for group, us in report["cpu_us_per_operation"].items())
    lines.append(("CPU", f"{cpu} us per operation; {report['harness_us_per_operation']:.1f} of load are the harness"))
    for fault in report["faults"]:
        killed = f"leader {fault['replica']} of shard {fault['shard']} at {fault['killed_at_s']:.1f} s"
        lines.append(("killed", f"{killed}, restarted at {fault['restarted_at_s']:.1f} s"))
    return [*lines, *_check_rows(report)]


def _check_rows(report: dict[str, Any]) -> Rows:
    errors = f"{report['errors']:,} ({report['unknown']:,} writes of unknown outcome)"
    if report["first_error"]:
        errors += f"; the first: {report['first_error']}"
    faults = {name: report[name] for name in ("lost", "duplicated", "impossible", "unread")}
    counts = ", ".join(f"{count:,} {name}" for name, count in faults.items())
    return [("errors", errors), ("check", f"{'FAILED' if any(faults.values()) else 'passed'}: {counts}")]


def show(title: str, table: Rows, out: TextIO | None = None) -> None:
    """Write a table of two columns."""
    out = out or sys.stdout
    if not (out.isatty() and _show_rich(title, table)):
        width = max(len(name) for name, _ in table)
        out.write("".join([f"{title}\n", *(f"  {name:<{width}}  {text}\n" for name, text in table)]))


def _show_rich(title: str, table: Rows) -> bool:
    """The table in rich's form; False when rich is not installed."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    grid = Table(title=title, show_header=False)
    for name, text in table:
        grid.add_row(name, Text(text))
    Console().print(grid)
    return True
