"""What `jobs/status.py` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from toffee_pipeline.console.clock import clock
from toffee_pipeline.console.say import say
from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.rundir.status import Follower, Status


def follow(follower: Follower, interval_s: float | None, as_json: bool) -> None:
    """Prints one look, or one every `interval_s` seconds until the run has finished; a terminal keeps the last."""
    console = Stdout()
    if as_json or interval_s is None or not console.is_terminal:
        for status in _looks(follower, interval_s):
            _print(console, status, as_json)
        return
    with Live(console=console, auto_refresh=False) as live:
        for status in _looks(follower, interval_s):
            live.update(render(status), refresh=True)


def _looks(follower: Follower, interval_s: float | None) -> Iterator[Status]:
    while True:
        yield (status := follower.look())
        if interval_s is None or status.state == "finished":
            return
        time.sleep(interval_s)


def _print(console: Console, status: Status, as_json: bool) -> None:
    if as_json:
        say(status.as_json())
    else:
        console.print(render(status), soft_wrap=True)


def render(status: Status) -> RenderableType:
    """Headline, funnel, stages and errors."""
    parts: list[RenderableType] = [Text(line) for line in _headlines(status)]
    parts += [_funnel(status), _stages(status)]
    parts += [Text(f"{number:,} rejected as unsafe by {why}") for why, number in status.totals.unsafe.items()]
    parts += [Text(f"{number:,} failed: {message}") for message, number in status.totals.errors.items()]
    return Group(*parts)


def _headlines(status: Status) -> list[str]:
    said = {
        "finished": "finished",
        "running": f"running: {status.holder}",
        "stopped": f"stopped: no driver works on it; start jobs/{status.job}.py again to go on",
        "unfinished": f"all shards are committed; start jobs/{status.job}.py again to write the report",
    }
    lines = [f"{status.uri}: {said[status.state]}"]
    speed = f", {status.pairs_per_s:.3g} {status.row}s/s" if status.pairs_per_s else ""
    lines.append(f"{status.totals.shards:,} of {status.planned_shards:,} shards committed{speed}")
    if status.state in ("running", "stopped"):
        left = "not known yet" if status.left_s is None else clock(status.left_s)
        when = {"running": f", until {status.expected_end}" if status.expected_end else "", "stopped": " once it runs"}
        lines.append(f"time left: {left}{when[status.state]}")
    cost = f"cost: {status.gpu_hours:,.2f} GPU hours of computing"
    if status.cost is not None:
        cost += f" = {status.cost:,.2f}"
    if status.cost_per_accepted is not None:
        cost += f", {status.cost_per_accepted:.3g} per accepted {status.row}"
    kwh = status.totals.kwh
    return [*lines, cost, f"energy: {kwh:.3g} kWh, GPUs only" if kwh is not None else "energy: not measured"]


def _table(*columns: str) -> Table:
    table = Table()
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _funnel(status: Status) -> Table:
    totals, table = status.totals, _table(f"{status.row}s", "number", "share")
    rows = [
        ("planned", status.planned, status.planned),
        ("committed so far", totals.planned, status.planned),
        ("accepted", totals.accepted, totals.planned),
        *((f"rejected: {reason}", number, totals.planned) for reason, number in totals.rejected.items()),
        ("failed", totals.failed, totals.planned),
    ]
    for name, number, whole in rows:
        table.add_row(name, f"{number:,}", f"{100 * number / whole:.1f} %" if whole else "")
    return table


def _stages(status: Status) -> Table:
    table = _table("stage", "rows", "seconds", "rows/s per actor", "GPU hours")
    for stage, figures in status.totals.stages.items():
        rows, seconds = figures.rows, figures.seconds
        speed = f"{rows / seconds:,.2f}" if seconds else ""
        table.add_row(stage, f"{rows:,}", f"{seconds:,.1f}", speed, f"{figures.gpu_seconds / 3600:,.2f}")
    return table
