"""Peak memory of refining other people's pairs, for ten times as many of them: of the process that lists, plans, reads
and commits.

The whole job runs inline in a process of its own, once per size, over a set of WebDataset tars, with a stage without
models in place of the networks, so that what is measured is the streaming. The ratio is the peak RSS of the large job
over that of the small one: up to 1.10 passes.
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
from jobs.generate import generate
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.images import encode_png

BAR = 1.10
PAIRS_PER_TAR = 1000


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
        sets = ("placement=inline", "subjects_per_shard=100", f"source={{format: webdataset, path: {given}}}")
        more = ("output.keep=accepted", "output.report_every_s=0", "source.columns.input_prompt=null")
        config = load_config("nano", (*sets, *more, "source.columns.category=null"), RefinementConfig)
        before = peak_rss_bytes()
        summary = generate(config, f"{folder}/run", stages=STAGES)
    assert summary is not None
    return {"before": before, "peak": peak_rss_bytes(), **summary.model_dump()}


@click.command(help=__doc__)
@click.option("--small", default=10_000, show_default=True, help="Pairs of the reference job.")
@click.option("--large", default=100_000, show_default=True, help="Pairs of the large job.")
def main(small: int, large: int) -> None:
    click.echo("".join(f"{name:>12}" for name in ("pairs", "accepted", "wall s", "start MiB", "peak MiB")))
    jobs = []
    for num_pairs in (small, large):
        job = in_fresh_process(refine, num_pairs)
        jobs.append(job)
        figures = (job["elapsed_s"], job["before"] / MIB, job["peak"] / MIB)
        counts = "".join(f"{job[name]:>12}" for name in ("planned", "accepted"))
        click.echo(counts + "".join(f"{figure:>12.1f}" for figure in figures))
    few, many = jobs
    click.echo(f"ratio of the peaks: {many['peak'] / few['peak']:.3f} (bar: {BAR:.2f})")


if __name__ == "__main__":
    main()
