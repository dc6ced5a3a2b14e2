"""Objects photographed from many sides, in the folders of MVImgNet: `category/object/images/001.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby

from toffee_pipeline.config.train import MVImgNetSource
from toffee_pipeline.errors import BrokenFile, DataError
from toffee_pipeline.pairsets.stored_image import load_image
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.records import Record

MIN_VIEWS = 2
VIEW = re.compile(
    r"(?P<object>[^/]+/[^/]+)/images/(?P<name>[^/.][^/]*(?<!_bg_removed)\.(?i:jpe?g|png|webp))", re.DOTALL
)
"""`001_bg_removed.png` shows the view of `001.jpg` again, its background cut out."""


class MVImgNet:
    """One file of this source is one object, and its record holds every view; other folders and files are left out."""

    def __init__(self, config: MVImgNetSource) -> None:
        self._storage = open_storage(config.path, config.endpoint_url, follow_links=True)

    def files(self) -> list[str]:
        """`category/object` of each object with 2 or more views, in the order of a listing, which is all it costs."""
        views = (match["object"] for key, _ in self._storage.list() if (match := VIEW.fullmatch(key)))
        # sorted keys: the views of an object lie next to each other
        objects = [name for name, group in groupby(views) if sum(1 for _ in group) >= MIN_VIEWS]
        if not objects:
            raise DataError(
                f"{self._storage.uri}: no object with {MIN_VIEWS} views; "
                "format=mvimgnet is a folder of category/object/images/*.jpg (or png, webp)"
            )
        return objects

    def read(self, file: str) -> Iterator[Record]:
        """The object's one record: images by file name, fetched and decoded when called; class_name = category."""
        images = {
            match["name"]: partial(load_image, self._storage, key, size_bytes)
            for key, size_bytes in self._storage.list(f"{file}/images/")
            if (match := VIEW.fullmatch(key))
        }
        if len(images) < MIN_VIEWS:
            raise BrokenFile(f"{self._storage.path_for(file)}: {len(images)} views; an object needs {MIN_VIEWS}")
        yield Record(key=file, images=images, class_name=file.partition("/")[0])
