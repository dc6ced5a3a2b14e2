"""The last step of an evaluation: commits a finished shard of pictures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from actors.pictures import PictureShard, PictureState
from actors.shard import RowState
from actors.shard_writer import ShardWriter, image_struct, stage_figures
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.schema.pictures import PICTURES, picture_row


class WritePictures(ShardWriter[PictureShard]):
    def __init__(self, config: EvaluationConfig, output: str) -> None:
        super().__init__(config, output, PICTURES)

    def images(self, shard: PictureShard, state: RowState) -> dict[str, Any]:
        assert isinstance(state, PictureState)  # a shard has no other rows
        return {"image": image_struct(state.image)}

    def planned(self, shard: PictureShard, state: RowState) -> dict[str, Any]:
        assert isinstance(state, PictureState)  # as above
        return picture_row(state.picture)

    def count(self, shard: PictureShard, num_bytes: int) -> ShardCounts:
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
            stages=stage_figures(states, self.config),
            num_bytes=num_bytes,
        )
