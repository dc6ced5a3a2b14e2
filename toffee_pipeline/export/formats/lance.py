"""Lance: a dataset for each split, whose rows are read at random without their neighbours.

Parts write data files that no version names yet; one version, at the end, names those of all parts. It is made in a
folder of its own and uploaded, since Lance need not read the data for it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from toffee_pipeline.errors import ConfigError
from toffee_pipeline.export.formats.base import Format, Writer, images_of, texts_of
from toffee_pipeline.export.parts import ExportedPart
from toffee_pipeline.export.rows import SCHEMA, Row
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import Storage

LANCE = pa.schema([pa.field(field.name, pa.binary()) if field.name in IMAGE_COLUMNS else field for field in SCHEMA])
"""Images are their files' bytes, as Lance's own readers and `datasets` take them."""
ROWS_AT_ONCE = 16


class LanceWriter(Writer):
    """Rows go to an Arrow file first: Lance pulls its rows."""

    def __init__(self, folder: Path, dataset: str, name: str) -> None:
        self._dataset, self._name = folder / dataset, name
        self._arrow = folder.parent / f"{dataset}-{name}.arrow"
        self._stream = pa.ipc.new_stream(str(self._arrow), LANCE)
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        self._rows.append({**texts_of(row), **{column: data for column, _, data in images_of(row)}})
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> list[str]:
        self._flush()
        self._stream.close()
        with pa.memory_map(str(self._arrow)) as file:
            fragments = _fragment().write_fragments(
                pa.ipc.open_stream(file), str(self._dataset), schema=LANCE, mode="create"
            )
        self._arrow.unlink()
        return [self._renamed(number, fragment.to_json()) for number, fragment in enumerate(fragments)]

    def _flush(self) -> None:
        self._stream.write_table(pa.Table.from_pylist(self._rows, schema=LANCE))
        self._rows = []

    def _renamed(self, number: int, fragment: dict[str, Any]) -> str:
        """Under a name that the part decides, so that a part that is written again replaces its files."""
        (file,) = fragment["files"]
        name = f"{self._name}-{number}.lance"
        (self._dataset / "data" / file["path"]).rename(self._dataset / "data" / name)
        return json.dumps({**fragment, "files": [{**file, "path": name}]})


class Lance(Format):
    """`SPLIT.lance`; the column `kind` tells generation pairs from edit pairs."""

    tail = ".lance"

    def check(self) -> None:
        _fragment()

    def stem(self, split: str, kind: str, number: int) -> str:
        return f"{split}.lance/data/{kind}-{number:05d}"

    def open(self, folder: Path, split: str, kind: str, number: int, max_pixels: int) -> Writer:
        return LanceWriter(folder, f"{split}.lance", f"{kind}-{number:05d}")

    def finish(self, target: Storage, parts: Iterable[ExportedPart]) -> None:
        """A version of each dataset, the manifest that makes it visible last."""
        lance = import_module("lance")
        fragments: dict[str, list[Any]] = {}
        for part in parts:
            for dataset, described in part.fragments.items():
                fragments.setdefault(dataset, []).extend(map(_fragment().FragmentMetadata.from_json, described))
        for dataset, of_parts in fragments.items():
            with tempfile.TemporaryDirectory() as folder:
                lance.LanceDataset.commit(f"{folder}/{dataset}", lance.LanceOperation.Overwrite(LANCE, of_parts))
                paths = {
                    path.relative_to(folder).as_posix(): path for path in Path(folder).rglob("*") if path.is_file()
                }
                for key in sorted(paths, key=lambda key: key.endswith(".manifest")):
                    target.put_file(key, paths[key])
            for key, _ in list(target.list(f"{dataset}/_transactions/")):
                if key not in paths:  # of an earlier call
                    target.delete(key)

    def configs(self, rows: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
        return {"default": {split: f"{split}.lance/**" for split in rows}}


def _fragment() -> Any:
    try:
        return import_module("lance.fragment")
    except ImportError as error:
        raise ConfigError("--format lance needs a package that is not installed: pip install -e '.[export]'") from error
