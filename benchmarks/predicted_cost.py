"""What a dry run predicts of a job's cost, over what the job then takes: on the nano profile, in one process.

Predicted: `jobs/measure.py` measures the stages over the plan's first pairs, and a trial of another seed tells the pass
rates and the bytes of a pair; from these the plan of costs that `jobs/generate.py --dry-run` prints. Measured: the job
itself, inline, by its manifests (seconds of the stages, accepted pairs, bytes) and by the clock (wall, with planning,
loading, writing and the report).

    ratio = predicted / measured

The stages are measured before and after the job, and the mean taken: a shared machine does not stand still.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from actors.cost_plan import plan_costs
from actors.measure.run import measure
from benchmarks.fresh import in_fresh_process
from jobs.generate import generate
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.roles import same_weights
from toffee_pipeline.plan.costs import CostPlan
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.measurements import Measurements, with_measurements
from toffee_pipeline.rundir.totals import Totals, total
from toffee_pipeline.storage import open_storage


def run_job(config: RunConfig, output: str) -> float:
    """Seconds."""
    began = time.perf_counter()
    generate(config, output)
    return time.perf_counter() - began


def mean(first: Measurements, second: Measurements) -> Measurements:
    """Of the seconds of two measurements of one config."""
    stages = {
        name: stage.model_copy(update={"seconds": (stage.seconds + second.stages[name].seconds) / 2})
        for name, stage in first.stages.items()
    }
    return first.model_copy(update={"stages": stages})


def compare(predicted: CostPlan, measured: Totals, wall_s: float) -> dict[str, tuple[float, float]]:
    """Predicted and measured, by name."""
    compute_s = predicted.seconds_per_accepted * predicted.num_accepted
    stages = sum(figures.seconds for figures in measured.stages.values())
    return {
        "accepted pairs": (predicted.num_accepted, measured.accepted),
        "stages, s": (compute_s, stages),
        "wall, s": (compute_s, wall_s),
        "s per accepted pair": (predicted.seconds_per_accepted, stages / measured.accepted),
        "bytes": (predicted.bytes_per_accepted * predicted.num_accepted, measured.num_bytes),
    }


@click.command(help=__doc__)
@click.option("--pairs", default=1000, show_default=True, help="Planned pairs of the job.")
@click.option("--trial-pairs", default=200, show_default=True, help="Planned pairs of the trial.")
@click.option("--sample-pairs", default=64, show_default=True, help="Planned pairs over which stages are measured.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the nano profile.")
def main(pairs: int, trial_pairs: int, sample_pairs: int, overrides: tuple[str, ...]) -> None:
    config = load_config("nano", ("placement=inline", f"pairs.count={pairs}", *overrides))
    plan = Plan(config)
    shards = f"subjects_per_shard={plan.subjects_per_shard}"  # smaller files have more bytes for each of their pairs
    trial = load_config("nano", ("placement=inline", f"pairs.count={trial_pairs}", "seed=1", shards, *overrides))
    with tempfile.TemporaryDirectory() as folder:
        in_fresh_process(run_job, trial, f"{folder}/trial")
        before = measure(config, sample_pairs, 0)
        wall_s = in_fresh_process(run_job, config, f"{folder}/job")
        path = Path(folder, "measurements.json")
        path.write_bytes(mean(before, measure(config, sample_pairs, 0)).encode())
        known = {"measurements": path, "pass_rates": f"{folder}/trial"}
        costs = plan_costs(
            with_measurements(config.model_copy(update=known), same_weights(config)), plan.num_rows, plan.num_subjects
        )
        found = compare(costs, total(open_storage(f"{folder}/job")), wall_s)
    click.echo(f"{'':<22}{'predicted':>12}{'measured':>12}{'ratio':>8}")
    for name, (predicted, measured) in found.items():
        click.echo(f"{name:<22}{predicted:>12.2f}{measured:>12.2f}{predicted / measured:>8.3f}")


if __name__ == "__main__":
    main()
