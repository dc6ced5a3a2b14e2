"""Publishes the accepted pairs of a run: part by part, then what belongs to the whole."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from toffee_pipeline.errors import NoRun
from toffee_pipeline.export.card import write_card
from toffee_pipeline.export.croissant import write_croissant
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.export.formats.base import Format, Writer
from toffee_pipeline.export.parts import (
    ExportedFile,
    ExportedPart,
    ExportHeader,
    claim,
    digest,
    is_done,
    plan_parts,
    record_key,
    records,
)
from toffee_pipeline.export.rows import Published, rows_of
from toffee_pipeline.export.splits import split_of, subject_key
from toffee_pipeline.rundir.description import GenerationRun, read_run
from toffee_pipeline.rundir.manifests import READERS, DataFile
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.storage import Storage


class Settings(NamedTuple):
    """format: one of `FORMATS`. splits: shares by name. license: of the dataset, as the Hugging Face hub spells it.
    part_bytes: of the run's files that become one part, at least."""

    format: str
    splits: Mapping[str, float]
    license: str
    part_bytes: int


def export(run_storage: Storage, target: Storage, settings: Settings, say: Callable[[str], object]) -> int:
    """Export what is committed and has not been exported yet. Returns the rows of the whole export.

    In memory is one row group of the run's, and one for each split; on local disk, in a temporary folder, one part.

    Raises:
        NoRun: it is no run of pairs, or nothing was accepted yet.
        RunMismatch: the directory holds another export.
        ConfigError: a package is missing.
    """
    form = FORMATS[settings.format]
    form.check()
    run = read_run(run_storage)
    if not isinstance(run, GenerationRun):
        raise NoRun(f"{run_storage.uri}: of jobs/{run.job}.py; allowed is a run of jobs/generate.py")
    parts = plan_parts(run_storage, form.kinds, settings.part_bytes)
    if not parts:
        raise NoRun(f"{run_storage.uri}: no accepted pair of kind {' or '.join(form.kinds)} is committed yet")
    header = ExportHeader(
        **{**settings._asdict(), "splits": dict(settings.splits)},
        plan_hash=run.plan_hash,
        num_parts=len(parts),
        files_sha256=digest(parts),
    )
    claim(target, header)
    published = Published(run, settings.license)
    for number, files in enumerate(parts):
        if is_done(target, number, form.stem):
            continue
        part = _export_part(run_storage, target, form, header, number, files, published, run.config.subjects.source)
        say(f"part {number + 1} of {len(parts)}: {sum(map(sum, (k.values() for k in part.rows.values())))} pairs")
    form.finish(target, records(target, len(parts)))
    write_card(run_storage, target, run, header, form)
    write_croissant(target, run, header, form)
    return sum(sum(kinds.values()) for part in records(target, len(parts)) for kinds in part.rows.values())


def _export_part(
    run_storage: Storage,
    target: Storage,
    form: Format,
    header: ExportHeader,
    number: int,
    files: Sequence[DataFile],
    published: Published,
    source: str,
) -> ExportedPart:
    """Writes a part's files in a temporary folder, puts them, and last its record."""
    rows: dict[str, Counter[str]] = {}
    categories: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    writers: dict[tuple[str, str], Writer] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "part"
        folder.mkdir()
        for file in files:
            for row in rows_of(run_storage, file):
                split, kind = split_of(subject_key(row, source), header.splits), row["kind"]
                if (split, kind) not in writers:
                    writers[split, kind] = form.open(folder, split, kind, number)
                writers[split, kind].write(published(row))
                rows.setdefault(split, Counter())[kind] += 1
                categories[row["category"]] += 1
                classes[row["class_name"]] += 1
        fragments: dict[str, list[str]] = {}
        for (split, kind), writer in writers.items():
            if kept := writer.close():
                fragments.setdefault(form.stem(split, kind, number).split("/")[0], []).extend(kept)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        with ThreadPoolExecutor(READERS) as pool:
            written = tuple(pool.map(lambda path: _put(target, path, path.relative_to(folder).as_posix()), paths))
    part = ExportedPart(
        number=number,
        files=written,
        rows={split: dict(kinds) for split, kinds in rows.items()},
        categories=dict(categories),
        classes=dict(classes),
        fragments=fragments,
    )
    write(target, record_key(number), part)
    return part


def _put(target: Storage, path: Path, key: str) -> ExportedFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    target.put_file(key, path)
    return ExportedFile(key=key, size_bytes=path.stat().st_size, sha256=sha256)
