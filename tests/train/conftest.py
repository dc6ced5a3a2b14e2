"""Small nano training configs, and rows that need no data."""

import numpy as np
import pytest

from toffee_pipeline.cli import load_config
from toffee_pipeline.train.config import RefinerTraining

SMALL = (
    "workers.placement=inline",
    "data.sources=[{format: world, num_subjects: 232}]",
    "data.files_per_read=1",
    "train.batch_size=4",
    "train.micro_batch_size=4",
    "train.warmup_steps=2",
    "tracking.num_samples=2",
    "tracking.log_every_steps=1",
    "sampling.num_inference_steps=2",
)


@pytest.fixture
def make_config():
    """`make_config(RefinerTraining, "train.max_steps=3")`: the nano profile, made small."""

    def make(config_class=RefinerTraining, *overrides):
        return load_config("nano", (*SMALL, *overrides), config_class)

    return make


def encoded_rows(count, seed=0):
    """Rows of a nano Refiner as a cache gives them, of random numbers."""
    rng = np.random.default_rng(seed)
    return {
        "target_latents": rng.standard_normal((count, 8, 16, 16)).astype(np.float16),
        "target_tokens": rng.standard_normal((count, 257, 128)).astype(np.float16),
    }
