"""What of a training lies in its run directory, told without torch: the driver loads none."""

from __future__ import annotations

from toffee_pipeline.rundir.layout import CHECKPOINT, CHECKPOINTS
from toffee_pipeline.rundir.run_file import Number, RunFile
from toffee_pipeline.storage import Storage


class TrainingSummary(RunFile):
    """summary.json of a training, written when all else is. figures: of the last step."""

    steps: Number
    samples_seen: Number
    figures: dict[str, float]


def steps_saved(storage: Storage) -> list[int]:
    """Steps of all complete checkpoints, ascending."""
    names = (CHECKPOINT.fullmatch(key) for key, _ in storage.list(CHECKPOINTS))
    return sorted(int(name[1]) for name in names if name)
