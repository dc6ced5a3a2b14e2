"""Publishes the accepted pairs of a run: part by part, then what belongs to the whole."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.errors import DamagedFile, ImageError, NoRun
from toffee_pipeline.export.card import write_card
from toffee_pipeline.export.croissant import write_croissant
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.export.formats.base import Format, Writer, media_type
from toffee_pipeline.export.parts import (
    ExportedFile,
    ExportedPart,
    ExportHeader,
    Source,
    claim,
    digest,
    is_done,
    plan_parts,
    record_key,
    records,
)
from toffee_pipeline.export.rows import Published, rows_of
from toffee_pipeline.export.sign import Signer
from toffee_pipeline.export.splits import split_of
from toffee_pipeline.rundir.description import PairRun, read_run
from toffee_pipeline.rundir.manifests import READERS
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.subject_key import subject_key_of
from toffee_pipeline.storage import Storage


class Settings(NamedTuple):
    """format: one of `FORMATS`. splits: shares by name. license: of the dataset, as the Hugging Face hub spells it.
    part_bytes: of the run's files that become one part, at least. signer: None: files are not signed."""

    format: str
    splits: Mapping[str, float]
    license: str
    part_bytes: int
    signer: Signer | None = None


def export(run_storage: Storage, target: Storage, settings: Settings, say: Callable[[str], object]) -> int:
    """Export what is committed and has not been exported yet. Returns the rows of the whole export.

    In memory is one row group of the run's, and one for each split and kind; on local disk, in a temporary folder, one
    part.

    Raises:
        NoRun: it is no run of pairs, or nothing was accepted yet.
        RunMismatch: the directory holds another export.
        ConfigError: a package is missing.
    """
    form = FORMATS[settings.format]
    form.check()
    run = read_run(run_storage)
    if not isinstance(run, PairRun):
        raise NoRun(
            f"{run_storage.uri}: of jobs/{run.job}.py; allowed are runs of jobs/generate.py and jobs/refine_pairs.py"
        )
    parts = plan_parts(run_storage, form.kinds, settings.part_bytes)
    if not parts:
        raise NoRun(f"{run_storage.uri}: no accepted pair of kind {' or '.join(form.kinds)} is committed yet")
    header = ExportHeader(
        format=settings.format,
        splits=dict(settings.splits),
        license=settings.license,
        part_bytes=settings.part_bytes,
        signed=settings.signer is not None,
        plan_hash=run.plan_hash,
        num_parts=len(parts),
        files_sha256=digest(parts),
    )
    claim(target, header)
    exporter = _Exporter(run_storage, run, target, form, settings)
    for number, files in enumerate(parts):
        if not is_done(target, number, form.stem):
            say(f"part {number + 1} of {len(parts)}: {exporter.export_part(number, files).num_rows} pairs")
    form.finish(target, records(target, len(parts)))
    write_card(run_storage, target, run, header, form)
    write_croissant(target, run, header, form)
    rows = Counter[str]()
    for part in records(target, len(parts)):
        rows.update({split: sum(kinds.values()) for split, kinds in part.rows.items()})
    if empty := [name for name in settings.splits if not rows[name]]:
        say(f"no pair in {' and '.join(empty)}: splits are of subjects, and of a folder each top folder is one")
    return rows.total()


class _Exporter:
    """Writes parts."""

    def __init__(self, run_storage: Storage, run: PairRun, target: Storage, form: Format, settings: Settings) -> None:
        self._run_storage, self._target, self._form, self._settings = run_storage, target, form, settings
        self._published = Published(run, settings.license)
        config = run.config
        self._max_pixels = config.max_pixels
        self._given = isinstance(config, RefinementConfig)

    def export_part(self, number: int, files: Sequence[Source]) -> ExportedPart:
        """Writes a part's files in a temporary folder, puts them, and last its record."""
        rows: dict[str, Counter[str]] = {}
        categories: Counter[str] = Counter()
        classes: Counter[str] = Counter()
        fragments: dict[str, list[str]] = {}
        writers: dict[tuple[str, str], Writer] = {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "part"
            folder.mkdir()
            for manifest, file in files:
                for row in rows_of(self._run_storage, manifest, file, self._form.images):
                    if row["kind"] not in self._form.kinds:
                        continue
                    split, kind = split_of(subject_key_of(row, self._given), self._settings.splits), row["kind"]
                    if (split, kind) not in writers:
                        writers[split, kind] = self._form.open(folder, split, kind, number, self._max_pixels)
                    try:
                        writers[split, kind].write(self._published(row))
                    except ImageError as error:
                        raise DamagedFile(f"{file.key}: damaged: {row[PAIRS.id]}: {error}") from error
                    rows.setdefault(split, Counter())[kind] += 1
                    categories[row["category"]] += 1
                    classes[row["class_name"]] += 1
            for (split, kind), writer in writers.items():
                if kept := writer.close():
                    fragments.setdefault(self._form.stem(split, kind, number).split("/")[0], []).extend(kept)
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            if self._settings.signer is not None:
                of = self._published.source_type
                paths += [self._settings.signer.sign(path, media_type(path.name), of) for path in paths]
            with ThreadPoolExecutor(READERS) as pool:
                written = tuple(pool.map(partial(self._put, folder), paths))
        part = ExportedPart(
            number=number,
            files=written,
            rows={split: dict(kinds) for split, kinds in rows.items()},
            categories=dict(categories),
            classes=dict(classes),
            fragments=fragments,
        )
        write(self._target, record_key(number), part)
        return part

    def _put(self, folder: Path, path: Path) -> ExportedFile:
        key = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._target.put_file(key, path)
        return ExportedFile(key=key, size_bytes=path.stat().st_size, sha256=sha256)
