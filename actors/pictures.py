"""A shard of an evaluation on its way through the stages: whole subjects with all their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from actors.shard import RowShard, RowState, present
from toffee_pipeline.filters import Reason
from toffee_pipeline.images import central_square, decode, decode_mask
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.schema.pictures import Picture
from toffee_pipeline.schema.subjects import Subject


@dataclass
class PictureState(RowState):
    """One planned picture. image: a file's bytes. mask: the subject's, in the central square, as PNG bytes; None where
    it was not found."""

    picture: Picture
    image: bytes | None = None
    mask: bytes | None = None

    @property
    def id(self) -> str:
        return self.picture.picture_id

    def fail(self, message: str, reason: Reason | None = None) -> None:
        """Failed; an evaluation rejects nothing."""
        super().fail(message)

    @property
    def drawn(self) -> bool:
        return self.picture.kind == "drawn"

    def rgb(self) -> np.ndarray:
        """uint8 (s, s, 3): the central square, so that no encoder squashes a picture."""
        return central_square(decode(present(self.image), self.id))

    def bool_mask(self) -> np.ndarray | None:
        """bool (s, s)."""
        return None if self.mask is None else decode_mask(self.mask)

    def subject(self) -> Subject:
        """What Grounded-SAM looks for."""
        return Subject(self.picture.subject_id, self.picture.class_name, "", 0)


@dataclass
class PictureShard(RowShard):
    """The unit of work and of commit of an evaluation."""

    index: int
    pictures: list[PictureState]

    @classmethod
    def from_plan(cls, plan: EvaluationPlan, index: int) -> PictureShard:
        return cls(index, [PictureState(picture) for picture in plan.pictures(index)])

    @property
    def rows(self) -> Sequence[RowState]:
        return self.pictures

    def open_pictures(self) -> list[PictureState]:
        """Those that have not failed."""
        return [state for state in self.pictures if state.status == "ok"]

    def open_subjects(self) -> Iterator[tuple[list[PictureState], list[PictureState]]]:
        """The open pictures of each subject that has some: the real ones, the input image first, and the drawn ones."""
        for states in self._by_subject():
            left = [state for state in states if state.status == "ok"]
            if left:
                yield [state for state in left if not state.drawn], [state for state in left if state.drawn]

    def spread_failures(self) -> None:
        """Without its input image a subject has nothing to be compared with."""
        for first, *others in self._by_subject():  # a plan begins a subject with its input image
            for state in others:
                if first.status == "failed" and state.status == "ok":
                    state.fail(f"no input image: {first.error}")

    def _by_subject(self) -> Iterator[list[PictureState]]:
        for _, group in groupby(self.pictures, key=lambda state: state.picture.subject_id):
            yield list(group)
