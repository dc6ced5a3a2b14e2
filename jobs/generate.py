"""Generates a dataset: plan, pair, shard, run. Running the same command again computes only what is missing."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from actors.chain import stages_of
from actors.driver import announce, compute, missing_shards
from actors.dry_run import show_plan
from actors.stage import StageTable
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.options import Job, job_options
from toffee_pipeline.console.say import say
from toffee_pipeline.models.roles import describe_roles, require_weights, same_weights, with_absence
from toffee_pipeline.models.same_files import with_samples
from toffee_pipeline.on_ray.session import refuse_relative_output
from toffee_pipeline.plan.readable import require_readable
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.description import DATASET_RUNS
from toffee_pipeline.rundir.inputs import claim_dataset, new_plan
from toffee_pipeline.rundir.layout import SUMMARY
from toffee_pipeline.rundir.measurements import with_measurements
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@job_options(default_config="nano")
def main(config: RunConfig, output: str, dry_run: bool) -> None:
    generate(with_measurements(config, same_weights(config)), output, dry_run)


def generate(
    config: DatasetConfig, output: str, dry_run: bool = False, stages: StageTable | None = None
) -> Summary | None:
    """The whole job, of pairs or of a subject bank. Returns the summary; None after a dry run.

    stages: those of the config by default.
    """
    if not dry_run:
        require_weights(config)
    refuse_relative_output(output)
    storage = open_storage(output, config.output.endpoint_url)
    plan, roles = new_plan(config, storage, allow_gaps=dry_run), describe_roles(config)
    announce(plan, with_absence(roles, config) if dry_run else roles, dry_run)
    require_readable(plan)
    if dry_run:
        show_plan(plan)
        return None
    known = claim_dataset(storage, DATASET_RUNS[config.job].of(config, plan, roles), plan)
    if storage.exists(SUMMARY) and not missing_shards(storage, plan):
        say(f"nothing to do: all {len(plan)} shards of {storage.uri} are committed")
        return read(storage, SUMMARY, Summary)
    with at_work(storage, say, lambda: "what is committed stays", config.output.lease_s) as lease:
        stages = stages or stages_of(config)
        known_weights = with_samples(config, (role for stage in stages.values() for role in stage.roles))
        return compute(stages, storage, known_weights, plan, known, lease)


if __name__ == "__main__":
    main()
