"""The last stage of pairs and of subjects: commits a finished shard of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from actors.shard import PairState, RowState, Shard, SubjectState, present
from actors.shard_writer import ShardWriter, image_struct, stage_figures
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.refine_pairs import PairDatasetConfig
from toffee_pipeline.images import decode, encode
from toffee_pipeline.pixels import changed_outside
from toffee_pipeline.plan.readable import reason
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.manifests import BankedSubject
from toffee_pipeline.schema.pairs import PAIRS, planned_row
from toffee_pipeline.schema.subjects import SUBJECTS, subject_row


class Write(ShardWriter[Shard]):
    def __init__(self, config: DatasetConfig, output: str) -> None:
        super().__init__(config, output, PAIRS if isinstance(config, PairDatasetConfig) else SUBJECTS)

    def images(self, shard: Shard, state: RowState) -> dict[str, Any]:
        if isinstance(state, PairState):
            return self._images_of_pair(state, shard.subject_of(state))
        assert isinstance(state, SubjectState)  # a shard has no other rows
        return {name: image_struct(getattr(state, name)) for name in SUBJECTS.images}

    def planned(self, shard: Shard, state: RowState) -> dict[str, Any]:
        if isinstance(state, PairState):
            return planned_row(state.pair, shard.subject_of(state).subject)
        assert isinstance(state, SubjectState)  # as above
        return subject_row(state.subject)

    def measured(self, shard: Shard, state: RowState) -> dict[str, Any]:
        subject = shard.subject_of(state) if isinstance(state, PairState) else state
        assert isinstance(subject, SubjectState)  # as above
        return {"subject_phash": str(subject.perceptual_hash) if subject.image else None}

    def seconds(self, shard: Shard, state: RowState) -> Mapping[str, float]:
        """A pair has its share of its subject's."""
        if not isinstance(state, PairState):
            return state.stage_s
        subject = shard.subject_of(state)
        num_pairs = sum(other.pair.subject_id == subject.id for other in shard.pairs)
        return {
            stage: state.stage_s.get(stage, 0.0) + subject.stage_s.get(stage, 0.0) / num_pairs
            for stage in self.table.stages
        }

    def count(self, shard: Shard, num_bytes: int) -> ShardCounts:
        return count(shard, self.config, num_bytes)

    def _images_of_pair(self, state: PairState, subject: SubjectState) -> dict[str, Any]:
        lossless = state.pair.kind == "edit"
        if lossless:
            _check_outside(state)
        return {
            "input_image": self._image(state.input, lossless),
            "target_image": self._image(state.target, lossless),
            "mask": image_struct(state.edit_mask if lossless else subject.mask),
            "depth": image_struct(subject.depth),
            "subject_image": self._image(subject.image, lossless),
            "draft_image": self._image(state.draft, lossless),
        }

    def _image(self, png: bytes | None, lossless: bool) -> dict[str, Any] | None:
        assert isinstance(self.config, PairDatasetConfig)  # it has pairs
        output = self.config.output
        if png is None or lossless or output.image_format == "png":
            return image_struct(png)
        return image_struct(encode(decode(png), output.image_format, output.quality))

    def banked(self, shard: Shard) -> list[BankedSubject] | None:
        if self.table is not SUBJECTS:
            return None
        return [
            BankedSubject(
                subject_id=state.id,
                class_name=state.subject.class_name,
                prompt=state.subject.prompt,
                seed=state.subject.seed,
                source_path=state.subject.path,
            )
            for state in shard.subjects.values()
            if state.status == "accepted"
        ]


def _check_outside(state: PairState) -> None:
    """Raises RuntimeError where an edit pair differs outside its mask.

    That ends the run, and not the pair alone: by construction these pixels are the input's own, so no sample can cause
    it. Then the code is wrong, and every other pair with it.
    """
    mask = state.bool_edit_mask()
    if state.input is None or state.target is None or mask is None:
        return
    if number := changed_outside(decode(state.input), decode(state.target), mask):
        raise RuntimeError(f"pair {state.id}: input and target differ in {number} pixels outside the editing mask")


def _why_unsafe(error: str) -> str:
    """The stage and the category of what the safety stages say: "screen: sexual"."""
    return ": ".join(error.split(": ")[:2])


def count(shard: Shard, config: DatasetConfig, num_bytes: int) -> ShardCounts:
    """Counts of one shard as they stand in its manifest. num_bytes: of its files."""
    by_kind: dict[str, Counter[str]] = {}
    by_category: dict[str, Counter[str]] = {}
    by_class: dict[str, Counter[str]] = {}
    for pair in shard.pairs:
        for groups, key in ((by_kind, pair.pair.kind), (by_category, pair.pair.category)):
            groups.setdefault(key, Counter()).update(["planned", pair.status])
    rows = shard.rows
    for state in rows:
        subject = shard.subject_of(state) if isinstance(state, PairState) else state
        assert isinstance(subject, SubjectState)  # a shard has no other rows
        numbers = by_class.setdefault(subject.subject.class_name, Counter())
        numbers.update(["planned", state.status, *([state.reason] if state.reason else [])])
    return ShardCounts(
        planned=len(rows),
        accepted=sum(state.status == "accepted" for state in rows),
        rejected=Counter(state.reason for state in rows if state.reason and state.status == "rejected"),
        failed=sum(state.status == "failed" for state in rows),
        errors=Counter(state.error for state in rows if state.error and state.status == "failed"),
        unsafe=Counter(_why_unsafe(present(state.error)) for state in rows if state.reason == "unsafe"),
        unreadable={
            state.subject.path: reason(present(state.error), state.subject.path)
            for state in shard.subjects.values()
            if state.subject.path is not None and state.reason == "unreadable"
        },
        by_kind={key: dict(numbers) for key, numbers in by_kind.items()},
        by_category={key: dict(numbers) for key, numbers in by_category.items()},
        by_class={key: dict(numbers) for key, numbers in by_class.items()},
        stages=stage_figures([*shard.subjects.values(), *shard.pairs], config),
        num_bytes=num_bytes,
    )
