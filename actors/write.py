"""The last stage: encodes a finished shard and commits it, data first, manifest last."""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.shard import PairState, RowState, Shard, SubjectState, present
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.images import decode, encode
from toffee_pipeline.plan.readable import reason
from toffee_pipeline.rundir.commit import BankedSubject, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.schema import PAIRS, SUBJECTS, planned_row, subject_row
from toffee_pipeline.storage import open_storage

LEDGER_ROW_GROUP = 64

storage_of = functools.cache(open_storage)
"""One per process: a task writes one shard, and each new storage would make a new S3 client."""


class Write:
    """Needs no model and no GPU. Calling it returns the shard's counts, which is all that reaches the driver."""

    def __init__(self, config: DatasetConfig, output: str) -> None:
        self.config = config
        self.table = PAIRS if isinstance(config, RunConfig) else SUBJECTS
        self.storage = storage_of(output, config.output.endpoint_url)

    def __call__(self, shard: Shard) -> ShardCounts:
        undecided = [state.id for state in shard.rows if state.status == "ok"]
        if undecided:
            raise RuntimeError(f"shard {shard.index}: {self.table.row}s without a verdict: {undecided[:5]}")
        folders = {"data": "accepted"}
        if self.config.output.keep_rejected:
            folders["rejected"] = "rejected"
        files = {}
        for folder, status in folders.items():
            rows = [self._data_row(shard, state) for state in shard.rows if state.status == status]
            files[folder] = (parquet(rows, self.table.data, self.table.row_group_size), len(rows))
        ledger = [self._ledger_row(shard, state) for state in shard.rows]
        files["ledger"] = (parquet(ledger, self.table.ledger, LEDGER_ROW_GROUP), len(ledger))
        counts = count(shard, self.config, sum(len(data) for data, num_rows in files.values() if num_rows))
        commit_shard(self.storage, shard.index, files, counts, self._banked(shard))
        return counts

    def _data_row(self, shard: Shard, state: RowState) -> dict[str, Any]:
        if isinstance(state, PairState):
            images = self._images_of_pair(state, shard.subject_of(state))
        else:
            assert isinstance(state, SubjectState)  # a shard has no other rows
            images = {name: image_struct(getattr(state, name)) for name in SUBJECTS.images}
        return {**images, **_planned(shard, state), **self._verdict(state)}

    def _images_of_pair(self, state: PairState, subject: SubjectState) -> dict[str, Any]:
        lossless = state.pair.kind == "edit"
        return {
            "input_image": self._image(state.input, lossless),
            "target_image": self._image(state.target, lossless),
            "mask": image_struct(state.edit_mask if lossless else subject.mask),
            "depth": image_struct(subject.depth),
            "subject_image": self._image(subject.image, lossless),
            "draft_image": self._image(state.draft, lossless),
        }

    def _image(self, png: bytes | None, lossless: bool) -> dict[str, Any] | None:
        assert isinstance(self.config, RunConfig)  # it has pairs
        output = self.config.output
        if png is None or lossless or output.image_format == "png":
            return image_struct(png)
        return image_struct(encode(decode(png), output.image_format, output.quality))

    def _ledger_row(self, shard: Shard, state: RowState) -> dict[str, Any]:
        seconds = state.stage_s
        if isinstance(state, PairState):
            subject = shard.subject_of(state)
            num_pairs = sum(other.pair.subject_id == subject.id for other in shard.pairs)
            seconds = {
                stage: seconds.get(stage, 0.0) + subject.stage_s.get(stage, 0.0) / num_pairs
                for stage in self.table.stages
            }
        times = {stage: seconds.get(stage, 0.0) for stage in self.table.stages}
        return {**_planned(shard, state), **self._verdict(state), "error": state.error, "stage_s": times}

    def _verdict(self, state: RowState) -> dict[str, Any]:
        scores = {score.column: state.scores.get(score.name) for score in self.table.scores}
        return {"status": state.status, "reason": state.reason, **scores}

    def _banked(self, shard: Shard) -> list[BankedSubject] | None:
        """The rows of a bank's `data`."""
        if self.table is not SUBJECTS:
            return None
        return [
            BankedSubject(
                subject_id=state.id,
                class_name=state.subject.class_name,
                prompt=state.subject.prompt,
                seed=state.subject.seed,
            )
            for state in shard.subjects.values()
            if state.status == "accepted"
        ]


def count(shard: Shard, config: DatasetConfig, num_bytes: int) -> ShardCounts:
    """Counts of one shard as they stand in its manifest. num_bytes: of its files."""
    by_kind: dict[str, Counter[str]] = {}
    by_category: dict[str, Counter[str]] = {}
    for pair in shard.pairs:
        for groups, key in ((by_kind, pair.pair.kind), (by_category, pair.pair.category)):
            groups.setdefault(key, Counter()).update(["planned", pair.status])
    rows = shard.rows
    return ShardCounts(
        planned=len(rows),
        accepted=sum(state.status == "accepted" for state in rows),
        rejected=Counter(state.reason for state in rows if state.reason and state.status == "rejected"),
        failed=sum(state.status == "failed" for state in rows),
        errors=Counter(state.error for state in rows if state.error and state.status == "failed"),
        unreadable={
            state.subject.path: reason(present(state.error), state.subject.path)
            for state in shard.subjects.values()
            if state.subject.path is not None and state.reason == "unreadable"
        },
        by_kind={key: dict(numbers) for key, numbers in by_kind.items()},
        by_category={key: dict(numbers) for key, numbers in by_category.items()},
        stages=stage_figures([state.stage_s for state in (*shard.subjects.values(), *shard.pairs)], config),
        num_bytes=num_bytes,
    )


def stage_figures(timings: Sequence[Mapping[str, float]], config: DatasetConfig) -> dict[str, StageFigures]:
    """timings: seconds of each stage, of every row and of what rows share."""
    stages = {}
    for stage in config.model_stages:
        seconds = [stage_s[stage] for stage_s in timings if stage in stage_s]
        gpu_seconds = sum(seconds) * config.num_gpus_of(stage)
        stages[stage] = StageFigures(rows=len(seconds), seconds=sum(seconds), gpu_seconds=gpu_seconds)
    return stages


def _planned(shard: Shard, state: RowState) -> dict[str, Any]:
    if isinstance(state, PairState):
        return planned_row(state.pair, shard.subject_of(state).subject)
    assert isinstance(state, SubjectState)  # a shard has no other rows
    return subject_row(state.subject)


def image_struct(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": None}


def parquet(rows: list[dict[str, Any]], schema: pa.Schema, row_group_size: int) -> bytes:
    buffer = io.BytesIO()
    # images are compressed already; small row groups let a reader skim
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, buffer, compression="zstd", row_group_size=row_group_size)
    return buffer.getvalue()
