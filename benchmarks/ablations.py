"""The paper's ablations on nano: trains ToffeeNet's variants, evaluates them, and says which claims hold.

full         ToffeeNet: p = 0, lambda 1, DINO of the whole image
E, G         trained on edit pairs alone, on generation pairs alone (Table 2)
p0.25, p0.5  trained to reconstruct with probability p (Table 3)
segmented    DINO sees the segmented subject
R            trained on drafts: pairs that were neither refined nor filtered

All start from nano's text to image and train for as many steps. One network serves what differs at inference alone: a
new view (constant depth), the structure kept (the input image's depth), edits, and the sweep of lambda. A figure is a
mean over subjects and seeds, +- one standard error; a claim holds, or is reversed, where its difference is beyond two.

RUN are run directories of jobs/generate.py, of output.keep=all, so that R learns from rejected pairs too. Running the
same command again goes on where it stopped; what is finished is not made again. Several may run at once, each with
--variants of its own; a last one of all of them then writes the report.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from rich.console import Console

from benchmarks.ablations_claims import cells_table, claims_table, judge_all, to_json, to_markdown
from benchmarks.ablations_plan import VARIANTS, Cell
from benchmarks.ablations_runs import Bench, Means
from benchmarks.evidence import for_console
from toffee_pipeline.console.options import Job


@click.command(cls=Job, help=f"\b\n{__doc__}")
@click.option("--data", multiple=True, required=True, metavar="RUN", help="Pairs to train on; repeatable.")
@click.option("--work-dir", type=click.Path(path_type=Path), required=True, help="Of all runs and the report.")
@click.option("--steps", type=click.IntRange(1), default=600, show_default=True, help="Of each training.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="So many of each variant.")
@click.option(
    "--variants",
    default=",".join(variant.name for variant in VARIANTS),
    show_default=True,
    metavar="NAMES",
    help="With commas.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--subjects", type=click.IntRange(1, 30), default=6, show_default=True, help="Of the nano DreamBench.")
@click.option("--prompts", type=click.IntRange(1, 25), default=25, show_default=True, help="Of each subject.")
@click.option("--set-training", "training", multiple=True, metavar="KEY=VALUE", help="Of jobs/train_toffeenet.py.")
@click.option("--set-evaluation", "evaluation", multiple=True, metavar="KEY=VALUE", help="Of jobs/evaluate.py.")
def main(seeds: int, variants: str, work_dir: Path, **shared: object) -> None:
    names = variants.split(",")
    if unknown := sorted(set(names) - {variant.name for variant in VARIANTS}):
        allowed = ", ".join(variant.name for variant in VARIANTS)
        raise click.UsageError(f"--variants: {', '.join(unknown)} is none; allowed are {allowed}")
    torch.set_num_threads(1)
    bench = Bench(work_dir=work_dir.absolute(), **shared)  # type: ignore[arg-type]
    chosen = [variant for variant in VARIANTS if variant.name in names]
    found: dict[Cell, dict[int, Means]] = {}
    for seed in range(seeds):  # a first seed of all variants tells the most
        for variant in chosen:
            click.echo(f"== {variant.name}, seed {seed}")
            bench.train(variant, seed)
            for asked in variant.asked:
                click.echo(f"== {variant.name}, seed {seed}: {asked}")
                found.setdefault((variant.name, asked), {})[seed] = bench.evaluate(variant, asked, seed)
    judged = judge_all(found)
    about = (
        f"{bench.steps} steps each on {', '.join(bench.data)}; seeds: {seeds}; nano DreamBench: {bench.subjects} "
        f"subjects, {bench.prompts} prompts. Mean over seeds and subjects, ± one standard error."
    )
    console = Console(width=None if Console().is_terminal else 180)
    for table in (cells_table(found), claims_table(judged)):
        console.print(for_console(table))
    work_dir.joinpath("ablations.md").write_text(to_markdown(found, judged, about), encoding="utf-8")
    work_dir.joinpath("ablations.json").write_text(to_json(found, judged, about), encoding="utf-8")
    click.echo(f"written: {work_dir / 'ablations.md'} and {work_dir / 'ablations.json'}")


if __name__ == "__main__":
    main()
