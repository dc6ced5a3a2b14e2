"""A run directory as a stranger packs it: other values under hashes that fit them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from toffee_pipeline.rundir.layout import MANIFESTS

Row = dict[str, Any]


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_rows(run: Path, key: str, change: Callable[[list[Row]], object]) -> None:
    """Rewrites the rows of a Parquet file, and what its manifest says of the file."""
    path = run / key
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    vouch_for(run, key)


def vouch_for(run: Path, key: str) -> None:
    """The manifest of the shard names the file as it is now."""
    data = (run / key).read_bytes()
    for manifest in (run / MANIFESTS).glob("shard-*.json"):
        content = json.loads(manifest.read_text())
        for file in content["files"]:
            if file["key"] == key:
                file |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                manifest.write_text(json.dumps(content))


def change_all_rows(run: Path, column: str, value: Any) -> None:
    """In every file that has the column."""

    def change(rows: list[Row]) -> None:
        for row in rows:
            if column in row:
                row[column] = value

    for path in sorted(run.glob("*/*.parquet")):
        if path.parent.name != "_index":
            change_rows(run, path.relative_to(run).as_posix(), change)
