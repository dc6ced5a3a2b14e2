"""Tries settings of a run on a sample of its own subjects, and writes the best as a config for jobs/generate.py.

It also proposes thresholds for the filter's encoders. Running the same command again computes only the settings that
are missing.
"""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from actors.calibration.calibrate import calibrate, plan_of
from toffee_pipeline.calibration.record import OVERLAY, CalibrationRun
from toffee_pipeline.calibration.said import conclusion, intention
from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.console.options import Job, job_options
from toffee_pipeline.console.say import say
from toffee_pipeline.models.roles import describe_roles, require_weights
from toffee_pipeline.on_ray.session import refuse_relative_output
from toffee_pipeline.plan.readable import require_readable
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.description import claim
from toffee_pipeline.rundir.layout import REPORT
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano", config_class=CalibrationConfig)
def main(config: CalibrationConfig, output: str, dry_run: bool) -> None:
    if not dry_run:
        require_weights(config)
    refuse_relative_output(output)
    storage, plan = open_storage(output, config.output.endpoint_url), plan_of(config)
    run = CalibrationRun.of(config, plan, describe_roles(config))
    for line in (*intention(run), *plan.source.notes):
        say(line)
    require_readable(plan)
    if dry_run:
        return
    known = claim(storage, run)
    with at_work(storage, say, lambda: "settings that are complete stay", config.output.lease_s):
        found = calibrate(known.model_copy(update={"config": config}), plan, storage, say)
    for line in conclusion(found):
        say(line)
    say(f"page: {storage.path_for(REPORT)}")
    say(f"use it: jobs/generate.py --config ... --config {storage.path_for(OVERLAY)}")


if __name__ == "__main__":
    main()
