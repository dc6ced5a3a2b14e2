"""Small benchmarks in the layouts of the public ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toffee_pipeline.images import encode
from toffee_pipeline.plan.dreambench_prompts import ACCESSORIES, OBJECT_PLACES, PROPERTIES, SHARED_PLACES


def _lines(places: tuple[str, ...]) -> str:
    prompts = [f"a {{0}} {{1}} {place}" for place in places] + [f"a {word} {{0}} {{1}}" for word in PROPERTIES]
    return "prompt_list = [\n" + ",\n".join(f"'{text}'.format(unique_token, class_token)" for text in prompts) + "\n]\n"


PROMPTS = (
    f"Prompts\n\nObject Prompts\n\n{_lines((*SHARED_PLACES, *OBJECT_PLACES))}"
    f"\nLive Subject Prompts\n\n{_lines((*SHARED_PLACES, *ACCESSORIES))}"
)
"""As DreamBench's file has them."""


def photo(seed: int, size_px: int = 64) -> np.ndarray:
    """Colourful blocks, uint8 (size_px, size_px, 3)."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return blocks.repeat(size_px // 4, 0).repeat(size_px // 4, 1)


def write_dreambench(root: Path, classes: Mapping[str, str], num_images: int = 3) -> Path:
    """In `root`, with pictures of their own for each subject."""
    dataset = root / "dataset"
    for number, name in enumerate(classes):
        (dataset / name).mkdir(parents=True)
        for image in range(num_images):
            (dataset / name / f"{image:02d}.jpg").write_bytes(encode(photo(100 * number + image), "jpeg"))
    rows = "\n".join(f"{name},{class_name}" for name, class_name in classes.items())
    (dataset / "prompts_and_classes.txt").write_text(f"Classes\n\nsubject_name,class\n{rows}\n\n{PROMPTS}")
    return root


def write_dreambench_plus(root: Path) -> Path:
    """In `root`, two subjects."""
    for place, name in (("live_subject/animal/00", "Kitten"), ("object/03", "Blue vase")):
        image, caption = root / f"images/{place}.jpg", root / f"captions/{place}.txt"
        for path in (image, caption):
            path.parent.mkdir(parents=True)
        image.write_bytes(encode(photo(len(name)), "jpeg"))
        caption.write_text("\n".join([name, *(f"{name} number {prompt}" for prompt in range(9))]))
    return root
