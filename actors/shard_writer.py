"""The last stage of every job with shards: encodes a finished shard and commits it, data first, manifest last."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa

from actors.shard import RowShard, RowState
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.filters import keeps_images
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts, StageFigures
from toffee_pipeline.rundir.layout import DATA, LEDGER, REJECTED
from toffee_pipeline.rundir.manifests import BankedSubject
from toffee_pipeline.rundir.parquet import LEDGER_ROW_GROUP, to_parquet
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import open_storage

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
        rows = {state.id: self._row(shard, state) for state in shard.rows}
        files = []
        for name in self.table.files:
            accepted = [s for s in shard.rows if s.status == "accepted" and self.table.file_of(rows[s.id]) == name]
            files.append(self._with_images(DATA, name, shard, accepted, rows))
        keep = self.config.output.keep
        rejected = [s for s in shard.rows if s.status == "rejected" and keeps_images(keep, s.reason)]
        files.append(self._with_images(REJECTED, self.table.row, shard, rejected, rows))
        ledger = [{**rows[s.id], "error": s.error, "stage_s": self._times(shard, s)} for s in shard.rows]
        data = to_parquet(pa.Table.from_pylist(ledger, self.table.ledger), LEDGER_ROW_GROUP)
        files.append(ShardFile(LEDGER, self.table.row, data, len(ledger)))
        counts = self.count(shard, sum(file.size_bytes for file in files if file.num_rows))
        commit_shard(self.storage, shard.index, files, counts, self.banked(shard))
        return counts

    def _with_images(
        self, folder: str, name: str, shard: S, states: Sequence[RowState], rows: Mapping[str, dict[str, Any]]
    ) -> ShardFile:
        """A file of the rows of `states`, which `rows` holds by id, with their images."""
        full = [{**self.images(shard, state), **rows[state.id]} for state in states]
        table = pa.Table.from_pylist(full, self.table.data)
        return ShardFile(folder, name, to_parquet(table, self.table.row_group_size), len(full))

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

    def measured(self, shard: S, state: RowState) -> dict[str, Any]:
        """The columns that neither the plan nor a score gives."""
        return {}

    def banked(self, shard: S) -> list[BankedSubject] | None:
        """Of a subject bank alone: the rows of its `data`."""
        return None

    def _row(self, shard: S, state: RowState) -> dict[str, Any]:
        scores = {score.column: state.scores.get(score.name) for score in self.table.scores}
        verdict = {"status": state.status, "reason": state.reason}
        return {**self.planned(shard, state), **verdict, **scores, **self.measured(shard, state)}

    def _times(self, shard: S, state: RowState) -> dict[str, float]:
        seconds = self.seconds(shard, state)
        return {stage: seconds.get(stage, 0.0) for stage in self.table.stages}


def stage_figures(states: Sequence[RowState], config: DatasetConfig) -> dict[str, StageFigures]:
    """states: every row, and what rows share."""
    stages = {}
    for stage in config.model_stages:
        seconds = [state.stage_s[stage] for state in states if stage in state.stage_s]
        joules = [state.stage_joules[stage] for state in states if stage in state.stage_joules]
        num_gpus = config.num_gpus_of(stage)
        stages[stage] = StageFigures(
            rows=len(seconds),
            seconds=sum(seconds),
            gpu_seconds=sum(seconds) * num_gpus,
            # the counter is that of one whole GPU, which others of its holders read too
            joules=sum(joules) * min(1.0, num_gpus) if joules and num_gpus else None,
        )
    return stages


def image_struct(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": None}
