"""`python tests/helpers/stub_job.py --output OUTPUT --set KEY=VALUE ...`: the main job, with `stub_stages`."""

from __future__ import annotations

import os

import click

from jobs.generate import generate
from tests.helpers.stub_stages import STUB_STAGES
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.options import Job, job_options


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano")
def main(config: RunConfig, output: str, dry_run: bool) -> None:
    if "RAY_ADDRESS" in os.environ:  # workers of a Ray that is there have its environment, and not ours
        import ray

        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # as `ray_session`, which comes too late here
        settings = {name: value for name, value in os.environ.items() if name.startswith(("STUB_", "AWS_"))}
        ray.init(logging_level="WARNING", runtime_env={"env_vars": settings})
    generate(config, output, dry_run, STUB_STAGES)


if __name__ == "__main__":
    main()
