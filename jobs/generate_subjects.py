"""Makes a subject bank for many runs of jobs/generate.py: images, masks, depth and their check. Needs no Refiner.

Running the same command again computes only what is missing.
"""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from jobs.generate import generate
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.console.options import Job, job_options


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano", config_class=SubjectBankConfig)
def main(config: SubjectBankConfig, output: str, dry_run: bool) -> None:
    generate(config, output, dry_run)


if __name__ == "__main__":
    main()
