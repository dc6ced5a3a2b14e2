"""Single images as people have them: a plain folder, or one with metadata as of Hugging Face's imagefolder."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from toffee_pipeline.config.train import FolderSource, ImageFolderSource
from toffee_pipeline.errors import DataError, ImageError, MetadataError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.pairsets.listing import visible
from toffee_pipeline.pairsets.stored_image import load_image
from toffee_pipeline.plan.metadata import METADATA_NAMES, metadata_rows
from toffee_pipeline.plan.names import few, one_line
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.train.data.records import Record

IMAGES_PER_FILE = 64


class Photo(NamedTuple):
    """One image: its key, its size as listed (None: it is not there) and its caption ("": none)."""

    key: str
    size_bytes: int | None
    text: str = ""


class Folder:
    """All images below a folder, without captions. Hidden files, those of the system and other formats are left out.

    A file of this source is a list of up to `IMAGES_PER_FILE` images as JSON, so that it is other work where an image
    was added, replaced or told otherwise.
    """

    def __init__(self, config: FolderSource) -> None:
        self._storage = open_storage(config.path, config.endpoint_url, follow_links=True)

    def files(self) -> list[str]:
        """Lists of images, by path."""
        sizes = dict(visible(self._storage))
        photos = [Photo(key, size) for key, size in sizes.items() if posixpath.splitext(key)[1].lower() in SUFFIXES]
        if not photos:
            raise DataError(
                f"{self._storage.uri}: no image ({', '.join(sorted(SUFFIXES))}) there; "
                "format=folder is a folder of images, however deep they lie"
            )
        return _files(photos)

    def read(self, file: str) -> Iterator[Record]:
        """A record for each image, which is "image"; it is fetched when called."""
        return _records(self._storage, file)


class ImageFolder:
    """The images that `metadata.csv`, `.jsonl` or `.parquet` names, in the folder or deeper, with their captions.

    Files as of `Folder`. An image that several rows name is as many records; one that is not there is a broken one.
    """

    def __init__(self, config: ImageFolderSource) -> None:
        self._storage = open_storage(config.path, config.endpoint_url, follow_links=True)
        self._caption_column = config.caption_column

    def files(self) -> list[str]:
        """Lists of images, in the order of the metadata. Raises DataError that names what of it cannot be read."""
        sizes = dict(visible(self._storage))
        metadata = [key for key in sizes if posixpath.basename(key) in METADATA_NAMES]
        if not metadata:
            raise DataError(
                f"{self._storage.uri}: none of {', '.join(sorted(METADATA_NAMES))} there; format=imagefolder is a "
                "folder of images and metadata with file_name; a folder of images alone is format=folder"
            )
        photos: list[Photo] = []
        columns: dict[str, None] = {}
        try:
            for key in metadata:
                for row in metadata_rows(io.BytesIO(self._storage.get(key)), key, self._caption_column or "text"):
                    columns.update(dict.fromkeys(row.columns))
                    photos.append(Photo(row.image, sizes.get(row.image), (row.caption or "").strip()))
        except MetadataError as error:
            raise DataError(f"{self._storage.uri}: {error}") from error
        if not photos:
            raise DataError(f"{self._storage.uri}: no row in {few(metadata)}")
        if self._caption_column is not None and self._caption_column not in columns:
            raise DataError(
                f"{self._storage.uri}: no column {self._caption_column!r} in {few(metadata)} (caption_column); "
                f"there are {', '.join(columns)}"
            )
        return _files(photos)

    def read(self, file: str) -> Iterator[Record]:
        """A record for each row: its image is "image", fetched when called; text: its caption."""
        return _records(self._storage, file)


def _files(photos: Sequence[Photo]) -> list[str]:
    starts = range(0, len(photos), IMAGES_PER_FILE)
    return [json.dumps(photos[start : start + IMAGES_PER_FILE], ensure_ascii=False) for start in starts]


def _records(storage: Storage, file: str) -> Iterator[Record]:
    for number, values in enumerate(json.loads(file)):
        photo = Photo(*values)
        yield Record(f"{number}: {photo.key}", {"image": partial(_load, storage, photo)}, photo.text)


def _load(storage: Storage, photo: Photo) -> np.ndarray:
    if photo.size_bytes is None:
        raise ImageError(f"{one_line(photo.key)}: named in the metadata, but no such file")
    return load_image(storage, photo.key, photo.size_bytes)
