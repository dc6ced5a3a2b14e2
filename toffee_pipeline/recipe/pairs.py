"""Renders what the filter's encoders learn from: subjects as a plan draws them, with every kind of change."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.nano import world
from toffee_pipeline.nano.renderer import Scene, changed, scene, turned
from toffee_pipeline.nano.world_samples import MIN_VISIBLE_PX
from toffee_pipeline.plan.catalog import Catalog, load_catalog
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

FIRST_SEED = 20_000_000
FIRST_UNSEEN = 30_000_000
"""Subjects from here on are for calibration and measurements."""
SUBJECTS_PER_PART = NUM_HELD_OUT = 100
PICTURES: tuple[str, ...] = ("subject", "view", *CATEGORIES, "same palette", "same shape", "other")
"""What is drawn of each subject: itself, another view of it in another place, the truth of a pair of every category;
and three that are not it, from where it stands: another toy of the class in its palette, its shape in another's palette
and pattern, and another toy of the class."""
NOT_IT = PICTURES.index("same palette")
"""Pictures from here on show another subject."""


@dataclass(frozen=True)
class Picture:
    """A scene and what is on it that a `Scene` does not say.

    addition: one of ADDITIONS; removed: whether the class's part is taken away.
    """

    scene: Scene
    addition: str | None = None
    removed: bool = False

    @cached_property
    def rgb(self) -> np.ndarray:
        """uint8 (64, 64, 3)."""
        return self.scene.render(64).rgb


def draw_pictures(seed: int, catalog: Catalog) -> list[Picture]:
    """One of each of `PICTURES` of the subject of this seed; a pure function of it. Nothing is rendered yet."""
    rng = np.random.default_rng([seed, 4])
    name = str(rng.choice(world.CLASS_NAMES))
    subject = Subject("", name, catalog.subject_prompt(name, rng), seed)
    original = scene(subject)
    other = scene(replace(subject, prompt=catalog.subject_prompt(name, rng), seed=int(rng.integers(2**62)))).subject
    pictures = [Picture(original), Picture(turned(subject, seed))]
    for category in CATEGORIES:
        pair = _draw_pair(subject, original, category, catalog, rng)
        addition = pair.change if category == "addition" else None
        pictures.append(Picture(changed(pair, subject), addition, removed=category == "removal"))
    toy = original.subject
    repainted = replace(other, palette=toy.palette, color_names=toy.color_names, pattern_color=toy.pattern_color)
    for shown in (repainted, world.with_identity_of(toy, other), other):
        pictures.append(Picture(replace(original, subject=shown)))
    return pictures


def _draw_pair(
    subject: Subject, original: Scene, category: Category, catalog: Catalog, rng: np.random.Generator
) -> Pair:
    """A pair of the category whose change is none: not the colour, pattern or place that the subject has already."""
    toy = original.subject
    here = {"background": original.background, "color": toy.color_names[0], "texture": toy.pattern}.get(category)
    choices = [change for change in catalog.choices(subject.class_name, category) if change != here]
    change = choices[int(rng.integers(len(choices)))]
    return Pair("", subject.subject_id, "edit", category, change, prompt="", draft_prompt="", seed=0)


FACTS: dict[str, int] = {
    "class": len(world.CLASS_NAMES),
    "color": len(world.COLORS),
    "second_color": len(world.COLORS),
    "third_color": len(world.COLORS),
    "pattern_color": len(world.COLORS),
    "pattern": len(world.PATTERNS),
    "background": len(world.BACKGROUNDS),
    "style": len(world.STYLES),
    "addition": len(world.ADDITIONS),
    "removed": 2,
}
"""What is known of a picture and how many values it may have: indices into the world's lists, an addition of -1 for
none, and whether the part of its class is missed."""
COLUMN: dict[str, int] = {name: column for column, name in enumerate(FACTS)}


@dataclass
class PairData:
    """Pictures of n subjects; the last `NUM_HELD_OUT` subjects are held out.

    rgb: uint8 (n, 11, 64, 64, 3), in the order of `PICTURES`. facts: int8 (n, 11, 10), in the order of `FACTS`.
    seen: bool (n, 11), whether anything of the change can be seen: a handle on the far side is not missed.
    """

    rgb: np.ndarray
    facts: np.ndarray
    seen: np.ndarray

    @property
    def num_train(self) -> int:
        return len(self.rgb) - NUM_HELD_OUT

    def draw(self, rng: np.random.Generator, num_classes: int, per_class: int) -> np.ndarray:
        """Rows of a training batch, int (num_classes * per_class,): so many subjects of so many classes."""
        classes = rng.choice(len(self._by_class), num_classes, replace=False)
        return np.concatenate([rng.choice(self._by_class[index], per_class, replace=False) for index in classes])

    @cached_property
    def _by_class(self) -> list[np.ndarray]:
        classes = self.facts[: self.num_train, 0, COLUMN["class"]]
        return [np.flatnonzero(classes == index) for index in range(len(world.CLASS_NAMES))]

    def rows(self, start: int, stop: int) -> PairData:
        """The subjects from `start` up to `stop`."""
        return PairData(self.rgb[start:stop], self.facts[start:stop], self.seen[start:stop])


def facts_of(picture: Picture) -> list[int]:
    """Its `FACTS`."""
    shown, toy = picture.scene, picture.scene.subject
    colors = list(world.COLORS)
    return [
        world.CLASS_NAMES.index(toy.class_name),
        *(colors.index(name) for name in toy.color_names),
        world.PATTERNS.index(toy.pattern),
        world.BACKGROUNDS.index(shown.background),
        world.STYLES.index(shown.style),
        world.ADDITIONS.index(picture.addition) if picture.addition else -1,
        int(picture.removed),
    ]


def render_subjects(seeds: range) -> PairData:
    """The pictures of the subjects of these seeds."""
    catalog = load_catalog("nano")
    subjects = [draw_pictures(seed, catalog) for seed in seeds]
    rgb = np.stack([np.stack([picture.rgb for picture in pictures]) for pictures in subjects])
    facts = np.array([[facts_of(picture) for picture in pictures] for pictures in subjects], np.int8)
    seen = (rgb != rgb[:, :1]).any(-1).sum((2, 3)) >= MIN_VISIBLE_PX
    seen[:, 0] = True
    facts[..., COLUMN["removed"]] &= seen
    return PairData(rgb, facts, seen)


def _render_part(folder: Path, part: int) -> None:
    path = folder / f"part-{part:04d}.npz"
    if path.exists():
        return
    first = FIRST_SEED + part * SUBJECTS_PER_PART
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **vars(render_subjects(range(first, first + SUBJECTS_PER_PART))))
    temporary.replace(path)


def render_pairs(work_dir: Path, num_subjects: int, processes: int) -> None:
    """Renders the subjects' pictures below `work_dir`; a second call renders only what is missing."""
    folder = work_dir / "pairs"
    folder.mkdir(parents=True, exist_ok=True)
    parts = -(-num_subjects // SUBJECTS_PER_PART)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, _ in enumerate(pool.imap_unordered(partial(_render_part, folder), range(parts)), 1):
            print(f"pairs {number}/{parts} parts", flush=True)


def load_pairs(work_dir: Path) -> PairData:
    """All parts that were rendered."""
    paths = sorted((work_dir / "pairs").glob("part-????.npz"))
    if not paths:
        raise FileNotFoundError(f"no rendered pairs below {work_dir}: run the 'data' step first")
    parts = [dict(np.load(path)) for path in paths]
    return PairData(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def softened(images: Tensor, rng: np.random.Generator) -> Tensor:
    """(b, 3, 64, 64), a third of it as if a VAE had drawn it: a little soft, a little noisy."""
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.from_numpy(rng.uniform(0, 0.6, len(images)) * (rng.random(len(images)) < 0.33)).to(images)
    share = share[:, None, None, None]
    return images + share * (soft - images) + 0.1 * share * torch.randn_like(images)
