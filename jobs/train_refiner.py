"""Trains the Refiner: from DINO tokens back to the image. Running the same command again goes on."""

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.console.options import Job, job_options
from toffee_pipeline.train.job import run_training


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano", config_class=RefinerTraining)
def main(config: RefinerTraining, output: str, dry_run: bool) -> None:
    run_training(config, output, dry_run)


if __name__ == "__main__":
    main()
