"""What of a training lies in its run directory, told without torch: the driver loads none."""

from __future__ import annotations

from toffee_pipeline.rundir.layout import CHECKPOINT, CHECKPOINTS
from toffee_pipeline.rundir.run_file import Number, Part, RunFile
from toffee_pipeline.storage import Storage


class BrokenSamples(Part):
    """What was left out. times: how often, over all epochs; first: which samples and why, the first of them; too_small:
    how often one with a small image, which is not broken."""

    times: Number = 0
    first: tuple[str, ...] = ()
    too_small: Number = 0


class TrainingSummary(RunFile):
    """summary.json of a training, written when all else is. figures: of the last step."""

    steps: Number
    samples_seen: Number
    figures: dict[str, float]
    broken: BrokenSamples = BrokenSamples()


def steps_saved(storage: Storage) -> list[int]:
    """Steps of all complete checkpoints, ascending."""
    names = (CHECKPOINT.fullmatch(key) for key, _ in storage.list(CHECKPOINTS))
    return sorted(int(name[1]) for name in names if name)
