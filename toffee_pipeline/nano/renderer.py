"""Stand-ins for the networks that are not trained yet: the small world's renderer, which knows the truth.

Each has the method of the role that it stands in for, and is called a renderer wherever a run describes itself. A scene
is a pure function of a planned subject, so that image, mask and depth agree without passing anything on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from toffee_pipeline.config.base import Category
from toffee_pipeline.errors import SampleError
from toffee_pipeline.nano import world
from toffee_pipeline.nano.world.palette import MAIN, jittered
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

MAX_AZIMUTH = 1.0
ELEVATION = (0.10, 0.26)
TURN = (0.4, 1.2)
PATTERN_COLOR = 3
"""Index of the pattern's colour in `color_names`, after the three palette slots."""
_ANY_COLOR, _ANY_PATTERN = "|".join(world.COLORS), "|".join(world.PATTERNS)


@dataclass(frozen=True)
class Scene:
    """Everything that a rendering needs. seed: of the light and the details of the place."""

    subject: world.Toy
    view: world.View
    background: str
    style: str
    seed: int

    def render(self, size_px: int) -> world.Rendering:
        return world.render(self.subject, self.view, self.background, self.style, size_px, self.seed)


def scene(subject: Subject) -> Scene:
    """The photo of a subject from a side that tells what it is: what its prompt says, and the rest from its seed.

    Raises SampleError for a class that the small world does not have.
    """
    if subject.class_name not in world.CLASS_NAMES:
        raise SampleError(f"the renderer has no class {subject.class_name!r}, only {', '.join(world.CLASS_NAMES)}")
    rng = np.random.default_rng([subject.seed, 1])
    toy = world.make_toy(subject.class_name, subject.seed)
    place = str(rng.choice(world.BACKGROUNDS))
    return Scene(
        subject=_as_told(toy, subject.prompt, rng),
        view=world.View(rng.uniform(-MAX_AZIMUTH, MAX_AZIMUTH), rng.uniform(*ELEVATION)),
        background=next((told for told in world.BACKGROUNDS if subject.prompt.endswith(told)), place),
        style="photo",
        seed=int(rng.integers(2**31)),
    )


def changed(pair: Pair, subject: Subject) -> Scene:
    """The truth of a pair, its oracle: the subject's own scene with the pair's change, and nothing else.

    `pair.change` is one of `changes`. Raises SampleError for another.
    """
    return with_change(scene(subject), pair.category, pair.change)


def drafted(pair: Pair, subject: Subject) -> Scene:
    """What a depth ControlNet would draw: the subject's layout, another toy's colours and pattern, the pair's change.

    Raises SampleError as `changed` does.
    """
    original = scene(subject)
    draft = replace(original, subject=world.with_identity_of(original.subject, _other(pair, original.subject)))
    return with_change(draft, pair.category, pair.change)


def turned(subject: Subject, seed: int) -> Scene:
    """The same toy, turned by 0.4 to 1.2 rad to either side, in a place drawn from the seed."""
    original, rng = scene(subject), np.random.default_rng([seed, 2])
    turn = rng.uniform(*TURN) * rng.choice([-1, 1])
    return replace(
        original,
        view=world.View(original.view.azimuth + turn, rng.uniform(*ELEVATION)),
        background=str(rng.choice(world.BACKGROUNDS)),
        seed=int(rng.integers(2**31)),
    )


def changes(category: Category, class_name: str) -> tuple[str, ...]:
    """Every change of the category that a toy of the class knows, in the small world's own words."""
    return {
        "background": world.BACKGROUNDS,
        "style": world.STYLES,
        "color": tuple(world.COLORS),
        "texture": world.PATTERNS,
        "addition": world.ADDITIONS,
        "removal": (world.REMOVABLE[class_name],),
    }[category]


def with_change(shown: Scene, category: Category, change: str) -> Scene:
    """The scene with one of `changes`. Raises SampleError for another."""
    toy = shown.subject
    if change not in (allowed := changes(category, toy.class_name)):
        raise SampleError(f"unknown {category} {change!r}, expected one of {allowed}")
    if category == "background":
        return replace(shown, background=change)
    if category == "style":
        return replace(shown, style=change)
    if category == "color":
        return replace(shown, subject=world.recolored(toy, change))
    if category == "texture":
        return replace(shown, subject=world.with_pattern(toy, change))
    if category == "addition":
        return replace(shown, subject=world.with_addition(toy, change))
    return replace(shown, subject=world.without_part(toy))


def _as_told(toy: world.Toy, prompt: str, rng: np.random.Generator) -> world.Toy:
    """The toy in the colours and pattern of its prompt, in the wording of `world.caption`."""
    words = rf"\b({_ANY_COLOR})(?: and ({_ANY_COLOR}) ({_ANY_PATTERN}))? {toy.class_name}\b"
    if (told := re.search(words, prompt)) is None:
        return toy
    color, pattern_color, pattern = told.groups()
    toy = _painted(world.with_pattern(toy, pattern or "plain"), MAIN, color, rng)
    return _painted(toy, PATTERN_COLOR, pattern_color, rng) if pattern_color else toy


def _painted(toy: world.Toy, index: int, color_name: str, rng: np.random.Generator) -> world.Toy:
    """The toy with another colour at this index; it swaps places if the toy has it already."""
    names, colors = list(toy.color_names), [*toy.palette[:PATTERN_COLOR], toy.pattern_color]
    if color_name in names:
        old = names.index(color_name)
        names[index], names[old] = names[old], names[index]
        colors[index], colors[old] = colors[old], colors[index]
    else:
        names[index], colors[index] = color_name, jittered(world.COLORS[color_name], rng)
    palette = (*colors[:PATTERN_COLOR], *toy.palette[PATTERN_COLOR:])
    return replace(toy, palette=palette, color_names=tuple(names), pattern_color=colors[PATTERN_COLOR])


def _other(pair: Pair, subject: world.Toy) -> world.Toy:
    """Another toy of the class, of another main colour."""
    rng = np.random.default_rng([pair.seed, 3])
    while True:
        other = world.make_toy(subject.class_name, int(rng.integers(2**62)))
        if other.color_names[0] != subject.color_names[0]:
            return other


class _Renderer:
    def __init__(self, size_px: int) -> None:
        self.size_px = size_px


class RendererSubject(_Renderer):
    """Stands in for subject synthesis."""

    def create(self, subjects: Sequence[Subject]) -> list[np.ndarray]:
        """uint8 (size_px, size_px, 3) each."""
        return [scene(subject).render(self.size_px).rgb for subject in subjects]


class RendererMask(_Renderer):
    """Stands in for Grounded-SAM."""

    def segment(self, images: Sequence[np.ndarray], subjects: Sequence[Subject]) -> list[np.ndarray]:
        """bool (size_px, size_px) each, the exact mask; `images` are not looked at."""
        return [scene(subject).render(self.size_px).mask for subject in subjects]

    def segment_parts(
        self, images: Sequence[np.ndarray], subjects: Sequence[Subject], phrases: Sequence[str]
    ) -> list[np.ndarray | None]:
        """Where the subject without its removable part looks different; None for a phrase that is not that part."""
        return [
            self._part(subject) if phrase == world.REMOVABLE[subject.class_name] else None
            for subject, phrase in zip(subjects, phrases, strict=True)
        ]

    def _part(self, subject: Subject) -> np.ndarray | None:
        whole = scene(subject)
        without = replace(whole, subject=world.without_part(whole.subject))
        pictures = [each.render(self.size_px) for each in (whole, without)]
        changed = pictures[0].mask & (pictures[0].rgb != pictures[1].rgb).any(-1)
        return changed if changed.any() else None


class RendererDepth(_Renderer):
    """Stands in for the depth estimator."""

    def estimate(self, images: Sequence[np.ndarray], subjects: Sequence[Subject]) -> list[np.ndarray]:
        """float32 (size_px, size_px) in 0..1 each, the exact inverse depth; `images` are not looked at."""
        return [scene(subject).render(self.size_px).inverse_depth for subject in subjects]


class RendererDraft(_Renderer):
    """Stands in for the depth ControlNet."""

    def draft(
        self,
        pairs: Sequence[Pair],
        subjects: Sequence[Subject],
        depths: Sequence[np.ndarray],
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray | None],
    ) -> list[np.ndarray | SampleError]:
        """uint8 (size_px, size_px, 3) each, or in its place a SampleError: a prompt bank has changes that the small
        world does not know. Depths, images and masks are not looked at."""
        return [self._draft(pair, subject) for pair, subject in zip(pairs, subjects, strict=True)]

    def _draft(self, pair: Pair, subject: Subject) -> np.ndarray | SampleError:
        try:
            return drafted(pair, subject).render(self.size_px).rgb
        except SampleError as error:
            return error


class RendererView(_Renderer):
    """Stands in for the View Generator."""

    def generate(self, tokens: Tensor, subjects: Sequence[Subject], seeds: Sequence[int]) -> list[np.ndarray]:
        """uint8 (size_px, size_px, 3) each; `tokens` are not looked at."""
        return [turned(subject, seed).render(self.size_px).rgb for subject, seed in zip(subjects, seeds, strict=True)]
