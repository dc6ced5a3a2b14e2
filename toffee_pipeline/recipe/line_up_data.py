"""Line-ups of renders: the truth among other subjects with its change, and among its subject with other changes.

The toys are none that a network of the package or a plan has seen.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.nano import world
from toffee_pipeline.nano.renderer import Scene, changes, with_change

FIRST_SEED = 20_000_000
"""Beyond the seeds of all training sets."""
NUM_OTHER_TOYS, NUM_OTHER_CHANGES = 2, 2
NUM_PARTS, LINE_UPS_PER_PART = 32, 25
MIN_VISIBLE_PX = 20
"""A picture that differs from the truth in fewer pixels is not to be told from it, such as a handle on the far side."""


@dataclass(frozen=True)
class LineUps:
    """Of n line-ups, each of m pictures.

    asked: uint8 (n, 64, 64, 3), the truth in another light. shown: uint8 (n, m, 64, 64, 3), the truth first, then its
    subject with other changes or none, then other subjects. differs: bool (n, m), false of the truth and of what cannot
    be told from it. categories: int (n,), indices into CATEGORIES.
    """

    asked: np.ndarray
    shown: np.ndarray
    differs: np.ndarray
    categories: np.ndarray


def draw_line_up(index: int) -> tuple[Scene, list[Scene], int]:
    """What is asked for, the scenes that are shown, and the category of the change; a pure function of `index`."""
    rng = np.random.default_rng([8, index])
    class_name, number = str(rng.choice(world.CLASS_NAMES)), index * (1 + NUM_OTHER_TOYS)
    toy, *others = (world.make_toy(class_name, FIRST_SEED + number + offset) for offset in range(1 + NUM_OTHER_TOYS))
    category = CATEGORIES[int(rng.integers(len(CATEGORIES)))]
    plain = Scene(
        subject=toy,
        view=world.View(rng.uniform(-1.1, 1.1), rng.uniform(0.08, 0.28)),
        background=str(rng.choice(world.BACKGROUNDS)),
        style="photo",
        seed=int(rng.integers(2**31)),
    )
    words = [str(word) for word in rng.permutation(changes(category, class_name))]
    shown = [with_change(plain, category, word) for word in words[: 1 + NUM_OTHER_CHANGES]]
    if rng.random() < 0.5:
        shown = shown[:NUM_OTHER_CHANGES]
    shown += [plain] * (1 + NUM_OTHER_CHANGES - len(shown))  # a class has one part to remove
    shown += [with_change(replace(plain, subject=other), category, words[0]) for other in others]
    return replace(shown[0], seed=int(rng.integers(2**31))), shown, CATEGORIES.index(category)


def _render_part(folder: Path, part: int) -> None:
    """Renders one part to `part-NNNN.npz`; a part that is already there is left alone."""
    path = folder / f"part-{part:04d}.npz"
    if path.exists():
        return
    drawn = [draw_line_up(index) for index in range(part * LINE_UPS_PER_PART, (part + 1) * LINE_UPS_PER_PART)]
    shown = np.stack([[scene.render(64).rgb for scene in scenes] for _, scenes, _ in drawn])
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        asked=np.stack([asked.render(64).rgb for asked, _, _ in drawn]),
        shown=shown,
        differs=(shown != shown[:, :1]).any(-1).sum((-2, -1)) >= MIN_VISIBLE_PX,
        categories=np.array([category for _, _, category in drawn]),
    )
    temporary.replace(path)


def load_line_ups(work_dir: Path, processes: int = 2) -> LineUps:
    """All line-ups; what is missing below `work_dir` is rendered."""
    folder = work_dir / "line_ups"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{part:04d}.npz" for part in range(NUM_PARTS)]
    if not all(path.exists() for path in paths):
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.map(partial(_render_part, folder), range(NUM_PARTS), chunksize=1)
    parts = [np.load(path) for path in paths]
    return LineUps(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0].files})
