"""What the roles with more than one implementation promise. Every method computes its whole list as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from toffee_pipeline.config.speed import SpeedConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

if TYPE_CHECKING:  # stand-ins need no torch
    from torch import Tensor

Images = Sequence[np.ndarray]
"""uint8 (size_px, size_px, 3) in RGB, each."""
Results = Sequence[np.ndarray | SampleError]
"""As `Images`; a sample that fails on its own has a SampleError in its place."""


class SubjectModel(Protocol):
    """Subject images from planned subjects."""

    def create(self, subjects: Sequence[Subject]) -> Results: ...


class MaskModel(Protocol):
    """Masks, bool (size_px, size_px); None where nothing is found."""

    def segment(self, images: Images, subjects: Sequence[Subject]) -> Sequence[np.ndarray | None]:
        """Of the subjects."""

    def segment_parts(
        self, images: Images, subjects: Sequence[Subject], phrases: Sequence[str]
    ) -> Sequence[np.ndarray | None]:
        """Of what the phrases name in each subject: "a handle"."""


class DepthModel(Protocol):
    """Inverse depth of the subject image: float32 (size_px, size_px) in 0..1, 1 = nearest."""

    def estimate(self, images: Images, subjects: Sequence[Subject]) -> Results: ...


class DraftModel(Protocol):
    """Drafts: the pair's draft prompt on the layout that its subject's inverse depth gives, of an edit pair inside the
    mask of its subject's image. Element i is of pairs[i]."""

    def draft(
        self,
        pairs: Sequence[Pair],
        subjects: Sequence[Subject],
        depths: Sequence[np.ndarray],
        images: Images,
        masks: Sequence[np.ndarray | None],
    ) -> Results: ...


class ViewModel(Protocol):
    """Other views of the subjects whose DINO tokens (b, 1 + n, c) are given."""

    def generate(self, tokens: Tensor, subjects: Sequence[Subject], seeds: Sequence[int]) -> Results: ...


@runtime_checkable
class Compilable(Protocol):
    """A model whose networks are compiled where `speed` says so."""

    speed: SpeedConfig

    def warm_up(self, batch_size: int, size_px: int) -> None:
        """Compiles all that a micro-batch of this size, of pictures of this side, will need: computes one of nothing in
        particular, in few steps."""
