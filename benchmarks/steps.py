"""What DPM++ 2M Karras at 25 steps gains over DDIM at 100, the paper's mode, and what it costs: the nano profile.

All networks are sampled so, over the plans of some seeds. Acceptance is of all planned pairs, DINO and CLIP (the
similarity of target and prompt) of all pairs that have scores; an error bar is one standard error over seeds, of the
seed-by-seed change.

    speedup = pairs per second of DPM++ / of DDIM, by the seconds of the stages
    worst_loss = the largest fall among acceptance, DINO and CLIP, in error bars

What was measured stays in --work-dir: a call that was cut off goes on where it was.
"""

from __future__ import annotations

import math
from pathlib import Path

import click

from benchmarks.levers import Figures, change, everywhere, means, measured
from benchmarks.record import Record, json_option
from toffee_pipeline.evaluation.estimate import Estimate
from toffee_pipeline.models.loading import pick_device

SAMPLINGS = {"ddim": 100, "dpm++": 25}


def overrides(scheduler: str, steps: int) -> tuple[str, ...]:
    """All networks sampled so."""
    return (*everywhere(f"sampling.scheduler={scheduler}"), *everywhere(f"sampling.num_inference_steps={steps}"))


def loss(changed: Estimate) -> float:
    """How far a score fell, in error bars; 0 where it did not."""
    if changed.value >= 0:
        return 0.0
    return -changed.value / changed.error if changed.error else math.inf


@click.command(help=__doc__)
@click.option("--pairs", default=60, show_default=True, help="Planned pairs of each run.")
@click.option("--seeds", default=3, show_default=True, help="Plans, each run both ways.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--work-dir", default="runs/steps", show_default=True, type=click.Path(path_type=Path))
@json_option
def main(pairs: int, seeds: int, device: str, work_dir: Path, path: Path | None) -> None:
    record = Record("steps", path, pick_device("cuda") if device == "cuda" else None)
    runs: dict[str, list[Figures]] = {scheduler: [] for scheduler in SAMPLINGS}
    for seed in range(seeds):
        for scheduler, steps in SAMPLINGS.items():
            folder = work_dir / f"{scheduler}_{steps}"
            runs[scheduler].append(measured(overrides(scheduler, steps), seed, pairs, device, folder))
    slow, fast = (means(own) for own in runs.values())
    for name, own in zip(SAMPLINGS, (slow, fast), strict=True):
        record.add(**{f"{name}_s_per_pair": own.seconds_per_pair.value})
        for score in ("accepted", "dino", "clip"):
            record.add(**{f"{name}_{score}": getattr(own, score).value})
    changed = change(slow, fast)
    scores = {score: getattr(changed, score) for score in ("accepted", "dino", "clip")}
    for score, each in scores.items():
        record.add(**{f"{score}_change": each.value, f"{score}_change_error": each.error})
    record.add(
        speedup=1 / changed.time.value,
        worst_loss=max(map(loss, scores.values())),
        conditions=f"nano, {seeds} seeds of {pairs} pairs, {device}",
    )


if __name__ == "__main__":
    main()
