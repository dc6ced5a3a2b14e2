"""What a measurement prints, a line per stage as soon as it is there."""

from __future__ import annotations

from toffee_pipeline.rundir.measurements import StageMeasurement

COLUMNS = ("s per row", "rows", "peak GiB", "outside", "micro-batch", "largest")


def heading() -> str:
    """outside: share of the seconds in which no network computed. largest: the largest micro-batch that fits."""
    return f"{'stage':<14}" + "".join(f"{name:>13}" for name in COLUMNS)


def line(name: str, stage: StageMeasurement) -> str:
    cells = (
        f"{stage.seconds_per_row:.3f}",
        f"{stage.rows}",
        f"{stage.peak_memory_gib:.1f}",
        f"{stage.outside_fraction:.1%}",
        f"{stage.batch_size}",
        f"{stage.largest_batch_size}",
    )
    return f"{name:<14}" + "".join(f"{cell:>13}" for cell in cells)
