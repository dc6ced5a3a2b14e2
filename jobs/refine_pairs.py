"""Refines other people's image pairs: the edited image is painted anew towards its input, scored and filtered.

Running the same command again computes only what is missing.
"""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from jobs.generate import generate
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.console.options import Job, job_options


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano", config_class=RefinementConfig)
def main(config: RefinementConfig, output: str, dry_run: bool) -> None:
    generate(config, output, dry_run)


if __name__ == "__main__":
    main()
