"""Small trainings of the nano networks, for tests of the jobs."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from safetensors.torch import load_file

from jobs import generate
from tests.conftest import QUICK
from toffee_pipeline.images import encode_png

SMALL = (
    "data.sources=[{format: world, num_subjects: 232}]",
    "data.files_per_read=1",
    "train.batch_size=4",
    "train.micro_batch_size=2",
    "train.warmup_steps=2",
    "train.checkpoint_every_steps=2",
    "train.max_steps=4",
    "tracking.num_samples=2",
    "tracking.log_every_steps=1",
    "tracking.sample_every_steps=4",
    "sampling.num_inference_steps=2",
)
UNET = "diffusion_pytorch_model.safetensors"
INLINE = "workers.placement=inline"


def words(*overrides):
    """Of the command line."""
    return [word for item in (*SMALL, *overrides) for word in ("--set", item)]


def train(job, output, *overrides):
    """Runs a job inline, in this process."""
    command = ["--output", str(output), *words(INLINE, *overrides)]
    return CliRunner().invoke(job.main, command, catch_exceptions=False)


def write_pairs(output):
    """A run of eight accepted pairs of both kinds, of two of the renderer's subjects with a shard each."""
    settings = (
        *QUICK,
        "placement=inline",
        "subjects.source=renderer",
        "pairs.count=8",
        "pairs.per_subject=4",
        "subjects_per_shard=1",
        "stages.judge.min_dino=-1",
        "stages.judge.max_dino=null",
        "stages.judge.min_clip=-1",
        "stages.judge.min_clip_gain=null",
    )
    command = ["--output", str(output), *(word for item in settings for word in ("--set", item))]
    result = CliRunner().invoke(generate.main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def write_photos(folder, count=32):
    """Photos of noise that are not square; returns the setting that trains on them. Ray reads a thousand rows ahead,
    and a photo is read in a tenth of the time in which the small world is rendered."""
    folder.mkdir()
    for number in range(count):
        rgb = np.random.default_rng(number).integers(0, 256, (80, 96, 3), np.uint8)
        (folder / f"{number:02d}.png").write_bytes(encode_png(rgb))
    return f"data.sources=[{{format: folder, path: {folder}}}]"


def weights(output):
    """Of the network that it wrote."""
    return load_file(Path(output) / "model" / UNET)
