"""Subject masks by Grounded-SAM, and the regions of edits. A pair that cannot do without is rejected here, before it
costs more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.shard import PairState, Shard, SubjectState, present
from actors.stage import Stage
from toffee_pipeline.config.dataset import SubjectDatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.filters import Reason, decide_mask
from toffee_pipeline.images import encode_mask
from toffee_pipeline.schema.subjects import Subject


def seen(state: SubjectState) -> tuple[np.ndarray, Subject]:
    """A subject's picture, and what to look for in it."""
    return state.rgb(), state.subject


class MaskStage(Stage):
    """What all that look for subjects share."""

    name = "segment"
    roles = ("mask",)
    config: SubjectDatasetConfig | RefinementConfig

    def find_subjects(self, shard: Shard) -> None:
        """Masks of the subjects that have none, and what these mean for an edit."""

        def encode(mask: np.ndarray | None) -> tuple[bytes | None, Reason | None]:
            fraction = None if mask is None else float(mask.mean())
            return None if mask is None else encode_mask(mask), decide_mask(fraction, self.config.stages.segment)

        def store(state: SubjectState, found: tuple[bytes | None, Reason | None]) -> None:
            state.mask, state.mask_reason = found

        missing = [state for state in shard.open_subjects() if state.mask is None]
        self.run(missing, self.segment, store, seen, encode)

    def segment(self, batch: list[tuple[np.ndarray, Subject]]) -> Sequence[np.ndarray | None]:
        images, subjects = zip(*batch, strict=True)
        return self.models.mask.segment(images, subjects)


class Segment(MaskStage):
    config: RunConfig

    def process(self, shard: Shard) -> None:
        self.find_subjects(shard)
        shard.spread_failures()
        for pair in shard.open_pairs():
            reason = shard.subject_of(pair).mask_reason
            needed = pair.pair.kind == "edit" or (self.config.stages.refine.region == "subject" and reason == "no_mask")
            if reason is not None and needed:
                pair.reject(reason)
        self._find_regions(shard)

    def _find_regions(self, shard: Shard) -> None:
        """The editing masks: by region from the subject's mask; of what is removed, the part itself."""
        from toffee_pipeline.models.blended import dilate, editing_mask

        settings = self.config.stages.edit
        pairs = shard.pairs_to_paint("edit")
        parts = [state for state in pairs if state.pair.category == "removal"]
        for state in pairs:
            if state.pair.category != "removal":
                mask = present(shard.subject_of(state).bool_mask())
                state.edit_mask = encode_mask(editing_mask(mask, state.pair.region, settings))

        def read(state: PairState) -> tuple[np.ndarray, Subject, str]:
            return *seen(shard.subject_of(state)), state.pair.change

        def find(batch: list[tuple[np.ndarray, Subject, str]]) -> Sequence[np.ndarray | None]:
            images, subjects, changes = zip(*batch, strict=True)
            return self.models.mask.segment_parts(images, subjects, changes)

        def store(state: PairState, part: np.ndarray | None) -> None:
            subject = present(shard.subject_of(state).bool_mask())
            if part is None or not is_part(part, subject):
                state.reject("no_part")
            else:
                state.edit_mask = encode_mask(dilate(part & subject, settings.dilation_fraction))

        self.run(parts, find, store, read)


def is_part(part: np.ndarray, subject: np.ndarray) -> bool:
    """Whether a mask (bool, as the subject's) lies mostly on the subject and is less than half of it: a detector that
    does not know a part's name likes to find the whole."""
    inside = int((part & subject).sum())
    return 2 * inside > int(part.sum()) and 2 * inside < int(subject.sum())
