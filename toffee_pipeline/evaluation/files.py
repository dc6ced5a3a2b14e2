"""The pictures of an evaluation that another model drew."""

from __future__ import annotations

import os
from pathlib import Path

from toffee_pipeline.errors import ConfigError, ImageError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.plan.names import few


def find_picture(folder: Path, name: str) -> Path:
    """The file of this name, such as "dog6/7_2", with any suffix of an image. Raises ImageError where there is none, or
    more than one."""
    found = [path for suffix in sorted(SUFFIXES) if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "no such file"
        raise ImageError(f"{folder / name}.*: {names}; allowed is one of {', '.join(sorted(SUFFIXES))}")
    return found[0]


def require_pictures(plan: EvaluationPlan) -> str:
    """A line about how many drawn pictures are there, of a plan with a folder of them. Raises ConfigError where none
    is."""
    assert plan.drawn is not None
    there = {os.path.splitext(image.path)[0] for image in plan.drawn.images}
    names = [picture.source for picture in plan.drawn_pictures()]
    missing = [name for name in names if name not in there]
    if len(missing) == len(names):
        raise ConfigError(
            f"images={plan.config.images}: not one of {len(names)} pictures is there, such as {names[0]}.png"
        )
    rest = f"; {len(missing)} are missing and will count as failed: {few(missing)}" if missing else ""
    return f"images: {len(names) - len(missing)} of {len(names)} pictures are there{rest}"
