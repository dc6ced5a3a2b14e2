"""The formats that training data may have; a new one is a class in a file of its own, its settings, its line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toffee_pipeline.config.train import (
    ExportSource,
    FolderSource,
    ImageFolderSource,
    MVImgNetSource,
    RunSource,
    SourceConfig,
    WebDatasetSource,
    WorldSource,
)
from toffee_pipeline.train.data.records import Source
from toffee_pipeline.train.data.sources.exported import Exported
from toffee_pipeline.train.data.sources.folder import Folder, ImageFolder
from toffee_pipeline.train.data.sources.mvimgnet import MVImgNet
from toffee_pipeline.train.data.sources.run import Run
from toffee_pipeline.train.data.sources.webdataset import WebDataset
from toffee_pipeline.train.data.sources.world import World

SOURCES: dict[type[SourceConfig], Callable[[Any], Source]] = {
    FolderSource: Folder,
    ImageFolderSource: ImageFolder,
    WebDatasetSource: WebDataset,
    RunSource: Run,
    ExportSource: Exported,
    MVImgNetSource: MVImgNet,
    WorldSource: World,
}


def make_source(config: SourceConfig) -> Source:
    """The source that `config` describes. Nothing is read yet; raises StorageError for a path that cannot be one."""
    return SOURCES[type(config)](config)
