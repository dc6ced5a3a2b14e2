"""What `jobs/remake.py` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.rundir.image_difference import ImageDifference


def print_differences(differences: Sequence[ImageDifference], tolerance: float) -> None:
    """A line per picture."""
    table = Table("picture", "result")
    for column in ("pixels that differ", "largest", "mean"):
        table.add_column(column, justify="right")
    for each in differences:
        if each.remade is None:
            table.add_row(each.column, f"not made: {each.missing}", "", "", "")
        elif not each.changed_fraction:
            table.add_row(each.column, "equal", "", "", "")
        else:
            result = "within the tolerance" if each.mean <= tolerance else "different"
            figures = f"{100 * each.changed_fraction:.2f} %", f"{each.largest:.3g}", f"{each.mean:.3g}"
            table.add_row(each.column, result, *figures)
    console = Stdout()
    console.print(table)
    console.out(f"largest and mean difference in grey levels of 0..255; tolerance of the mean: {tolerance:g}")
