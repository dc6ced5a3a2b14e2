"""Which writer commits the shards of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.write import Write
from actors.write_pictures import WritePictures
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.rundir.counts import ShardCounts


def writer_of(config: DatasetConfig, output: str) -> Callable[[Any], ShardCounts]:
    """Takes a finished shard of the job's kind, and returns its counts."""
    return WritePictures(config, output) if isinstance(config, EvaluationConfig) else Write(config, output)
