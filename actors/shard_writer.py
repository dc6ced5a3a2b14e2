"""The last stage of every job with shards: encodes a finished shard and commits it, data first, manifest last."""

from __future__ import annotations

import functools
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from actors.shard import RowShard, RowState
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.rundir.commit import BankedSubject, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.schema import Table
from toffee_pipeline.storage import open_storage

LEDGER_ROW_GROUP = 64

storage_of = functools.cache(open_storage)
"""One per process: a task writes one shard, and each new storage would make a new S3 client."""
S = TypeVar("S", bound=RowShard)


class ShardWriter(ABC, Generic[S]):
    """Needs no model and no GPU. Calling it returns the shard's counts, which is all that reaches the driver.

    A job says what its rows hold.
    """

    def __init__(self, config: DatasetConfig, output: str, table: Table) -> None:
        self.config, self.table = config, table
        self.storage = storage_of(output, config.output.endpoint_url)

    def __call__(self, shard: S) -> ShardCounts:
        if undecided := [state.id for state in shard.open_rows()]:
            raise RuntimeError(f"shard {shard.index}: {self.table.row}s without a verdict: {undecided[:5]}")
        folders = {"data": "accepted"}
        if self.config.output.keep_rejected:
            folders["rejected"] = "rejected"
        files = {}
        for folder, status in folders.items():
            rows = [
                {**self.images(shard, state), **self._row(shard, state)}
                for state in shard.rows
                if state.status == status
            ]
            files[folder] = (parquet(rows, self.table.data, self.table.row_group_size), len(rows))
        ledger = [
            {**self._row(shard, state), "error": state.error, "stage_s": self._times(shard, state)}
            for state in shard.rows
        ]
        files["ledger"] = (parquet(ledger, self.table.ledger, LEDGER_ROW_GROUP), len(ledger))
        counts = self.count(shard, sum(len(data) for data, num_rows in files.values() if num_rows))
        commit_shard(self.storage, shard.index, files, counts, self.banked(shard))
        return counts

    @abstractmethod
    def images(self, shard: S, state: RowState) -> dict[str, Any]:
        """The image columns of a row with pictures."""

    @abstractmethod
    def planned(self, shard: S, state: RowState) -> dict[str, Any]:
        """The columns that the plan gives."""

    @abstractmethod
    def count(self, shard: S, num_bytes: int) -> ShardCounts:
        """Counts of the shard as they stand in its manifest. num_bytes: of its files."""

    def seconds(self, shard: S, state: RowState) -> Mapping[str, float]:
        """What the stages took for a row, by stage."""
        return state.stage_s

    def banked(self, shard: S) -> list[BankedSubject] | None:
        """Of a subject bank alone: the rows of its `data`."""
        return None

    def _row(self, shard: S, state: RowState) -> dict[str, Any]:
        scores = {score.column: state.scores.get(score.name) for score in self.table.scores}
        return {**self.planned(shard, state), "status": state.status, "reason": state.reason, **scores}

    def _times(self, shard: S, state: RowState) -> dict[str, float]:
        seconds = self.seconds(shard, state)
        return {stage: seconds.get(stage, 0.0) for stage in self.table.stages}


def stage_figures(timings: Sequence[Mapping[str, float]], config: DatasetConfig) -> dict[str, StageFigures]:
    """timings: seconds of each stage, of every row and of what rows share."""
    stages = {}
    for stage in config.model_stages:
        seconds = [stage_s[stage] for stage_s in timings if stage in stage_s]
        gpu_seconds = sum(seconds) * config.num_gpus_of(stage)
        stages[stage] = StageFigures(rows=len(seconds), seconds=sum(seconds), gpu_seconds=gpu_seconds)
    return stages


def image_struct(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": None}


def parquet(rows: list[dict[str, Any]], schema: pa.Schema, row_group_size: int) -> bytes:
    buffer = io.BytesIO()
    # images are compressed already; small row groups let a reader skim
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, buffer, compression="zstd", row_group_size=row_group_size)
    return buffer.getvalue()
