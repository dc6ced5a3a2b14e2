"""Stages without models for tests of the job around them: pairs of noise, all with the same good scores.

What goes wrong, and how slow it is, comes from the environment:

    STUB_SLEEP_S   seconds per pair
    STUB_FAULTS    words such as "kill=5,black=9": what happens to which pair, see `Paint.compute`
    STUB_MARKS     a folder in which a fault that strikes once leaves a mark
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from actors.shard import PairState, Shard
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import encode_depth, encode_mask, encode_png

SIDE_PX = 64
MASK = encode_mask(np.ones((SIDE_PX, SIDE_PX), np.bool_))
DEPTH = encode_depth(np.full((SIDE_PX, SIDE_PX), 0.5, np.float32))


def picture(seed: int) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8))


def faults() -> dict[str, str]:
    """Pair id -> fault."""
    words = (word.split("=") for word in os.environ.get("STUB_FAULTS", "").split(",") if word)
    return {f"p{int(number):09d}": fault for fault, number in words}


def first_time(fault: str) -> bool:
    try:
        (Path(os.environ["STUB_MARKS"]) / fault).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Paint(Stage):
    """Fills everything that the models' stages fill."""

    name = "score"

    def load(self) -> None:
        if "start" in faults().values() and first_time("start"):
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    def process(self, shard: Shard) -> None:
        for subject in shard.open_subjects():
            subject.image, subject.mask, subject.depth = picture(subject.subject.seed), MASK, DEPTH

        def store(state: PairState, image: bytes) -> None:
            state.input = state.draft = state.target = image
            state.edit_mask = MASK if state.pair.kind == "edit" else None
            state.scores = {"dino": 0.9, "clip": 0.9}

        self.run(shard.open_pairs(), self.compute, store)

    def compute(self, batch: list[PairState]) -> list[bytes | SampleError]:
        planned = faults()
        here = [planned.get(state.id) for state in batch]
        if "poison" in here or ("kill" in here and first_time("kill")):
            os.kill(os.getpid(), signal.SIGKILL)
        if "cuda" in here and first_time("cuda"):
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA")
        if "hang" in here and first_time("hang"):
            time.sleep(3600)
        if "memory" in here or ("memory" in planned.values() and len(batch) > 2):
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(float(os.environ.get("STUB_SLEEP_S", "0")) * len(batch))
        black = SampleError("the model's image is all black")
        return [
            black if fault == "black" else picture(state.pair.seed) for state, fault in zip(batch, here, strict=True)
        ]


STUB_STAGES: StageTable = {stage.name: stage for stage in (Paint, Judge)}
