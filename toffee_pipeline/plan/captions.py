"""Captions beside the user's own images: `photo.txt` beside `photo.jpg`, and metadata."""

from __future__ import annotations

import codecs
import posixpath
from collections.abc import Collection
from pathlib import Path

from toffee_pipeline.errors import MetadataError, PlanError
from toffee_pipeline.plain_file import open_plain
from toffee_pipeline.plan.metadata import METADATA_NAMES, metadata_rows
from toffee_pipeline.plan.names import few, one_line

TEXT_SUFFIX = ".txt"
MAX_TEXT_BYTES = 64 * 1024
"""Of a text file, what is looked at for its first line."""


def read_captions(root: Path, images: Collection[str], beside: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The captions of those images that have one, each on one line, and lines for the user.

    The text file with an image's name goes before a row of metadata.

    Args:
        images, beside: paths below `root`, with "/". beside: of files whose name is one of `METADATA_NAMES` or ends in
            `TEXT_SUFFIX`.

    Raises PlanError that names the file, and in metadata the line: as `metadata_rows`, and an image that two rows name.
    """
    rows: dict[str, str] = {}
    notes: list[str] = []
    for path in sorted(path for path in beside if posixpath.basename(path) in METADATA_NAMES):
        texts = _read_metadata(root, path, rows.keys())
        if not any(texts.values()):
            notes.append(f"subjects.path: no caption in {one_line(path)}: no row has a text")
        rows |= texts
    if lost := rows.keys() - set(images):
        notes.append(f"subjects.path: {len(lost)} captions without their image: {few(lost)}")
    files = {stem: stem + suffix for stem, suffix in map(posixpath.splitext, beside) if suffix.lower() == TEXT_SUFFIX}
    captions = {}
    for image in images:
        file = files.get(posixpath.splitext(image)[0])
        if caption := (_read_text(root, file) if file else "") or rows.get(image):
            captions[image] = caption
    return captions, notes


def _read_text(root: Path, path: str) -> str:
    """The first line of a text file."""
    try:
        with open_plain(root / path) as file:
            data = file.read(MAX_TEXT_BYTES)
        return _first_line(codecs.getincrementaldecoder("utf-8-sig")().decode(data))  # it may end within a character
    except OSError as error:
        raise _error(path, error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise _error(path, "not UTF-8") from error


def _read_metadata(root: Path, path: str, known: Collection[str]) -> dict[str, str]:
    """The column `text` by the paths below `root` that the column `file_name` gives; "" for a row without text.

    known: images that other metadata names.
    """
    captions: dict[str, str] = {}
    try:
        with open_plain(root / path) as file:
            for row in metadata_rows(file, path):
                if row.image in captions or row.image in known:
                    raise MetadataError(f"{row.place}: {one_line(row.image)} has a row already")
                captions[row.image] = _first_line(row.caption or "")
    except OSError as error:
        raise _error(path, error.strerror or error) from error
    except MetadataError as error:
        raise PlanError(f"subjects.path: {error}") from error
    return captions


def _first_line(text: str) -> str:
    """Without spaces around it, and without characters that cannot be shown."""
    line = next(iter(text.strip().splitlines()), "")
    return " ".join("".join(char if char.isprintable() else " " for char in line).split())


def _error(path: str, reason: object) -> PlanError:
    return PlanError(f"subjects.path: {one_line(path)}: {reason}")
