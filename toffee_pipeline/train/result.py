"""The result of a training: the averaged weights as standard folders, a model card, and a summary."""

from __future__ import annotations

import tempfile
from pathlib import Path

from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.rundir.layout import MODEL, SUMMARY
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.storage import Storage
from toffee_pipeline.train.card import write_card
from toffee_pipeline.train.saved import BrokenSamples, TrainingSummary
from toffee_pipeline.train.tasks import Task
from toffee_pipeline.train.trainer import Trainer


def write_result(config: TrainingConfig, storage: Storage, task: Task, trainer: Trainer, broken: BrokenSamples) -> None:
    """Writes `model/` and, last of all, summary.json; every worker takes part, rank 0 writes."""
    with trainer.averaged():
        weights = trainer.weights()
    if trainer.rank:
        return
    network = task.build()
    network.load_state_dict(weights)
    with tempfile.TemporaryDirectory() as local:
        folder = Path(local)
        task.save(network.eval(), folder)
        seen = trainer.step * config.train.batch_size
        summary = TrainingSummary(steps=trainer.step, samples_seen=seen, figures=trainer.figures, broken=broken)
        write_card(folder, config.job, config, {"steps": trainer.step, "samples_seen": seen, **trainer.figures})
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            storage.put_file(f"{MODEL}/{path.relative_to(folder).as_posix()}", path)
    write(storage, SUMMARY, summary)
