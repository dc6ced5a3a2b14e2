"""Objects photographed from many sides, in the folders of MVImgNet: `category/object/images/001.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby

import numpy as np

from toffee_pipeline.config.train import MVImgNetSource
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.images import MAX_BYTES, decode
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.train.data.records import Record

MIN_VIEWS = 2
VIEW = re.compile(r"(?P<object>[^/]+/[^/]+)/images/(?P<name>[^/.][^/]*\.(?i:jpe?g|png))", re.DOTALL)


class MVImgNet:
    """One file of this source is one object, and its record holds every view; other folders and files are left out."""

    def __init__(self, config: MVImgNetSource) -> None:
        self._storage = open_storage(config.path, config.endpoint_url)

    def files(self) -> list[str]:
        """`category/object` of each object with 2 or more views, in the order of a listing, which is all it costs."""
        views = (match["object"] for key, _ in self._storage.list() if (match := VIEW.fullmatch(key)))
        # sorted keys: the views of an object lie next to each other
        objects = [name for name, group in groupby(views) if sum(1 for _ in group) >= MIN_VIEWS]
        if not objects:
            raise DataError(
                f"{self._storage.uri}: no object with {MIN_VIEWS} views; "
                "format=mvimgnet is a folder of category/object/images/*.jpg (or png)"
            )
        return objects

    def read(self, file: str) -> Iterator[Record]:
        """The object's one record: images by file name, fetched and decoded when called; class_name = category."""
        images = {
            match["name"]: partial(_view, self._storage, key, size_bytes)
            for key, size_bytes in self._storage.list(f"{file}/images/")
            if (match := VIEW.fullmatch(key))
        }
        if len(images) < MIN_VIEWS:
            raise BrokenFile(f"{self._storage.path_for(file)}: {len(images)} views; an object needs {MIN_VIEWS}")
        yield Record(key=file, images=images, class_name=file.partition("/")[0])


def _view(storage: Storage, key: str, size_bytes: int) -> np.ndarray:
    if size_bytes > MAX_BYTES:  # so that it is not even fetched
        raise ImageError(f"{key}: {size_bytes} bytes are too many; allowed are {MAX_BYTES}")
    return decode(storage.get(key), key)
