"""Small nano trainings for tests."""

import numpy as np

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.train.data.examples import Reader
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.data.task_examples import NEEDED, columns_of, examples_of

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


def make_config(config_class=RefinerTraining, *overrides):
    """The nano profile of a job, made small."""
    return load_config("nano", (*SMALL, *overrides), config_class)


def make_reader(config):
    """What a job's workers would read, without a cache."""
    sources = tuple(make_source(source) for source in config.data.sources)
    files = tuple((index, file) for index, source in enumerate(sources) for file in source.files())
    examples, columns = examples_of(config), columns_of(config, None)
    per_read, needed = config.data.files_per_read, NEEDED[type(config)]
    least = config.data.min_side_px
    return Reader(sources, files, per_read, examples, columns, config.size_px, config.seed, needed, least)


def encoded_rows(count, seed=0):
    """Rows of a nano Refiner as a cache gives them, of random numbers."""
    rng = np.random.default_rng(seed)
    return {
        "target_latents": rng.standard_normal((count, 8, 16, 16)).astype(np.float16),
        "target_tokens": rng.standard_normal((count, 257, 128)).astype(np.float16),
        "target_side_px": np.full(count, 64, np.int32),
    }
