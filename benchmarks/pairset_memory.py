"""Peak memory of refining other people's pairs, for a hundred times as many: of the process that lists, plans, reads
and commits.

The whole job runs inline in a process of its own, once per size, over a set of WebDataset tars, with a stage without
models in place of the networks, so that what is measured is the streaming. The ratio is the peak RSS of the large job
over that of the small one.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from actors.shard import PairState, Shard
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from benchmarks.fresh import MIB, in_fresh_process, peak_rss_bytes
from benchmarks.record import Record, json_option
from jobs.generate import generate
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.images import encode_png

PAIRS_PER_TAR = 1000
PAIRS_PER_SHARD = 100


class Keep(Stage):
    """The edited image is the target."""

    name = "score"

    def process(self, shard: Shard) -> None:
        def store(state: PairState, score: float) -> None:
            state.target, state.scores = state.draft, {"dino": score, "clip": score}

        self.run(shard.open_pairs(), lambda batch: [0.9] * len(batch), store)


STAGES: StageTable = {stage.name: stage for stage in (Keep, Judge)}


def write_set(folder: Path, num_pairs: int) -> None:
    images = {
        name: encode_png(np.full((64, 64, 3), value, np.uint8)) for name, value in (("input", 90), ("target", 200))
    }
    for start in range(0, num_pairs, PAIRS_PER_TAR):
        with tarfile.open(folder / f"{start // PAIRS_PER_TAR:05d}.tar", "w") as tar:
            for number in range(start, min(start + PAIRS_PER_TAR, num_pairs)):
                texts = {"prompt": f"a red cup {number}", "instruction": "make it red", "class_name": "cup"}
                files = {f"{name}_image.png": data for name, data in images.items()}
                for name, data in {**files, "json": json.dumps(texts).encode()}.items():
                    member = tarfile.TarInfo(f"{number:09d}.{name}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def refine(num_pairs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "set")
        given.mkdir()
        write_set(given, num_pairs)
        sets = (
            "placement=inline",
            f"subjects_per_shard={PAIRS_PER_SHARD}",
            f"source={{format: webdataset, path: {given}}}",
        )
        more = ("output.keep=accepted", "output.report_every_s=0", "source.columns.input_prompt=null")
        config = load_config("nano", (*sets, *more, "source.columns.category=null"), RefinementConfig)
        before = peak_rss_bytes()
        summary = generate(config, f"{folder}/run", stages=STAGES)
    assert summary is not None
    return {"before": before, "peak": peak_rss_bytes(), **summary.model_dump()}


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Pairs of the reference job.")
@click.option("--large", default=100_000, show_default=True, help="Pairs of the large job.")
@json_option
def main(small: int, large: int, path: Path | None) -> None:
    record = Record("pairset_memory", path)
    record.add(conditions=f"{small:,} and {large:,} pairs in shards of {PAIRS_PER_SHARD}, inline, stub stage")
    few, many = (in_fresh_process(refine, number) for number in (small, large))
    for job in (few, many):
        record.add(**{f"{name}_mib_{job['planned']}": job[name] / MIB for name in ("before", "peak")})
        record.add(**{f"{name}_{job['planned']}": job[name] for name in ("accepted", "elapsed_s")})
    record.add(ratio=many["peak"] / few["peak"])


if __name__ == "__main__":
    main()
