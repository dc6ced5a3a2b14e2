"""What `jobs/status.py` prints."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from toffee_pipeline.rundir.status import Status
from toffee_pipeline.schema import STAGES


def duration(seconds: float) -> str:
    """Days, and h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{days} d {clock}" if days else clock


def render(status: Status) -> RenderableType:
    """Headline, funnel, stages and errors."""
    parts: list[RenderableType] = [Text(line) for line in _headlines(status)]
    parts += [_funnel(status), _stages(status)]
    parts += [Text(f"{number:,} failed: {message}") for message, number in status.totals["errors"].items()]
    return Group(*parts)


def _headlines(status: Status) -> list[str]:
    said = {
        "finished": "finished",
        "running": f"running: {status.holder}",
        "stopped": "stopped: no driver works on it; start jobs/generate.py again to go on",
        "unfinished": "all shards are committed; start jobs/generate.py again to write the report",
    }
    lines = [f"{status.uri}: {said[status.state]}"]
    speed = f", {status.pairs_per_s:.3g} pairs/s" if status.pairs_per_s else ""
    lines.append(f"{status.totals['shards']:,} of {status.planned_shards:,} shards committed{speed}")
    if status.state in ("running", "stopped"):
        left = "not known yet" if status.left_s is None else duration(status.left_s)
        when = {"running": f", until {status.expected_end}" if status.expected_end else "", "stopped": " once it runs"}
        lines.append(f"time left: {left}{when[status.state]}")
    cost = f"cost: {status.gpu_hours:,.2f} GPU hours of computing"
    if status.cost is not None:
        cost += f" = {status.cost:,.2f}"
    if status.cost_per_accepted is not None:
        cost += f", {status.cost_per_accepted:.3g} per accepted pair"
    return [*lines, cost]


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column in ("pairs", "stage") else "right", no_wrap=True)
    return table


def _funnel(status: Status) -> Table:
    totals, table = status.totals, _table("pairs", "number", "share")
    rows = [
        ("planned", status.planned, status.planned),
        ("committed so far", totals["planned"], status.planned),
        ("accepted", totals["accepted"], totals["planned"]),
        *((f"rejected: {reason}", number, totals["planned"]) for reason, number in totals["rejected"].items()),
        ("failed", totals["failed"], totals["planned"]),
    ]
    for name, number, whole in rows:
        table.add_row(name, f"{number:,}", f"{100 * number / whole:.1f} %" if whole else "")
    return table


def _stages(status: Status) -> Table:
    table = _table("stage", "rows", "seconds", "rows/s per actor", "GPU hours")
    for stage in STAGES:
        figures = status.totals["stages"][stage]
        rows, seconds = figures["rows"], figures["seconds"]
        speed = f"{rows / seconds:,.2f}" if seconds else ""
        table.add_row(stage, f"{rows:,}", f"{seconds:,.1f}", speed, f"{figures['gpu_seconds'] / 3600:,.2f}")
    return table
