"""`python -m benchmarks.chaos_job LOG STAGES ARGUMENTS`: jobs/generate.py, whose actors log what they do.

STAGES: nano or stub. A process that is killed leaves its log behind, so that lost work can be counted.
"""

from __future__ import annotations

import os
import sys

import click

from benchmarks.chaos_stages import LOGGED_STAGES, LOGGED_STUBS
from jobs.generate import generate
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.options import Job, job_options

LOG, STAGES, *ARGUMENTS = sys.argv[1:] if __name__ == "__main__" else ("", "nano")


@click.command(cls=Job)
@job_options(default_config="nano")
def main(config: RunConfig, output: str, dry_run: bool) -> None:
    generate(config, output, dry_run, LOGGED_STUBS if STAGES == "stub" else LOGGED_STAGES)


if __name__ == "__main__":
    os.environ["CHAOS_LOG"] = LOG
    main(ARGUMENTS)
