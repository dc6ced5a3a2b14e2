"""Grows a prompt bank by a language model; the same command goes on after it was killed."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from actors.expand import expand
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.console.options import Job, job_options


@click.command(cls=Job, help=__doc__)
@job_options(default_config="transformers", config_class=ExpansionConfig)
def main(config: ExpansionConfig, output: str, dry_run: bool) -> None:
    expand(config, output, dry_run)


if __name__ == "__main__":
    main()
