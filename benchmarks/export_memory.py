"""Peak memory of an export, for eight times as many pairs, in each format: of the process that reads, marks and writes.

Each export runs in a process of its own. Its run is that of `browse_open`, one shard again and again, with noise for
pictures, in parts of 32 MiB; the ratio is the peak RSS for many pairs over that for few.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np

from benchmarks import browse_open
from benchmarks.fresh import MIB, in_fresh_process, peak_rss_bytes
from benchmarks.record import Record, json_option
from toffee_pipeline.export.export import Settings, export
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.images import encode_png
from toffee_pipeline.storage import open_storage

PART_BYTES = 32 * MIB
SIZE_PX = 64
"""Of nano's pictures: larger ones are refused in a run of it."""


def write_run(folder: Path, num_pairs: int) -> None:
    """The images of a shard differ: of equal ones Parquet would keep one, and parts would be larger than they say."""
    rng = np.random.default_rng(0)
    browse_open.write_run(folder, num_pairs, lambda: encode_png(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)))


def peak_of(run: Path, output: Path, form: str) -> int:
    """Bytes."""
    settings = Settings(form, {"train": 1.0}, "mit", PART_BYTES)
    export(open_storage(str(run)), open_storage(str(output)), settings, lambda _: None)
    return peak_rss_bytes()


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Pairs of the reference run.")
@click.option("--large", default=8_000, show_default=True, help="Pairs of the large run.")
@click.option("--format", "forms", multiple=True, type=click.Choice(list(FORMATS)), help="All where none is named.")
@json_option
def main(small: int, large: int, forms: tuple[str, ...], path: Path | None) -> None:
    record = Record("export_memory", path)
    record.add(conditions=f"{small:,} and {large:,} pairs of {SIZE_PX} px, parts of {PART_BYTES // MIB} MiB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for num_pairs in (small, large):
            write_run(folder / str(num_pairs), num_pairs)
        for form in forms or FORMATS:
            few, many = (
                in_fresh_process(peak_of, folder / str(num_pairs), folder / f"{form}-{num_pairs}", form)
                for num_pairs in (small, large)
            )
            record.add(
                **{f"{form}_mib_{small}": few / MIB, f"{form}_mib_{large}": many / MIB, f"{form}_ratio": many / few}
            )


if __name__ == "__main__":
    main()
