"""What the probe learns from: renders of toys that no network of the package has seen, with every change of a pair."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from toffee_pipeline.nano import world

FIRST_PROBE_SEED = 20_000_000
"""Beyond the seeds of all training sets."""
NUM_TOYS, NUM_LIGHTS = 3, 2
NUM_PARTS, GROUPS_PER_PART = 48, 25
UNKNOWN = -100
"""Label of what cannot be seen; cross-entropy leaves it out."""
MIN_VISIBLE_PX = 5
"""Of a view of 32 px: a part that changes fewer of them is not missed."""
HEADS: dict[str, tuple[str, ...]] = {
    "class": world.CLASS_NAMES,
    "background": world.BACKGROUNDS,
    "style": world.STYLES,
    "color": tuple(world.COLORS),
    "texture": world.PATTERNS,
    "addition": ("nothing", *world.ADDITIONS),
    "removal": ("there", "gone"),
}
"""What the probe names of a picture, and its answers: the place, the style, the main colour, the pattern, the added
thing, and whether the class's part of REMOVABLE is there."""


@dataclass(frozen=True)
class ProbeData:
    """Groups of toys of one class, alike in all but their identity: view, place, style and change.

    rgb: uint8 (groups, NUM_TOYS, NUM_LIGHTS, 64, 64, 3). labels: head -> int64 (groups, NUM_TOYS, NUM_LIGHTS).
    """

    rgb: np.ndarray
    labels: dict[str, np.ndarray]


def draw_group(index: int) -> tuple[np.ndarray, np.ndarray]:
    """rgb (NUM_TOYS, NUM_LIGHTS, 64, 64, 3) and labels (NUM_TOYS, NUM_LIGHTS, heads) of a group; pure."""
    rng = np.random.default_rng([8, index])
    class_name = str(rng.choice(world.CLASS_NAMES))
    view = world.View(rng.uniform(-1.1, 1.1), rng.uniform(0.08, 0.28))
    background = str(rng.choice(world.BACKGROUNDS))
    style = "photo" if rng.random() < 0.6 else str(rng.choice(world.STYLES))
    addition = str(rng.choice(world.ADDITIONS)) if rng.random() < 0.4 else None
    gone = addition is None and rng.random() < 0.5
    paint, color, pattern = rng.random(), str(rng.choice(list(world.COLORS))), str(rng.choice(world.PATTERNS))
    pictures, labels = [], []
    for number in range(NUM_TOYS):
        toy = world.make_toy(class_name, FIRST_PROBE_SEED + index * NUM_TOYS + number)
        if paint < 0.25:
            toy = world.recolored(toy, color)
        elif paint < 0.5:
            toy = world.with_pattern(toy, pattern)
        shown = world.with_addition(toy, addition) if addition else world.without_part(toy) if gone else toy
        answers = {
            "class": class_name,
            "background": background,
            "style": style,
            "color": toy.color_names[0],
            "texture": toy.pattern,
            "addition": addition or "nothing",
            "removal": "gone" if gone else "there",
        }
        row = [HEADS[head].index(answers[head]) for head in HEADS]
        if not _shows_part(toy, view):
            row[-1] = UNKNOWN
        seeds = rng.integers(2**31, size=NUM_LIGHTS)
        pictures.append([world.render(shown, view, background, style, seed=int(seed)).rgb for seed in seeds])
        labels.append([row] * NUM_LIGHTS)
    return np.array(pictures), np.array(labels, np.int64)


def _shows_part(toy: world.Toy, view: world.View) -> bool:
    """Whether the part that can be removed is to be seen from this side."""
    whole, without = (
        world.render(shown, view, "in outer space", size_px=32, supersample=1).rgb
        for shown in (toy, world.without_part(toy))
    )
    return bool((whole != without).any(-1).sum() >= MIN_VISIBLE_PX)


def _render_part(folder: Path, part: int) -> None:
    """Renders one part to `part-NNNN.npz`; a part that is already there is left alone."""
    path = folder / f"part-{part:04d}.npz"
    if path.exists():
        return
    groups = [draw_group(index) for index in range(part * GROUPS_PER_PART, (part + 1) * GROUPS_PER_PART)]
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, rgb=np.stack([rgb for rgb, _ in groups]), labels=np.stack([labels for _, labels in groups]))
    temporary.replace(path)


def load_probe_data(work_dir: Path, processes: int = 2) -> ProbeData:
    """All groups; what is missing below `work_dir` is rendered."""
    folder = work_dir / "probe_renders"
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(partial(_render_part, folder), range(NUM_PARTS), chunksize=1)
    loaded = [np.load(folder / f"part-{part:04d}.npz") for part in range(NUM_PARTS)]
    labels = np.concatenate([part["labels"] for part in loaded])
    return ProbeData(
        rgb=np.concatenate([part["rgb"] for part in loaded]),
        labels={head: labels[..., place] for place, head in enumerate(HEADS)},
    )
