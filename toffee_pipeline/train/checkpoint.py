"""Checkpoints in the run directory: safetensors first, one JSON last. No JSON, no checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from toffee_pipeline.errors import DamagedFile, StorageError
from toffee_pipeline.rundir.layout import CHECKPOINT_FILE, CHECKPOINTS, checkpoint_key
from toffee_pipeline.rundir.run_file import Number, RunFile, read, write
from toffee_pipeline.storage import Storage
from toffee_pipeline.train.data.stream import Position
from toffee_pipeline.train.saved import BrokenSamples, steps_saved

PARTS = ("network", "average", "optimizer")
NONE_BROKEN = BrokenSamples()


class CheckpointFacts(RunFile):
    """What of a checkpoint is no tensor. positions: of the data, by worker; figures: of the last step; param_groups: of
    the optimizer, as torch keeps them; broken: so far, of all workers."""

    step: Number
    positions: tuple[Position, ...]
    figures: dict[str, float]
    param_groups: list[dict[str, Any]]
    broken: BrokenSamples = BrokenSamples()


def save_checkpoint(
    storage: Storage,
    step: int,
    state: dict[str, dict[str, Any]],
    positions: list[Position],
    keep: int,
    broken: BrokenSamples = NONE_BROKEN,
) -> None:
    """Writes a checkpoint, then deletes earlier ones but the last `keep`, and what incomplete ones left behind.

    Args:
        state: of `Trainer.state`.
        positions: of the data, by worker.

    Raises:
        OSError: the storage failed; earlier checkpoints are untouched.
    """
    moments = {
        f"{parameter}/{key}": value
        for parameter, values in state["optimizer"]["state"].items()
        for key, value in values.items()
    }
    parts = {"network": state["network"], "average": state["average"], "optimizer": moments}
    with tempfile.TemporaryDirectory() as local:
        for part, tensors in parts.items():
            path = Path(local) / f"{part}.safetensors"
            try:
                save_file({key: value.contiguous() for key, value in tensors.items()}, path)
            except SafetensorError as error:  # its words for a full disk
                raise StorageError(f"checkpoint of step {step}: {local}: {error}") from error
            storage.put_file(checkpoint_key(step, part), path)
            path.unlink()
    groups = state["optimizer"]["param_groups"]
    facts = CheckpointFacts(
        step=step, positions=tuple(positions), figures=state["figures"], param_groups=groups, broken=broken
    )
    write(storage, checkpoint_key(step), facts)
    complete = steps_saved(storage)
    found = [name for key, _ in storage.list(f"{CHECKPOINTS}step-") if (name := CHECKPOINT_FILE.fullmatch(key))]
    for name in sorted(found, key=lambda name: not name[0].endswith(".json")):  # an old checkpoint stops counting first
        number = int(name[1])
        # a later one without its JSON may be another try's that is just being written
        if number < complete[-1] and number not in complete[-keep:]:
            storage.delete(name[0])


def broken_before(storage: Storage, step: int) -> BrokenSamples:
    """What the training had left out when it saved this checkpoint."""
    return _facts(storage, step).broken


def _facts(storage: Storage, step: int) -> CheckpointFacts:
    facts = read(storage, key := checkpoint_key(step), CheckpointFacts)
    if facts.step != step:
        raise DamagedFile(f"{storage.path_for(key)}: damaged: it is of step {facts.step}")
    return facts


def load_checkpoint(storage: Storage, step: int, max_bytes: int) -> tuple[dict[str, dict[str, Any]], list[Position]]:
    """What `save_checkpoint` wrote: the state, on the CPU, and the positions.

    max_bytes: of one of `PARTS`. Raises MissingKey, DamagedFile and OSError.
    """
    known = _facts(storage, step)
    state: dict[str, dict[str, Any]] = {"figures": known.figures}
    with tempfile.TemporaryDirectory() as local:
        for part in PARTS:
            path = Path(local) / f"{part}.safetensors"
            storage.get_file(key := checkpoint_key(step, part), path, max_bytes)
            try:
                state[part] = load_file(path)
            except SafetensorError as error:
                raise DamagedFile(f"{storage.path_for(key)}: damaged: {error}") from error
            path.unlink()
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in state["optimizer"].items():
        parameter, _, moment = key.rpartition("/")
        moments.setdefault(parameter, {})[moment] = value
    state["optimizer"] = {"state": moments, "param_groups": known.param_groups}
    return state, list(known.positions)
