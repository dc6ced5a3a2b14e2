"""The formats that training data may have; a new one is a class in a file of its own and its line here."""

from __future__ import annotations

from collections.abc import Callable

from toffee_pipeline.config.train import SourceConfig
from toffee_pipeline.train.data.records import Source
from toffee_pipeline.train.data.sources.mvimgnet import MVImgNet
from toffee_pipeline.train.data.sources.run_pairs import RunPairs
from toffee_pipeline.train.data.sources.webdataset import WebDataset
from toffee_pipeline.train.data.sources.world import World

SOURCES: dict[str, Callable[[SourceConfig], Source]] = {
    "webdataset": WebDataset,
    "run": RunPairs,
    "mvimgnet": MVImgNet,
    "world": World,
}


def make_source(config: SourceConfig) -> Source:
    """The source that `config` names. Nothing is read yet; raises StorageError for a path that cannot be one."""
    return SOURCES[config.format](config)
