"""How large the report of a run of many pairs of 1024 px is, at its own sample sizes: for pictures with the spectrum of
photographs, and for noise that fills every thumbnail.

The run is made up: pairs of the plan with scores by chance, a third rejected for every reason in turn and some failed.
A shard has one set of pictures, so that its file holds them once.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from PIL import Image

from actors.shard_writer import image_struct
from benchmarks.record import Record, json_option
from toffee_pipeline.config.load import load_config
from toffee_pipeline.filters import JUDGED
from toffee_pipeline.images import encode, encode_depth, encode_mask
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.report.page import write_report
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED
from toffee_pipeline.rundir.parquet import to_parquet
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import open_storage

SIZE_PX, THUMBNAIL_PX = 1024, 256
PER_SHARD, NUM_DRAWN = 64, 4
"""Pairs of a shard, and pictures of a kind, which shards take in turn."""
QUALITY = 50
"""Of the stored JPEG: the page makes its own thumbnails, and 10 k pairs of noise fill a disk."""
MB = 10**6


def noise(rng: np.random.Generator) -> np.ndarray:
    """uint8 (H, W, 3): it is noise still where it is scaled down to a thumbnail."""
    cells = rng.integers(0, 256, (THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8)
    return np.array(Image.fromarray(cells).resize((SIZE_PX, SIZE_PX), Image.Resampling.NEAREST))


def photograph(rng: np.random.Generator) -> np.ndarray:
    """uint8 (H, W, 3) whose amplitudes fall as 1 / frequency, as those of photographs do; channels are much alike."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE_PX), np.fft.rfftfreq(SIZE_PX), indexing="ij"))
    frequency[0, 0] = np.inf

    def plane() -> np.ndarray:
        white = np.fft.rfft2(rng.standard_normal((SIZE_PX, SIZE_PX)))
        found: np.ndarray = np.fft.irfft2(white / frequency, (SIZE_PX, SIZE_PX))
        return found / found.std()

    light = plane()
    rgb = np.stack([128 + 55 * light + 15 * plane() for _ in range(3)], axis=-1)
    return rgb.clip(0, 255).astype(np.uint8)


DRAWN = {"noise": noise, "photographs": photograph}


def rows_of(plan: Plan, shard: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Of its ledger."""
    reasons = cycle(JUDGED)
    rows = []
    for number, planned in enumerate(plan.rows(shard)):
        row = dict.fromkeys(PAIRS.ledger.names) | planned | {"status": "accepted"}
        row |= {score.column: float(rng.random()) for score in PAIRS.scores}
        if number % 3 == 2:
            row |= {"status": "rejected", "reason": next(reasons)}
        elif number % 16 == 0:
            row |= {"status": "failed", "error": "draft: the model's image is all black"}
        rows.append(row | {"stage_s": dict.fromkeys(PAIRS.stages, 1.0)})
    return rows


def counts_of(rows: list[dict[str, Any]], row_s: float = 1.0) -> ShardCounts:
    """As a shard's writer counts them. row_s: of every stage, for each row."""

    def groups(column: str) -> dict[str, dict[str, int]]:
        found: dict[str, Counter[str]] = {}
        for row in rows:
            found.setdefault(row[column], Counter()).update(["planned", row["status"], *filter(None, [row["reason"]])])
        return {name: dict(numbers) for name, numbers in found.items()}

    return ShardCounts(
        planned=len(rows),
        accepted=sum(row["status"] == "accepted" for row in rows),
        rejected=Counter(row["reason"] for row in rows if row["status"] == "rejected"),
        failed=sum(row["status"] == "failed" for row in rows),
        errors=Counter(row["error"] for row in rows if row["status"] == "failed"),
        by_kind=groups("kind"),
        by_category=groups("category"),
        by_class=groups("class_name"),
        stages={stage: StageFigures(rows=len(rows), seconds=row_s * len(rows)) for stage in PAIRS.stages},
    )


def image_tables(rng: np.random.Generator, drawn: str) -> list[pa.Table]:
    """Image columns of `PER_SHARD` rows alike, with other pictures in each table."""
    pictures = [encode(DRAWN[drawn](rng), "jpeg", QUALITY) for _ in range(NUM_DRAWN)]
    inside = np.zeros((SIZE_PX, SIZE_PX), bool)
    inside[SIZE_PX // 4 : -SIZE_PX // 4, SIZE_PX // 4 : -SIZE_PX // 4] = True
    depth = np.linspace(0, 1, SIZE_PX**2, dtype=np.float32).reshape(SIZE_PX, -1)
    fixed = {"mask": encode_mask(inside), "depth": encode_depth(depth)}
    schema = pa.schema([PAIRS.data.field(name) for name in PAIRS.images])
    tables = []
    for start in range(NUM_DRAWN):
        images = dict(zip(PAIRS.images, islice(cycle(pictures), start, None), strict=False)) | fixed
        row = {name: image_struct(images[name]) for name in PAIRS.images}
        tables.append(pa.Table.from_pylist([row] * PER_SHARD, schema))
    return tables


def shard_file(folder: str, name: str, rows: list[dict[str, Any]], images: pa.Table) -> ShardFile:
    texts = pa.schema([field for field in PAIRS.data if field.name not in PAIRS.images])
    table = pa.Table.from_pylist([{column: row.get(column) for column in texts.names} for row in rows], texts)
    columns = {column: images[column][: len(rows)] for column in PAIRS.images}
    columns |= {column: table[column] for column in texts.names}
    whole = pa.table([columns[column] for column in PAIRS.data.names], PAIRS.data)
    return ShardFile(folder, name, to_parquet(whole, PER_SHARD), len(rows))


def size_of(folder: Path, num_pairs: int, drawn: str) -> int:
    """Bytes of the report."""
    rng = np.random.default_rng(0)
    settings = (f"pairs.count={num_pairs}", "pairs.prompt_bank=null", "subjects_per_shard=16", "output.keep=all")
    config = load_config("sdxl", settings)
    plan, storage = Plan(config), open_storage(str(folder))
    run = claim(storage, GenerationRun.of(config, plan, {}))
    tables = image_tables(rng, drawn)
    for shard in range(len(plan)):
        rows, images = rows_of(plan, shard, rng), tables[shard % NUM_DRAWN]
        accepted, rejected = ([row for row in rows if row["status"] == name] for name in ("accepted", "rejected"))
        files = [
            *(shard_file(DATA, kind, [row for row in accepted if row["kind"] == kind], images) for kind in PAIRS.files),
            shard_file(REJECTED, "pair", rejected, images),
            ShardFile(LEDGER, "pair", to_parquet(pa.Table.from_pylist(rows, PAIRS.ledger), PER_SHARD), len(rows)),
        ]
        commit_shard(storage, shard, files, counts_of(rows))
    return (folder / write_report(storage, run, total(storage).counts())).stat().st_size


@click.command(help=__doc__)
@click.option("--pairs", default=10_000, show_default=True, help="Planned pairs of the run.")
@json_option
def main(pairs: int, path: Path | None) -> None:
    record = Record("report_size", path)
    record.add(conditions=f"{pairs:,} made-up pairs of {SIZE_PX} px, JPEG, all kept, every reason")
    for drawn in DRAWN:
        with tempfile.TemporaryDirectory() as folder:
            record.add(**{f"{drawn}_mb": size_of(Path(folder), pairs, drawn) / MB})


if __name__ == "__main__":
    main()
