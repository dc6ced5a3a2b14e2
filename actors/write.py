"""The last stage: encodes a finished shard and commits it, data first, manifest last."""

from __future__ import annotations

import functools
import io
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.shard import PairState, Shard, present
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.filters import SCORES
from toffee_pipeline.images import decode, encode
from toffee_pipeline.plan.readable import reason
from toffee_pipeline.rundir.commit import commit_shard
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.schema import DATA, LEDGER, planned_row
from toffee_pipeline.storage import open_storage

_storage = functools.cache(open_storage)
"""One per process: a task writes one shard, and each new storage would make a new S3 client."""


class Write:
    """Needs no model and no GPU. Calling it returns the shard's counts, which is all that reaches the driver."""

    def __init__(self, config: RunConfig, output: str) -> None:
        self.config = config
        self.storage = _storage(output, config.output.endpoint_url)

    def __call__(self, shard: Shard) -> ShardCounts:
        undecided = [state.pair.pair_id for state in shard.pairs if state.status == "ok"]
        if undecided:
            raise RuntimeError(f"shard {shard.index}: pairs without a verdict: {undecided[:5]}")
        folders = {"data": "accepted"}
        if self.config.output.keep_rejected:
            folders["rejected"] = "rejected"
        files = {}
        for folder, status in folders.items():
            rows = [self._data_row(shard, state) for state in shard.pairs if state.status == status]
            files[folder] = (_parquet(rows, DATA), len(rows))
        files["ledger"] = (_parquet(_ledger_rows(shard), LEDGER), len(shard.pairs))
        counts = count(shard, self.config, sum(len(data) for data, num_rows in files.values() if num_rows))
        commit_shard(self.storage, shard.index, files, counts)
        return counts

    def _data_row(self, shard: Shard, state: PairState) -> dict[str, Any]:
        subject = shard.subject_of(state)
        lossless = state.pair.kind == "edit"
        return {
            "input_image": self._image(state.input, lossless),
            "target_image": self._image(state.target, lossless),
            "mask": _struct(state.edit_mask if lossless else subject.mask),
            "depth": _struct(subject.depth),
            "subject_image": self._image(subject.image, lossless),
            "draft_image": self._image(state.draft, lossless),
            **_planned(shard, state),
            **_verdict(state),
        }

    def _image(self, png: bytes | None, lossless: bool) -> dict[str, Any] | None:
        output = self.config.output
        if png is None or lossless or output.image_format == "png":
            return _struct(png)
        return _struct(encode(decode(png), output.image_format, output.quality))


def count(shard: Shard, config: RunConfig, num_bytes: int) -> ShardCounts:
    """Counts of one shard as they stand in its manifest. num_bytes: of its files."""
    by_kind: dict[str, Counter[str]] = {}
    by_category: dict[str, Counter[str]] = {}
    for state in shard.pairs:
        for groups, key in ((by_kind, state.pair.kind), (by_category, state.pair.category)):
            groups.setdefault(key, Counter()).update(["planned", state.status])
    stages = {}
    timings = [state.stage_s for state in shard.subjects.values()] + [state.stage_s for state in shard.pairs]
    for stage in MODEL_STAGES:
        seconds = [stage_s[stage] for stage_s in timings if stage in stage_s]
        gpu_seconds = sum(seconds) * config.num_gpus_of(stage)
        stages[stage] = StageFigures(rows=len(seconds), seconds=sum(seconds), gpu_seconds=gpu_seconds)
    return ShardCounts(
        planned=len(shard.pairs),
        accepted=sum(state.status == "accepted" for state in shard.pairs),
        rejected=Counter(state.reason for state in shard.pairs if state.reason and state.status == "rejected"),
        failed=sum(state.status == "failed" for state in shard.pairs),
        errors=Counter(state.error for state in shard.pairs if state.error and state.status == "failed"),
        unreadable={
            state.subject.path: reason(present(state.error), state.subject.path)
            for state in shard.subjects.values()
            if state.subject.path is not None and state.rejected_as == "unreadable"
        },
        by_kind={key: dict(numbers) for key, numbers in by_kind.items()},
        by_category={key: dict(numbers) for key, numbers in by_category.items()},
        stages=stages,
        num_bytes=num_bytes,
    )


def _planned(shard: Shard, state: PairState) -> dict[str, Any]:
    return planned_row(state.pair, shard.subject_of(state).subject)


def _verdict(state: PairState) -> dict[str, Any]:
    return {
        "status": state.status,
        "reason": state.reason,
        **{score.column: state.scores.get(score.name) for score in SCORES},
    }


def _ledger_rows(shard: Shard) -> list[dict[str, Any]]:
    pairs_of = Counter(state.pair.subject_id for state in shard.pairs)
    rows = []
    for state in shard.pairs:
        shared = shard.subject_of(state).stage_s
        seconds = {
            stage: state.stage_s.get(stage, 0.0) + shared.get(stage, 0.0) / pairs_of[state.pair.subject_id]
            for stage in MODEL_STAGES
        }
        rows.append({**_planned(shard, state), **_verdict(state), "error": state.error, "stage_s": seconds})
    return rows


def _struct(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": None}


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    # images are compressed already; small row groups let a reader skim
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd", row_group_size=64)
    return buffer.getvalue()
