"""Renders the training set of the nano networks: subjects of the small world, each from several views."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from toffee_pipeline.nano import world

SIZE_PX = 64
VIEWS_PER_SUBJECT = 4
SUBJECTS_PER_PART = 250
FIRST_TRAINING_SEED = 1_000_000
"""Training subjects have the seeds from here on; plans hash theirs into 63 bits, so none of them was seen."""
NUM_HELD_OUT = 200
MIN_VISIBLE_PX = 20


@dataclass
class WorldData:
    """Renders of `n` subjects from `VIEWS_PER_SUBJECT` views each; the last `NUM_HELD_OUT` subjects are held out.

    rgb: uint8 (n, v, 64, 64, 3). coordinates: float16 (n, v, 256, 3), canonical surface point at the centre of
    each 4 px patch, NaN off the subject. classes: int (n,). captions: n lists of v strings.
    """

    rgb: np.ndarray
    coordinates: np.ndarray
    classes: np.ndarray
    captions: list[list[str]]

    @property
    def num_train(self) -> int:
        return len(self.rgb) - NUM_HELD_OUT


def to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """uint8 (n, H, W, 3) to float32 (n, 3, H, W) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float() / 127.5 - 1


def random_caption(
    subject: world.Subject,
    background: str,
    style: str,
    addition: str | None,
    removed: str | None,
    rng: np.random.Generator,
) -> str:
    """One of the ways to say what a render shows: details, style and background each may stay unsaid."""
    return world.caption(
        subject,
        background if rng.random() < 0.8 else None,
        style if style != "photo" or rng.random() < 0.6 else None,
        detail=bool(rng.random() < 0.6),
        addition=addition,
        removed=removed,
    )


def _render_part(job: tuple[Path, int]) -> None:
    """Renders one part to `part-NNNN.npz`; a part that is already there is left alone."""
    folder, part = job
    path = folder / f"part-{part:04d}.npz"
    if path.exists():
        return
    rgb, coordinates, classes = [], [], []
    captions: list[list[str]] = []
    for index in range(part * SUBJECTS_PER_PART, (part + 1) * SUBJECTS_PER_PART):
        seed = FIRST_TRAINING_SEED + index
        rng = np.random.default_rng([7, seed])
        class_index = int(rng.integers(len(world.CLASS_NAMES)))
        class_name = world.CLASS_NAMES[class_index]
        subject = world.make_subject(class_name, seed)
        classes.append(class_index)
        captions.append([])
        for view_index in range(VIEWS_PER_SUBJECT):
            shown, addition, removed = subject, None, None
            kind = rng.random()
            if kind < 0.15:
                addition = str(rng.choice(world.ADDITIONS))
                shown = world.with_addition(subject, addition)
            elif kind < 0.25:
                removed = world.REMOVABLE[class_name]
                shown = world.without_part(subject)
            background = str(rng.choice(world.BACKGROUNDS))
            style = "photo" if rng.random() < 0.4 else str(rng.choice(world.STYLES))
            view = world.View(rng.uniform(0, 2 * np.pi), rng.uniform(0.06, 0.28), rng.uniform(0.85, 1.1))
            light = index * VIEWS_PER_SUBJECT + view_index
            image = world.render(shown, view, background, style, size_px=SIZE_PX, seed=light)
            if removed:  # a handle on the far side is not missed
                complete = world.render(subject, view, background, style, size_px=SIZE_PX, seed=light)
                if np.any(complete.rgb != image.rgb, axis=-1).sum() < MIN_VISIBLE_PX:
                    removed = None
            rgb.append(image.rgb)
            coordinates.append(image.coordinates[2::4, 2::4].reshape(-1, 3).astype(np.float16))
            captions[-1].append(random_caption(subject, background, style, addition, removed, rng))
    shape = (SUBJECTS_PER_PART, VIEWS_PER_SUBJECT)
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        rgb=np.stack(rgb).reshape(*shape, SIZE_PX, SIZE_PX, 3),
        coordinates=np.stack(coordinates).reshape(*shape, -1, 3),
        classes=np.array(classes),
        captions=np.array(json.dumps(captions)),
    )
    temporary.replace(path)


def render_data(work_dir: Path, num_subjects: int, processes: int) -> None:
    """Renders `num_subjects` subjects below `work_dir/world`; a second call renders only what is missing."""
    folder = work_dir / "world"
    folder.mkdir(parents=True, exist_ok=True)
    parts = -(-num_subjects // SUBJECTS_PER_PART)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, _ in enumerate(pool.imap_unordered(_render_part, [(folder, part) for part in range(parts)]), 1):
            print(f"data {number}/{parts} parts", flush=True)


def load_data(work_dir: Path) -> WorldData:
    """All parts that `render_data` wrote."""
    paths = sorted((work_dir / "world").glob("part-????.npz"))
    if not paths:
        raise FileNotFoundError(f"no rendered data below {work_dir}: run the 'data' step first")
    parts = [np.load(path) for path in paths]
    return WorldData(
        rgb=np.concatenate([part["rgb"] for part in parts]),
        coordinates=np.concatenate([part["coordinates"] for part in parts]),
        classes=np.concatenate([part["classes"] for part in parts]),
        captions=[views for part in parts for views in json.loads(str(part["captions"]))],
    )
