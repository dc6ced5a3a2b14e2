"""What each lever of speed is worth: seconds per accepted pair with it, against without it, on the nano profile.

A lever that makes a pair cheaper and loses as many of them gains nothing: it counts by the product of seconds per
planned pair and planned pairs per accepted one. Each runs `jobs/generate.py`, inline, in a process of its own, over the
plans of some seeds, beside the run that it is compared with over the same plans. Seconds are those of the stages, by
the manifests: loading the models is outside. DINO and CLIP are the means of the filters' scores over all pairs that
have them. An error bar is one standard error over seeds.

    ratio = seconds per accepted pair with the lever / without

A lever pays where its ratio is below 1 by more than its error bar, and neither score falls by more than its own.
What was measured stays in --work-dir: a call that was cut off goes on where it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import click
import pyarrow.parquet as pq

from benchmarks.fresh import in_fresh_process
from jobs.generate import generate
from toffee_pipeline.config.load import load_config
from toffee_pipeline.evaluation.estimate import Estimate, ratio
from toffee_pipeline.models.loading import describe_device, pick_device
from toffee_pipeline.rundir.layout import LEDGER
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.storage import open_storage

SAMPLED = ("synthesize", "draft", "refine", "view")
"""The stages with steps; `edit` takes the networks and steps of `refine`."""


def everywhere(setting: str) -> tuple[str, ...]:
    """Of all stages with steps, such as `speed.channels_last=true`."""
    return tuple(f"stages.{stage}.{setting}" for stage in SAMPLED)


PLAIN = "plain"
LEVERS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "ControlNet to 0.6": ("stages.draft.control_guidance_end=0.6",),
    "ControlNet to 0.4": ("stages.draft.control_guidance_end=0.4",),
    "guidance to 0.8": ("stages.draft.guidance_interval=[0, 0.8]",),
    "guidance 0.1-0.6": ("stages.draft.guidance_interval=[0.1, 0.6]",),
    "channels last": everywhere("speed.channels_last=true"),
    "fused QKV": everywhere("speed.fuse_qkv=true"),
    "compiled": everywhere("speed.compile=inductor"),
    "TaylorSeer": everywhere("speed.cache=taylorseer"),
    "PAB": everywhere("speed.cache=pab"),
}
"""Overrides of the nano profile, by the lever's name."""
COLUMNS = (
    *("lever", "s per pair", "accepted", "DINO", "CLIP", "s per accepted pair"),
    *("ratio", "DINO change", "CLIP change", "pays"),
)


@dataclass(frozen=True)
class Figures:
    """Of one run. seconds: of its stages. dino, clip: sums over the `scored` pairs."""

    seconds: float
    planned: int
    accepted: int
    scored: int
    dino: float
    clip: float


@dataclass(frozen=True)
class Means:
    """Of one lever's runs, over its seeds."""

    seconds_per_pair: Estimate
    accepted: Estimate
    dino: Estimate
    clip: Estimate
    seconds_per_accepted: Estimate


@dataclass(frozen=True)
class Change:
    """From one lever to another over the same plans. time: the ratio of seconds per planned pair, cost: of seconds per
    accepted one; the others: differences."""

    time: Estimate
    cost: Estimate
    accepted: Estimate
    dino: Estimate
    clip: Estimate

    @property
    def pays(self) -> bool:
        falls = any(each.value + (each.error or 0) < 0 for each in (self.dino, self.clip))
        return self.cost.value + (self.cost.error or 0) < 1 and not falls


def run(overrides: tuple[str, ...], folder: str) -> Figures:
    """The whole job into `folder`, or what is left of it."""
    generate(load_config("nano", ("placement=inline", *overrides)), folder)
    storage = open_storage(folder)
    totals = total(storage)
    files = [pq.read_table(file, columns=["dino_score", "clip_score"]) for file in data_files(storage, LEDGER)]
    rows = [row for file in files for row in file.to_pylist() if None not in row.values()]
    return Figures(
        seconds=sum(figures.seconds for figures in totals.stages.values()),
        planned=totals.planned,
        accepted=totals.accepted,
        scored=len(rows),
        dino=sum(row["dino_score"] for row in rows),
        clip=sum(row["clip_score"] for row in rows),
    )


def measured(overrides: tuple[str, ...], seed: int, pairs: int, device: str, folder: Path) -> Figures:
    """One run's figures, from the file beside its folder where it was made before."""
    run_dir = folder / f"{pairs}_pairs_on_{device}" / f"seed_{seed}"
    path = run_dir.with_suffix(".json")
    if not path.exists():
        plan = (f"pairs.count={pairs}", f"seed={seed}", f"device={device}")
        figures = in_fresh_process(run, (*plan, *overrides), str(run_dir))
        path.write_text(json.dumps(asdict(figures)))
    return Figures(**json.loads(path.read_text()))


def means(runs: Sequence[Figures]) -> Means:
    """runs: of the seeds."""
    planned, accepted, scored = ([getattr(each, key) for each in runs] for key in ("planned", "accepted", "scored"))
    seconds = [each.seconds for each in runs]
    return Means(
        seconds_per_pair=ratio(seconds, planned),
        accepted=ratio(accepted, planned),
        dino=ratio([each.dino for each in runs], scored),
        clip=ratio([each.clip for each in runs], scored),
        seconds_per_accepted=ratio(seconds, accepted),
    )


def change(before: Means, after: Means) -> Change:
    """Seed by seed: the plans are the same."""
    return Change(
        time=ratio(_seeds(after.seconds_per_pair), _seeds(before.seconds_per_pair)),
        cost=ratio(_seeds(after.seconds_per_accepted), _seeds(before.seconds_per_accepted)),
        accepted=_difference(before.accepted, after.accepted),
        dino=_difference(before.dino, after.dino),
        clip=_difference(before.clip, after.clip),
    )


def _seeds(estimate: Estimate) -> list[float]:
    return [math.nan if value is None else value for value in estimate.seeds]


def _difference(before: Estimate, after: Estimate) -> Estimate:
    changes = [b - a for a, b in zip(_seeds(before), _seeds(after), strict=True)]
    return ratio(changes, [1] * len(changes))


def shown(estimate: Estimate, digits: int) -> str:
    error = "" if estimate.error is None else f" ± {estimate.error:.{digits}f}"
    return f"{estimate.value:.{digits}f}{error}"


def markdown(found: Mapping[str, Means], conditions: str) -> str:
    """The table under a line that says what was measured. found: by lever, `PLAIN` among them."""
    lines = [
        conditions,
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for lever, own in found.items():
        cells = [
            lever,
            shown(own.seconds_per_pair, 2),
            *(shown(each, 3) for each in (own.accepted, own.dino, own.clip)),
        ]
        cells.append(shown(own.seconds_per_accepted, 2))
        if lever != PLAIN:
            changed = change(found[PLAIN], own)
            cells += [shown(each, 3) for each in (changed.cost, changed.dino, changed.clip)]
            cells.append("yes" if changed.pays else "no")
        cells += [""] * (len(COLUMNS) - len(cells))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_json(found: Mapping[str, Means], conditions: str) -> str:
    levers = {}
    for lever, own in found.items():
        changed = None if lever == PLAIN else change(found[PLAIN], own)
        levers[lever] = asdict(own) | {"change": changed and asdict(changed), "pays": changed and changed.pays}
    return json.dumps({"conditions": conditions, "levers": levers}, indent=2)


@click.command(help=__doc__)
@click.option("--pairs", default=60, show_default=True, help="Planned pairs of each run.")
@click.option("--seeds", default=3, show_default=True, help="Runs of each lever, each with a plan of its own.")
@click.option("--levers", multiple=True, type=click.Choice(list(LEVERS)), help="Repeatable; default: all.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--work-dir", default="runs/levers", show_default=True, type=click.Path(path_type=Path))
def main(pairs: int, seeds: int, levers: tuple[str, ...], device: str, work_dir: Path) -> None:
    wanted = [lever for lever in LEVERS if lever == PLAIN or lever in (levers or LEVERS)]
    runs: dict[str, list[Figures]] = {lever: [] for lever in wanted}
    for seed in range(seeds):  # all of one seed side by side: a machine does not stand still
        for lever in wanted:
            folder = work_dir / lever.replace(" ", "_")
            runs[lever].append(measured(LEVERS[lever], seed, pairs, device, folder))
    found = {lever: means(own) for lever, own in runs.items()}
    on = describe_device(pick_device(device))  # type: ignore[arg-type]
    conditions = f"Nano profile, {seeds} seeds of {pairs} pairs, {on}, {date.today()}."
    text = markdown(found, conditions)
    (work_dir / "levers.md").write_text(text)
    (work_dir / "levers.json").write_text(as_json(found, conditions))
    click.echo(text)


if __name__ == "__main__":
    main()
