"""A run of pairs as planned, with noise for pictures: no network draws them, and all are accepted but a few."""

import numpy as np
import pyarrow as pa

from actors.shard_writer import image_struct
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import encode, encode_depth, encode_mask
from toffee_pipeline.models.roles import describe_roles
from toffee_pipeline.plan.plan import make_plan
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures, Summary
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.rundir.layout import DATA, LEDGER, SUMMARY
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.parquet import to_parquet
from toffee_pipeline.rundir.prompt_bank import load_prompts
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage


def encoded(rows: list[dict], schema: pa.Schema, row_group_size: int) -> bytes:
    return to_parquet(pa.Table.from_pylist(rows, schema), row_group_size)


def write_planned_run(storage: Storage, num_pairs: int = 48, size_px: int = 64, rejects: bool = True, *settings: str):
    """Commit it, two subjects with four pairs each to a shard. Every seventh pair is rejected.

    Returns the accepted rows by pair id, with their images.
    """
    words = (f"pairs.count={num_pairs}", "subjects_per_shard=2", f"size_px={size_px}", "pairs.edit_fraction=0.5")
    fixed = ("subjects.source=renderer", "output.image_format=jpeg")
    config = load_config("nano", (*fixed, *words, *settings))
    plan = make_plan(config, None, load_prompts(config))
    claim(storage, GenerationRun.of(config, plan, describe_roles(config)))
    accepted = {}
    for shard in range(len(plan)):
        rows = []
        for number, planned in enumerate(plan.rows(shard)):
            status = "rejected" if rejects and number % 7 == 6 else "accepted"
            scores = {score.column: 0.5 for score in PAIRS.scores}
            reason = "low_clip" if status == "rejected" else None
            rows.append({**planned, **scores, "status": status, "reason": reason, "error": None})
        kept = [{**images(row, size_px), **row} for row in rows if row["status"] == "accepted"]
        accepted |= {row["pair_id"]: row for row in kept}
        files = [
            ShardFile(DATA, kind, encoded([row for row in kept if row["kind"] == kind], PAIRS.data, 100), num_rows)
            for kind in PAIRS.files
            if (num_rows := sum(row["kind"] == kind for row in kept))
        ]
        files.append(ShardFile(LEDGER, "pair", encoded(rows, PAIRS.ledger, 64), len(rows)))
        rejected = len(rows) - len(kept)
        counts = ShardCounts(
            planned=len(rows),
            accepted=len(kept),
            rejected={"low_clip": rejected} if rejected else {},
            stages={"draft": StageFigures(rows=len(rows), seconds=36.0, gpu_seconds=72.0, joules=1.8e6)},
        )
        commit_shard(storage, shard, files, counts)
    return accepted


def write_finished_run(storage: Storage, num_pairs: int, *settings: str) -> None:
    """Commit all of such a run, a subject to a shard, with its summary."""
    write_planned_run(storage, num_pairs, 64, True, "placement=inline", "subjects_per_shard=1", *settings)
    with Lease(storage):
        write(storage, SUMMARY, Summary(**total(storage).counts().model_dump(), elapsed_s=1.0, pairs_per_s=1.0))


def images(row, size_px):
    """Of a pair: generation pairs are JPEG, edit pairs lossless and equal outside of their mask."""
    rng = np.random.default_rng(row["pair_seed"])
    format = "png" if row["kind"] == "edit" else "jpeg"
    first, second, draft = rng.integers(0, 256, (3, size_px, size_px, 3), np.uint8)
    inside = np.zeros((size_px, size_px), bool)
    inside[: size_px // 2] = True
    if row["kind"] == "edit":
        second = np.where(inside[..., None], second, first)
    depth = rng.random((size_px, size_px), np.float32)
    return {
        "input_image": image_struct(encode(first, format)),
        "target_image": image_struct(encode(second, format)),
        "mask": image_struct(encode_mask(inside)),
        "depth": image_struct(encode_depth(depth)),
        "subject_image": image_struct(encode(first, format)),
        "draft_image": image_struct(encode(draft, format)),
    }
