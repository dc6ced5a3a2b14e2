"""How long a run of pairs takes to open a subject bank, and what memory that needs: many subjects against few.

The bank is one of manifests alone: whoever opens it reads nothing else. A plan of its pairs then reads the manifests of
its own shard. CPU seconds are the firm figure on a shared machine.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.fresh import MIB, in_fresh_process, peak_rss_bytes
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.plan.plan import Plan, make_plan
from toffee_pipeline.rundir.bank import open_bank
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import SubjectBankRun
from toffee_pipeline.rundir.layout import DATA, RUN, manifest_key, shard_key
from toffee_pipeline.rundir.manifests import BankedSubject, BankManifest, DataFile

PER_SHARD = 64
"""Subjects of a shard, as in the profile sdxl."""
ATTEMPT = "0123456789ab"


def write_bank(folder: Path, num_subjects: int) -> None:
    """run.json and the manifests of a bank that has accepted every subject."""
    config = load_config("nano", (f"count={num_subjects}", f"subjects_per_shard={PER_SHARD}"), SubjectBankConfig)
    plan = make_plan(config)
    (folder / "_manifests").mkdir(parents=True)
    (folder / RUN).write_bytes(SubjectBankRun.of(config, plan, {}).encode())
    subjects = tuple(
        BankedSubject(
            subject_id=each.subject_id,
            class_name=each.class_name,
            prompt=each.prompt,
            seed=each.seed,
            source_path=each.path,
        )
        for each in plan.shard(0)[0]
    )
    for shard in range(len(plan)):
        file = DataFile(
            folder=DATA,
            key=shard_key(DATA, "subject", shard, ATTEMPT),
            size_bytes=1,
            num_rows=len(subjects),
            sha256=hashlib.sha256(str(shard).encode()).hexdigest(),
        )
        counts = ShardCounts(planned=len(subjects), accepted=len(subjects))
        manifest = BankManifest(
            shard=shard, attempt=ATTEMPT, committed=datetime.now(UTC), files=(file,), counts=counts, subjects=subjects
        )
        (folder / manifest_key(shard)).write_bytes(manifest.encode())


def measure(folder: str) -> dict[str, float]:
    config = load_config("nano", ("subjects.source=bank", f"subjects.path={folder}", "pairs.count=1000000"))
    before, began, used = peak_rss_bytes(), time.perf_counter(), time.process_time()
    bank = open_bank(config)
    opened, used = time.perf_counter(), time.process_time() - used
    plan = Plan(config, bank)
    plan.hash  # noqa: B018 (computed when it is asked for)
    indices = range(0, len(plan), max(1, len(plan) // 20))
    planning = time.perf_counter()
    for index in indices:
        plan.shard(index)
    planned = time.perf_counter()
    return {
        "subjects": len(bank),
        "open s": opened - began,
        "CPU s": used,
        "added MiB": (peak_rss_bytes() - before) / MIB,
        "ms per shard": (planned - planning) / len(indices) * 1e3,
    }


@click.command(help=__doc__)
@click.option("--small", default=20_000, show_default=True, help="Subjects of the reference bank.")
@click.option("--large", default=2_000_000, show_default=True, help="Subjects of the large bank.")
def main(small: int, large: int) -> None:
    for row, num_subjects in enumerate((small, large)):
        with tempfile.TemporaryDirectory() as folder:
            write_bank(Path(folder) / "bank", num_subjects)
            figures = in_fresh_process(measure, f"{folder}/bank")
        if row == 0:
            click.echo("".join(f"{name:>14}" for name in figures))
        click.echo("".join(f"{value:>14.1f}" for value in figures.values()))


if __name__ == "__main__":
    main()
