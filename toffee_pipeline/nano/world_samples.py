"""The subjects that nano networks learn from, drawn view by view: what each view shows and how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np

from toffee_pipeline.nano import world

SIZE_PX = 64
FIRST_TRAINING_SEED = 1_000_000
"""Training subjects have the seeds from here on; plans hash theirs into 63 bits, so none of them was seen."""
FIRST_PHOTO_SEED = 10_000_000
FIRST_TOLD_SEED = 30_000_000
NUM_HELD_OUT = 200
"""So many subjects at the end of a training set are never trained on."""
PHOTO_AZIMUTHS = (-1.2, 1.2)
"""Radians from the front."""
MIN_VISIBLE_PX = 20


@dataclass(frozen=True)
class Mix:
    """How often a set's views show and tell what they may, 0..1."""

    additions: float = 0.15
    removals: float = 0.1
    photos: float = 0.4
    """The others have a style that is drawn from all."""
    says_background: float = 0.8
    says_photo: float = 0.6
    says_details: float = 0.6
    says_pattern_color: float = 1.0


TOLD = Mix(additions=0.35, photos=0.6, says_background=0.9, says_photo=1.0, says_details=0.85, says_pattern_color=0.7)
"""Captions as drafts have them, which say all that stays and what changes."""


@dataclass(frozen=True)
class ViewSample:
    """One view of a training subject, rendered when first asked for.

    Attributes:
        subject: the whole subject, without `addition` and not without `removed`.
        addition: one of ADDITIONS, or None.
        removed: the class's entry in REMOVABLE where the view shows the subject without it, or None.
        seed: of the light and the details of the place.
        says_background, says_style, says_details, says_pattern_color: what the caption tells; a removal is told where
            it is seen.
    """

    subject: world.Toy
    addition: str | None
    removed: str | None
    background: str
    style: str
    view: world.View
    seed: int
    says_background: bool
    says_style: bool
    says_details: bool
    says_pattern_color: bool = True

    @cached_property
    def rendering(self) -> world.Rendering:
        """The picture, 64 px, and what is known about it."""
        shown = self.subject
        if self.addition is not None:
            shown = world.with_addition(shown, self.addition)
        if self.removed is not None:
            shown = world.without_part(shown)
        return self._render(shown)

    @cached_property
    def caption(self) -> str:
        """What the picture shows, in the words of `world.caption`; not all of it."""
        return world.caption(
            self.subject,
            self.background if self.says_background else None,
            self.style if self.says_style else None,
            detail=self.says_details,
            pattern_color=self.says_pattern_color,
            addition=self.addition,
            removed=self.removed if self._is_missed() else None,
        )

    def _is_missed(self) -> bool:
        if self.removed is None:
            return False
        whole = self._render(self.subject)  # a handle on the far side is not missed
        return bool(np.any(whole.rgb != self.rendering.rgb, axis=-1).sum() >= MIN_VISIBLE_PX)

    def _render(self, shown: world.Toy) -> world.Rendering:
        return world.render(shown, self.view, self.background, self.style, size_px=SIZE_PX, seed=self.seed)


def draw_views(index: int) -> Iterator[ViewSample]:
    """The views of training subject `index`, from all around it, without end and a pure function of it.

    Nothing is rendered yet.
    """
    return _draw(FIRST_TRAINING_SEED + index, index * 4, (0, 2 * np.pi))


def draw_photo(index: int) -> ViewSample:
    """Another subject's only view, from a side that tells what it is, as one takes a photo; a pure function of `index`.

    Text to image and the networks that look at its pictures learn from these.
    """
    return next(_draw(FIRST_PHOTO_SEED + index, FIRST_PHOTO_SEED + index, PHOTO_AZIMUTHS))


def draw_told_photo(index: int) -> ViewSample:
    """As `draw_photo`, of yet another subject, with a caption that tells all that a draft's prompt tells."""
    return next(_draw(FIRST_TOLD_SEED + index, FIRST_TOLD_SEED + index, PHOTO_AZIMUTHS, TOLD))


def _draw(seed: int, first_view_seed: int, azimuths: tuple[float, float], mix: Mix = Mix()) -> Iterator[ViewSample]:
    rng = np.random.default_rng([7, seed])
    class_name = world.CLASS_NAMES[int(rng.integers(len(world.CLASS_NAMES)))]
    subject = world.make_toy(class_name, seed)
    for number in count():
        addition, removed = None, None
        kind = rng.random()
        if kind < mix.additions:
            addition = str(rng.choice(world.ADDITIONS))
        elif kind < mix.additions + mix.removals:
            removed = world.REMOVABLE[class_name]
        background = str(rng.choice(world.BACKGROUNDS))
        style = "photo" if rng.random() < mix.photos else str(rng.choice(world.STYLES))
        yield ViewSample(
            subject=subject,
            addition=addition,
            removed=removed,
            background=background,
            style=style,
            view=world.View(rng.uniform(*azimuths), rng.uniform(0.06, 0.28), rng.uniform(0.85, 1.1)),
            # four to a subject, as the embedded weights were trained; later views start again far beyond
            seed=first_view_seed + number % 4 + (number // 4 << 40),
            says_background=rng.random() < mix.says_background,
            says_style=style != "photo" or rng.random() < mix.says_photo,
            says_details=rng.random() < mix.says_details,
            says_pattern_color=mix.says_pattern_color == 1 or rng.random() < mix.says_pattern_color,
        )
