"""The datasets that a training learned from, by its run directory."""

from __future__ import annotations

from toffee_pipeline.config.train import RefinerTraining, RunSource, ToffeeNetTraining, ViewGeneratorTraining
from toffee_pipeline.rundir.description import read_header, read_training
from toffee_pipeline.rundir.layout import RUN
from toffee_pipeline.storage import Storage, open_storage

TRAININGS = {kind.job: kind for kind in (RefinerTraining, ViewGeneratorTraining, ToffeeNetTraining)}


def datasets_of(run: str, endpoint_url: str | None) -> tuple[list[Storage], list[str]]:
    """Run directories, where the training read them, and what of its sources is no run, in words. endpoint_url: of
    `run` itself.

    A run of a job that makes a dataset is its own. Raises as `read_run`.
    """
    storage = open_storage(run, endpoint_url)
    kind = TRAININGS.get(read_header(storage).job)
    if kind is None:
        return [storage], []
    runs: list[Storage] = []
    unchecked = []
    for source in read_training(storage, kind).config.data.sources:
        if not isinstance(source, RunSource):
            unchecked.append(f"data.sources, format={source.format}")
        elif (dataset := open_storage(source.path, source.endpoint_url)).exists(RUN):
            runs.append(dataset)
        else:
            unchecked.append(f"data.sources, {source.path}: Parquet files without a {RUN}")
    return runs, unchecked
