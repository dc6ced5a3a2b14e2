"""The real pictures of a benchmark: files, or renderings."""

from __future__ import annotations

import numpy as np

from toffee_pipeline.config.evaluate import BenchmarkConfig
from toffee_pipeline.images import encode_png, read_encoded
from toffee_pipeline.nano.renderer import scene, turned
from toffee_pipeline.nano.world_samples import SIZE_PX
from toffee_pipeline.plan.benchmark import BenchmarkSubject
from toffee_pipeline.plan.benchmarks import folder_of
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.schema.subjects import Subject


def real_picture(config: BenchmarkConfig, subject: BenchmarkSubject, number: int) -> bytes:
    """A file's bytes. Raises ImageError where it cannot be read, or is none of an image."""
    if config.path is None:
        return encode_png(render_view(subject, number))
    return read_encoded(folder_of(config.name, config.path) / subject.images[number].name)


def render_view(subject: BenchmarkSubject, number: int) -> np.ndarray:
    """Of a rendered subject, uint8 (64, 64, 3): number 0 is the photo that its description tells, the others are turned
    and elsewhere."""
    planned = Subject(subject.subject_id, subject.class_name, subject.description, subject.seed)
    shown = scene(planned) if number == 0 else turned(planned, seed_for(str(subject.seed), f"view {number}"))
    return shown.render(SIZE_PX).rgb
