"""The formats of an export, by the name that `--format` takes."""

from __future__ import annotations

from toffee_pipeline.export.formats.base import Format
from toffee_pipeline.export.formats.imagefolder import ImageFolder
from toffee_pipeline.export.formats.lance import Lance
from toffee_pipeline.export.formats.parquet import HuggingFace, Subjects200K
from toffee_pipeline.export.formats.webdataset import WebDataset

FORMATS: dict[str, Format] = {
    "huggingface": HuggingFace(),
    "webdataset": WebDataset(),
    "lance": Lance(),
    "imagefolder": ImageFolder(),
    "subjects200k": Subjects200K(),
}
