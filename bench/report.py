"""How a benchmark's outcome reads: as a dictionary for `--json`, and as a table for people.

Pure but for `show`, which writes lines or, on a terminal with rich installed, a table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from ..cluster.status import bytes_text
from .benchmark import Outcome
from .samples import COLUMNS, highest, worst_excess

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
        **_offered(outcome),
        **_log(outcome),
    }


def _offered(outcome: Outcome) -> dict[str, Any]:
    """What was offered at intended times, and how much of it was served; nothing without a rate."""
    if not outcome.options.rate:
        return {}
    return {
        "rate": outcome.options.rate,
        "offered": outcome.offered,
        "unserved": outcome.unserved,
        "in_time": outcome.in_time,
        "in_time_ms": outcome.options.in_time_ms,
        "in_time_share": round(outcome.in_time / max(outcome.offered, 1), 5),
    }


def _log(outcome: Outcome) -> dict[str, Any]:
    """How large the replicas' logs were; nothing without samples."""
    rows, segment = outcome.samples, outcome.segment_bytes_max
    if not rows:
        return {}
    excess = worst_excess(rows, segment) if segment is not None else None
    return {
        "log_bytes_max": highest(rows, "log_bytes"),
        "live_bytes_max": highest(rows, "live_bytes"),
        "disk_bytes_max": highest(rows, "disk_bytes"),
        "snapshot_pause_ms_max": highest(rows, "snapshot_pause_ms"),
        "segment_bytes_max": segment,
        "log_part_of_bound": None if excess is None else round(excess, 4),
        "samples": {"columns": COLUMNS, "rows": rows},
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
    if "rate" in report:
        lines.append(("offered", _offered_text(report)))
    if "samples" in report:
        lines.append(("log", _log_text(report)))
    lines += [("killed", _fault_text(fault)) for fault in report["faults"]]
    return [*lines, *_check_rows(report)]


def _offered_text(report: dict[str, Any]) -> str:
    served = f"{report['in_time_share']:.2%} served within {report['in_time_ms']:g} ms of the intended time"
    return f"{report['offered']:,} at {report['rate']:,.0f}/s; {served}; {report['unserved']:,} never begun"


def _log_text(report: dict[str, Any]) -> str:
    sizes = f"at most {bytes_text(report['log_bytes_max'])} per replica, {bytes_text(report['disk_bytes_max'])} on disk"
    part = report["log_part_of_bound"]
    return sizes if part is None else f"{sizes}; {part:.0%} of three times its live bytes and four segments"


def _fault_text(fault: dict[str, Any]) -> str:
    killed = f"{fault['role']} {fault['replica']} of shard {fault['shard']} at {fault['killed_at_s']:.1f} s"
    level = fault["caught_up_at_s"]
    return f"{killed}, restarted at {fault['restarted_at_s']:.1f} s" + (
        "" if level is None else f", level with the others at {level:.1f} s"
    )


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
