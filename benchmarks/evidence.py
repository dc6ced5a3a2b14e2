"""The shape of the paper's evidence, on the nano profile, with error bars over seeds.

1. Draft, refined picture and oracle (the draft's scene with the true subject, which only the renderer knows):
   similarity to the subject by the DINO that the Refiner paints from (DINO) and by an encoder that had no part in it
   (CLIP-I; Seg-CLIP-I of both cut-outs, black outside the subject), mean absolute error inside the subject's mask
   against the oracle, and similarity to the prompt (CLIP-T).
2. The same for several values each of a, g, t0 and the matching radius.
3. Edit pairs under several strengths and ControlNet scales of their drafts, against the renderer's own picture.
4. The share of pairs that the two filters keep, by threshold.
5. Acceptance and mean scores of generation and edit pairs, by category.

1 and 2 take generation pairs of the profile's categories, each of another subject, with the renderer as subject, mask,
depth and draft, whatever the profile says: else there is no oracle. With --set renderer_plays=[subject,mask,depth,view]
the ControlNet draws the drafts; the oracle's place is then not the draft's, and no refining closes that part of a gap.
Categories without a mix (refine.a_by_category) do not count. 4 and 5 read the ledgers of jobs/generate.py, run inline
in a temporary directory with the profile as it is. Each seed is a plan of its own; an error bar is one standard error
over seeds.

    gap closed = (refined - draft) / (oracle - draft)

Beyond 100 % the refined picture is nearer to the subject than the truth is: it undoes the pair's change.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import evidence_edits, evidence_refiner, evidence_yield
from benchmarks.evidence_edits import SCALES, STRENGTHS
from benchmarks.evidence_page import render_page
from benchmarks.evidence_refiner import SWEEPS, Example
from benchmarks.evidence_tables import REFINING, RUN, Evidence, Table, bars, main_table, markdown, to_json
from toffee_pipeline.config.load import load_config
from toffee_pipeline.evaluation.judge import group
from toffee_pipeline.models.roles import describe_roles

ONLY_DINO_AND_CLIP = "stages.judge.min_clip_gain=null"
"""The yield's curves are of these two."""


def collect(
    num_seeds: int,
    num_pairs: int,
    overrides: tuple[str, ...] = (),
    sweeps: Mapping[str, tuple[float, ...]] = SWEEPS,
    strengths: Sequence[float] = STRENGTHS,
    scales: Sequence[float] = SCALES,
) -> tuple[Evidence, list[Example]]:
    """All figures, and some pairs to look at. num_pairs: per seed; overrides: of both experiments' configs."""
    began = time.monotonic()
    rendered = evidence_refiner.renderer_config(num_pairs, overrides)
    profile = load_config("nano", ("placement=inline", f"pairs.count={num_pairs}", ONLY_DINO_AND_CLIP, *overrides))
    scored, examples = evidence_refiner.measure(rendered, num_seeds, sweeps)
    judged = [row for seed in range(num_seeds) for row in evidence_yield.run_pairs(profile, seed)]
    parts = {"all": scored}
    for category in sorted({row.category for row in scored}):
        parts[category] = [row for row in scored if row.category == category]
    evidence = Evidence(
        num_seeds=num_seeds,
        num_pairs=num_pairs,
        refine=rendered.stages.refine,
        filter=profile.stages.judge,
        roles={REFINING: describe_roles(rendered), RUN: describe_roles(profile)},
        groups={part: group(rows) for part, rows in parts.items()},
        sweeps={
            key: {value: {part: group(rows, name) for part, rows in parts.items()} for value, name in names.items()}
            for key, names in evidence_refiner.settings(rendered, sweeps).items()
        },
        edits=evidence_edits.measure(num_pairs, num_seeds, overrides, strengths, scales),
        thresholds=evidence_yield.THRESHOLDS,
        curves=evidence_yield.curves(judged),
        overlap=evidence_yield.overlap(judged, profile.stages.judge),
        joint=evidence_yield.joint(judged, profile.stages.judge),
        yields=evidence_yield.yields(judged),
        elapsed_s=time.monotonic() - began,
    )
    return evidence, examples


def write(evidence: Evidence, examples: list[Example], folder: Path) -> list[Path]:
    """Writes evidence.html, evidence.md and evidence.json."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"html": render_page(evidence, examples), "md": markdown(evidence), "json": to_json(evidence)}
    for suffix, text in contents.items():
        (folder / f"evidence.{suffix}").write_text(text, encoding="utf-8")
    return [folder / f"evidence.{suffix}" for suffix in contents]


def for_console(table: Table) -> RichTable:
    shown = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False)
    for place, name in enumerate(table.header):
        shown.add_column(name, justify="left" if place < table.num_names else "right")
    above = ""
    for row in table.rows:
        shown.add_row("" if row[0] == above else row[0], *row[1:])
        above = row[0]
    return shown


@click.command(help=__doc__)
@click.option("--seeds", default=5, show_default=True, help="Plans, each of another seed.")
@click.option("--pairs", default=40, show_default=True, help="Pairs per seed, in each of the two experiments.")
@click.option("--output", default="runs/evidence", show_default=True, help="Folder of the report.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the nano profile.")
def main(seeds: int, pairs: int, output: str, overrides: tuple[str, ...]) -> None:
    evidence, examples = collect(seeds, pairs, overrides)
    Console(width=None if Console().is_terminal else 160).print(for_console(main_table(evidence)))
    for bar in bars(evidence):
        click.echo(f"{bar.part}: {bar.figure} {bar.text}: {bar.verdict}")
    for path in write(evidence, examples, Path(output)):
        click.echo(path)


if __name__ == "__main__":
    main()
