"""Scores a model's pictures on DreamBench, DreamBench++ or the small world's own benchmark.

Without --model and --images only real pictures are scored, against each other: the self-test. Running the same command
again computes only what is missing.
"""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

from pathlib import Path
from typing import Any

import click

from jobs.generate import generate
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.console.options import Job, job_options
from toffee_pipeline.console.say import say
from toffee_pipeline.evaluation.result import Evaluation
from toffee_pipeline.evaluation.said import lines
from toffee_pipeline.evaluation.setup import find_contamination, prepare
from toffee_pipeline.rundir.layout import FIGURES
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano", config_class=EvaluationConfig)
@click.option("--model", metavar="RUN", help="A finished run of jobs/train_toffeenet.py, which draws.")
@click.option("--images", type=click.Path(path_type=Path), help="A folder of pictures that another model drew.")
@click.option("--check-contamination", "training", metavar="RUN", help="Look for the benchmark in a training's data.")
def main(config: EvaluationConfig, output: str, dry_run: bool, training: str | None, **drawn_by: Any) -> None:
    config = prepare(config, **drawn_by, say=say)
    storage = open_storage(output, config.output.endpoint_url)
    if training is not None:
        for line in find_contamination(config, training, storage, dry_run):
            say(line)
        return
    generate(config, output, dry_run)
    if not dry_run:
        for line in lines(read(storage, FIGURES, Evaluation)):
            say(line)


if __name__ == "__main__":
    main()
