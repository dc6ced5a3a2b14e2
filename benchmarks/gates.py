"""What gates would save: GPU seconds per accepted pair with a bound against without, of a run in which they only score.

    python jobs/generate.py --config nano --output RUN --set stages.check_draft.min_clip=-1 \\
        --set stages.check_subject.min_clip=-1 --set stages.check_refined.min_dino=-1
    python -m benchmarks.gates RUN

For each gate and share of accepted pairs that may be lost: the bound, the share of pairs that it stops, and the ratio
of GPU seconds per accepted pair, the gate's own included. Below 1 it pays. A stage's seconds count for each GPU that it
holds; those of a run without a GPU count once.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq

from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.filters import GATES
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.layout import LEDGER
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage

LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1)


def read_rows(run: str) -> list[dict[str, Any]]:
    """The ledger, whose seconds of each stage are times its GPUs."""
    storage = open_storage(run)
    config = read_pairs(storage).config
    gpus = {stage: config.num_gpus_of(stage) for stage in config.model_stages}
    rows = [row for file in data_files(storage, LEDGER) for row in pq.read_table(file).to_pylist()]
    for row in rows if any(gpus.values()) else ():
        row["stage_s"] = {stage: seconds * gpus.get(stage, 0) for stage, seconds in row["stage_s"].items()}
    return rows


def ratio(rows: list[dict[str, Any]], gate: str, bound: float) -> tuple[float, float, float]:
    """Share of accepted pairs that the bound loses, share of scored pairs that it stops, and the ratio."""
    column = GATES[gate].column
    before = MODEL_STAGES[: MODEL_STAGES.index(gate) + 1]
    stopped = {row["pair_id"] for row in rows if row[column] is not None and row[column] < bound}
    stopped |= {row["pair_id"] for row in rows if row["reversed_from"] in stopped}
    accepted = [row["pair_id"] for row in rows if row["status"] == "accepted"]
    kept = [id for id in accepted if id not in stopped]
    without = sum(s for row in rows for name, s in row["stage_s"].items() if name not in GATES)
    spent = sum(
        s
        for row in rows
        for name, s in row["stage_s"].items()
        if name == gate or (name not in GATES and (row["pair_id"] not in stopped or name in before))
    )
    scored = sum(row[column] is not None for row in rows)
    return 1 - len(kept) / len(accepted), len(stopped) / scored, (spent / len(kept)) / (without / len(accepted))


@click.command()
@click.argument("runs", nargs=-1, required=True)
def main(runs: tuple[str, ...]) -> None:
    rows = [row for run in runs for row in read_rows(run)]
    print(f"{len(rows)} pairs, {sum(row['status'] == 'accepted' for row in rows)} accepted")
    print("| gate | bound | accepted pairs lost | pairs stopped | GPU seconds per accepted pair, with / without |")
    print("|---|---|---|---|---|")
    for gate, score in GATES.items():
        values = [row[score.column] for row in rows if row["status"] == "accepted" and row[score.column] is not None]
        for loss in LOSSES if values else ():
            bound = float(np.quantile(values, loss))
            lost, stopped, found = ratio(rows, gate, bound)
            print(f"| {gate} | {bound:.3f} | {lost:.1%} | {stopped:.1%} | {found:.3f} |")


if __name__ == "__main__":
    main()
