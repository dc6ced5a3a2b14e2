"""Pairs of an imagefolder: metadata names the files of both images. As of Hugging Face, and of `jobs/export.py`."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Sequence

from toffee_pipeline.config.refine_pairs import ImageFolderPairs
from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.pairsets.given import broken_pair, check_columns, images_of_files, pair_of, value_of
from toffee_pipeline.pairsets.listing import BUFFER_BYTES, visible
from toffee_pipeline.plan.metadata import METADATA_NAMES, RawRow, path_of, raw_rows
from toffee_pipeline.plan.names import few
from toffee_pipeline.plan.refinement import GivenPair, LazyImages
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import is_key


class ImageFolder:
    """A pair for each row of all `metadata.*`, by path and then in their order."""

    def __init__(self, source: ImageFolderPairs, storage: Storage) -> None:
        self._source, self._storage = source, storage

    def files(self, key: str) -> bool:
        name = posixpath.basename(key)
        return name in METADATA_NAMES or posixpath.splitext(name)[1].lower() in SUFFIXES

    def pairs(self) -> Iterator[GivenPair]:
        found = [key for key, _ in visible(self._storage) if posixpath.basename(key) in METADATA_NAMES]
        if not found:
            raise PlanError(
                f"source.path: {self._storage.uri}: none of {', '.join(sorted(METADATA_NAMES))} there; "
                "format=imagefolder is a folder of images and metadata that names them"
            )
        columns: dict[str, None] = {}
        for key in found:
            with self._storage.open(key) as file:
                lines = file if key.endswith(".parquet") else io.BufferedReader(file, BUFFER_BYTES)  # type: ignore[type-var]
                for row in raw_rows(lines, key):
                    columns.update(dict.fromkeys(row.columns))
                    yield self._pair(key, row)
        if columns:
            check_columns(self._source.columns, columns, f"{few(found)} of {self._storage.uri}")

    def images(self, places: Sequence[str]) -> list[LazyImages]:
        return images_of_files(self._source.columns, self._storage, places)

    def _pair(self, key: str, row: RawRow) -> GivenPair:
        if row.problem is not None:
            return broken_pair(self._source, row.place, row.problem)
        columns, keys = self._source.columns, []
        for column in (columns.input, columns.edited):
            try:
                keys.append(path_of(value_of(row.values, column), key))
            except ValueError as error:
                return broken_pair(self._source, row.place, str(error) or f"no {column}", row.values)
        if wrong := [each for each in keys if not is_key(each)]:
            return broken_pair(self._source, row.place, f"{wrong[0]!r} is no path below the set's", row.values)
        return pair_of(self._source, columns, row.values, row.place, keys)
