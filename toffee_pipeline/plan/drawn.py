"""Pictures that another model drew, in a folder: SUBJECT/PROMPT_SAMPLE.png, both numbers from 0, as DreamBench++ names
them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.plan.folder import FolderImage
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.schema.pictures import Picture


def list_drawn(folder: Path, pictures: Iterable[Picture]) -> tuple[FolderImage, ...]:
    """The files of drawn pictures that are there, sorted by path; of a picture with several, all. Raises PlanError
    where a folder cannot be listed."""
    classes = {picture.source: picture.class_name for picture in pictures}
    found = []
    for parent in {name.rpartition("/")[0] for name in classes}:
        for entry in _entries(folder / parent):
            stem, suffix = os.path.splitext(entry.name)
            if suffix in SUFFIXES and (name := f"{parent}/{stem}") in classes and entry.is_file():
                status = entry.stat()
                found.append(FolderImage(name + suffix, classes[name], status.st_size, status.st_mtime_ns))
    return tuple(sorted(found, key=lambda image: image.path))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise PlanError(f"images: {one_line(str(folder))}: {error.strerror or error}") from error
