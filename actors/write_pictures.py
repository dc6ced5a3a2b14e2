"""The last step of an evaluation: commits a finished shard, data first, manifest last."""

from __future__ import annotations

from collections import Counter
from typing import Any

from actors.pictures import PictureShard, PictureState
from actors.write import LEDGER_ROW_GROUP, image_struct, parquet, stage_figures, storage_of
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.rundir.commit import commit_shard
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.schema import PICTURES, picture_row


class WritePictures:
    """As `Write`, of pictures."""

    def __init__(self, config: EvaluationConfig, output: str) -> None:
        self.config, self.storage = config, storage_of(output, config.output.endpoint_url)

    def __call__(self, shard: PictureShard) -> ShardCounts:
        if undecided := [state.id for state in shard.open_pictures()]:
            raise RuntimeError(f"shard {shard.index}: pictures without a score: {undecided[:5]}")
        data = [
            {"image": image_struct(state.image), **self._row(state)}
            for state in shard.pictures
            if state.status == "accepted"
        ]
        ledger = [{**self._row(state), "error": state.error, "stage_s": self._times(state)} for state in shard.pictures]
        files = {
            "data": (parquet(data, PICTURES.data, PICTURES.row_group_size), len(data)),
            "ledger": (parquet(ledger, PICTURES.ledger, LEDGER_ROW_GROUP), len(ledger)),
        }
        counts = self._count(shard, sum(len(content) for content, num_rows in files.values() if num_rows))
        commit_shard(self.storage, shard.index, files, counts)
        return counts

    def _row(self, state: PictureState) -> dict[str, Any]:
        scores = {score.column: state.scores.get(score.name) for score in PICTURES.scores}
        return {**picture_row(state.picture), "status": state.status, "reason": state.reason, **scores}

    def _times(self, state: PictureState) -> dict[str, float]:
        return {stage: state.stage_s.get(stage, 0.0) for stage in PICTURES.stages}

    def _count(self, shard: PictureShard, num_bytes: int) -> ShardCounts:
        by_kind: dict[str, Counter[str]] = {}
        for state in shard.pictures:
            by_kind.setdefault(state.picture.kind, Counter()).update(["planned", state.status])
        states = shard.pictures
        return ShardCounts(
            planned=len(states),
            accepted=sum(state.status == "accepted" for state in states),
            failed=sum(state.status == "failed" for state in states),
            errors=Counter(state.error for state in states if state.error),
            by_kind={kind: dict(numbers) for kind, numbers in by_kind.items()},
            stages=stage_figures([state.stage_s for state in states], self.config),
            num_bytes=num_bytes,
        )
