"""A row as it is published: that of the run, its images marked, with columns for licence and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.errors import ImageError, MissingKey, NoRun
from toffee_pipeline.export.mark import SourceType, mark
from toffee_pipeline.parquet_file import ParquetFile, read_batches, sound
from toffee_pipeline.rundir.description import PairRun, read_bank
from toffee_pipeline.rundir.manifests import DataFile, Manifest
from toffee_pipeline.rundir.rows import as_judged, checked, home_of, schema_of
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS, PAIRS
from toffee_pipeline.schema.table import with_image_features
from toffee_pipeline.storage import Storage, open_storage

ROWS_AT_ONCE = 16
PROVENANCE = ("license", "made_by", "plan_hash", "models")
"""license: of the dataset. made_by: the code's version. plan_hash: of the run, which with pair_id and the seeds names
the pair for good. models: who played each role, JSON."""
SCHEMA = with_image_features([*PAIRS.data, *(pa.field(name, pa.string(), nullable=False) for name in PROVENANCE)])

Row = dict[str, Any]


class Published:
    """Makes published rows of a run's rows. source_type: of all of them together."""

    def __init__(self, run: PairRun, license: str) -> None:
        self._given = given_columns(run)
        self.source_type: SourceType = (
            "compositeWithTrainedAlgorithmicMedia" if self._given else "trainedAlgorithmicMedia"
        )
        self._provenance = {
            "license": license,
            "made_by": f"toffee-pipeline {run.code_version}",
            "plan_hash": run.plan_hash,
            "models": json.dumps(run.roles, sort_keys=True),
        }

    def __call__(self, row: Row) -> Row:
        """Raises ImageError where an image of it is none."""
        marked = {name: self._marked(row, name) for name in IMAGE_COLUMNS if name in row}
        return {**row, **marked, **self._provenance}

    def _marked(self, row: Row, column: str) -> dict[str, Any] | None:
        image: dict[str, Any] | None = row[column] if row[column] and row[column]["bytes"] is not None else None
        if image is None and column in PAIRS.needed[row["kind"]]:
            raise ImageError(f"{column}: there is none")
        source_type = source_type_of(row, column, self._given)
        return image if image is None or source_type is None else {**image, "bytes": mark(image["bytes"], source_type)}


def given_columns(run: PairRun) -> frozenset[str]:
    """Images of a generation pair that are somebody's and not drawn by this run. Of a bank its own run says so; one
    that is gone may have been of such images."""
    if isinstance(run.config, RefinementConfig):
        return frozenset({"input_image", "subject_image", "draft_image"})
    subjects = run.config.subjects
    source = subjects.source
    if source == "bank":
        assert subjects.path is not None  # the config sees to it
        try:
            source = read_bank(open_storage(subjects.path, subjects.endpoint_url)).config.subjects.source
        except (NoRun, MissingKey):
            source = "folder"
    return frozenset({"subject_image"} if source == "folder" else ())


def source_type_of(row: Mapping[str, Any], column: str, given: frozenset[str]) -> SourceType | None:
    """What an image is; None for one that was given, which nothing was drawn into. given: as `given_columns`."""
    if row["kind"] != "edit":
        return None if column in given else "trainedAlgorithmicMedia"
    if not given or column in ("mask", "depth"):
        return "trainedAlgorithmicMedia"
    untouched = "input_image" if row["reversed_from"] is None else "target_image"
    return None if column in ("subject_image", untouched) else "compositeWithTrainedAlgorithmicMedia"


def rows_of(storage: Storage, manifest: Manifest, file: DataFile, images: Sequence[str]) -> Iterator[Row]:
    """The accepted rows of a shard's file, a few in memory at a time. storage: of the manifest. images: the
    columns that they have of `IMAGE_COLUMNS`.

    Raises DamagedFile where it is no sound Parquet.
    """
    columns = [name for name in PAIRS.data.names if name in images or name not in IMAGE_COLUMNS]
    schema = schema_of(PAIRS.data, columns)
    storage = home_of(storage, manifest)
    with sound(storage.path_for(file.key)), storage.open(file.key) as stream:
        parquet = ParquetFile(stream)
        for number in range(parquet.num_row_groups):
            for batch in read_batches(parquet, number, columns, rows_at_once=ROWS_AT_ONCE):
                rows = as_judged(checked(pa.Table.from_batches([batch]), schema, PAIRS), manifest, PAIRS.id)
                yield from rows.filter(pc.equal(rows["status"], "accepted")).to_pylist()


def made_by() -> str:
    """The code that exports."""
    return f"toffee-pipeline {version('toffee-pipeline')}"
