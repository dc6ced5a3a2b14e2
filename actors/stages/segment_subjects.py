"""Masks of the subjects of a bank. One that cannot carry an edit rejects its subject, before it costs more."""

from __future__ import annotations

from actors.shard import Shard
from actors.stages.segment import MaskStage


class SegmentSubjects(MaskStage):
    def process(self, shard: Shard) -> None:
        self.find_subjects(shard)
        for state in shard.open_subjects():
            if state.mask_reason is not None:
                state.reject(state.mask_reason)
