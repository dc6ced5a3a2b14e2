"""Pair truth: whether the pairs of finished runs show the change that they name, on the subject that they name.

RUN are run directories of jobs/generate.py with subjects.source=renderer, whose truth the renderer knows, and with
output.keep=all, or views of them by jobs/refilter.py; one per seed. Error bars are one standard error over them.

accepted     of the planned pairs.
shown        of the accepted: in a line-up of the oracle, which is the renderer's own picture of subject and change, of
             the subject with every other change of the category, and of the subject without one, the target is most
             like the oracle. Of a removal that is an addition turned round, the input must show the addition besides.
kept         of the accepted: the same among the oracle and this change on 9 other toys of the class.
error        to the oracle inside the pair's mask, 0..255, over all pairs that have pictures, accepted or not.
refused      of the pairs that are shown and kept, by the filter.
in truth     what the witness is worth: the same two shares where the target is the oracle in another light, blurred and
             noisy, and the share of pictures before the change that pass for changed, such as a mug whose handle is on
             the far side. Over all pairs that have pictures.

The witness who compares (toffee_pipeline/recipe/line_up.py) is a network that learned from renders alone, of toys that
no other network and no plan has seen. It is trained where --work-dir has none: about four minutes of one free core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import click
import torch
from PIL import Image
from rich.console import Console

from benchmarks.evidence import for_console
from benchmarks.evidence_tables import Table, finite, markdown_lines, number, percent
from benchmarks.pair_truth_runs import Example, judge_run
from toffee_pipeline.evaluation.truth import Truth, figures
from toffee_pipeline.image_grid import image_grid
from toffee_pipeline.recipe.line_up import evaluate_witness, train_witness
from toffee_pipeline.recipe.line_up_data import load_line_ups

MAX_EXAMPLES, NUM_BLOCKS = 72, 4
HEADER = (
    "kind",
    "category",
    "planned",
    "accepted",
    "shown",
    "kept",
    "both",
    "error",
    "refused",
    "in truth: shown",
    "shown before",
    "in truth: kept",
)


def table(found: Sequence[Truth]) -> Table:
    rows = [
        (
            truth.kind or "all",
            truth.category or "all",
            str(truth.num_planned),
            percent(truth.accepted),
            percent(truth.shown),
            percent(truth.kept),
            percent(truth.true),
            number(truth.error, 1),
            percent(truth.refused),
            percent(truth.shown_in_oracle),
            percent(truth.shown_before),
            percent(truth.kept_in_oracle),
        )
        for truth in found
    ]
    return Table("Pair truth", HEADER, rows)


def to_json(found: Sequence[Truth], skill: Mapping[str, float], runs: Sequence[str]) -> str:
    """Every figure with its error and its value per run; null where there is none."""
    content = {"runs": list(runs), "witness": dict(skill), "truth": [asdict(truth) for truth in found]}
    return json.dumps(finite(content), indent=1, allow_nan=False)


def write_sheet(examples: Sequence[Example], path: Path) -> None:
    """Accepted pairs of every kind and category in turn, with what the witness says of them.

    Raises click.ClickException where no pair was accepted.
    """
    groups: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        if example.judged.accepted:
            groups.setdefault((example.judged.kind, example.judged.category), []).append(example)
    if not groups:
        raise click.ClickException(f"{path}: no accepted pair to show")
    in_turn = [example for row in zip_longest(*groups.values()) for example in row if example is not None]
    chosen = sorted(in_turn[:MAX_EXAMPLES], key=lambda example: (example.judged.kind, example.judged.category))
    sheet = image_grid(
        [(example.input, example.target, example.oracle) for example in chosen],
        ("input", "target", "oracle"),
        [_caption(example) for example in chosen],
        NUM_BLOCKS,
    )
    Image.fromarray(sheet).save(path)


def _caption(example: Example) -> str:
    verdict = example.judged.verdict
    assert verdict is not None  # only judged pairs become examples
    said = f"{'' if verdict.shown else 'not '}shown, {'' if verdict.kept else 'not '}kept, error {verdict.error:.0f}"
    return f"{example.judged.kind}, {example.judged.category}: {example.change}; {said}"


@click.command(help=f"\b\n{__doc__}")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--work-dir", type=click.Path(path_type=Path), default=Path(".nano"), show_default=True, help="The witness's."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every figure there.")
@click.option(
    "--markdown", type=click.Path(path_type=Path), help="Write the table there, to be pasted into a document."
)
@click.option("--sheet", type=click.Path(path_type=Path), help="Write accepted pairs there, as a PNG to look at.")
def main(
    runs: tuple[str, ...], work_dir: Path, json_file: Path | None, markdown: Path | None, sheet: Path | None
) -> None:
    torch.set_num_threads(1)
    witness = train_witness(work_dir)
    skill = evaluate_witness(witness, load_line_ups(work_dir))
    judged, examples = [], []
    for index, run in enumerate(runs):
        of_run, shown = judge_run(witness, run, index)
        judged += of_run
        examples += shown
    found = figures(judged)
    Console(width=None if Console().is_terminal else 180).print(for_console(table(found)))
    won = ", ".join(f"{name} {100 * share:.0f} %" for name, share in skill.items())
    click.echo(f"line-ups of held-out renders that the witness solves: {won}")
    if json_file:
        json_file.write_text(to_json(found, skill, runs), encoding="utf-8")
    if markdown:
        markdown.write_text("\n".join(markdown_lines(table(found))) + "\n", encoding="utf-8")
    if sheet:
        write_sheet(examples, sheet)


if __name__ == "__main__":
    main()
