"""Captions beside the user's own images: `photo.txt` beside `photo.jpg`, and metadata as of Hugging Face's imagefolder.

https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import codecs
import csv
import json
import posixpath
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.names import few, one_line

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl"})
TEXT_SUFFIX = ".txt"
MAX_TEXT_BYTES = 64 * 1024
"""Of a text file, what is looked at for its first line."""


def read_captions(root: Path, images: Collection[str], beside: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The captions of those images that have one, each on one line, and lines for the user.

    The text file with an image's name goes before a row of metadata.

    Args:
        images, beside: paths below `root`, with "/". beside: of files whose name is one of `METADATA_NAMES` or ends in
            `TEXT_SUFFIX`.

    Raises PlanError that names the file, and in metadata the line: not UTF-8, CSV or JSON, no `file_name`, a `text`
    that is none, an image that two rows name.
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
        with (root / path).open("rb") as file:
            data = file.read(MAX_TEXT_BYTES)
        return _first_line(codecs.getincrementaldecoder("utf-8-sig")().decode(data))  # it may end within a character
    except OSError as error:
        raise _error(path, error.strerror) from error
    except UnicodeDecodeError as error:
        raise _error(path, "not UTF-8") from error


def _read_metadata(root: Path, path: str, known: Collection[str]) -> dict[str, str]:
    """The column `text` by the paths below `root` that the column `file_name` gives; "" for a row without text.

    known: images that other metadata names.
    """
    captions: dict[str, str] = {}
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for line in file:
            number += 1
            yield line.decode("utf-8-sig")

    try:
        with (root / path).open("rb") as file:
            rows = (
                csv.DictReader(lines(), strict=True)
                if path.endswith(".csv")
                else map(_object, filter(str.strip, lines()))
            )
            for row in rows:
                name, text = row.get("file_name"), row.get("text")
                if None in row:
                    raise ValueError("more fields than columns: a text with a comma stands in quotes")
                if not isinstance(name, str) or not name:
                    raise ValueError("no file_name")
                if not isinstance(text, str | None):
                    raise ValueError(f"text is no string, but of type {type(text).__name__}")
                name.encode()  # half of a surrogate pair is no name
                image = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
                if image in captions or image in known:
                    raise ValueError(f"{one_line(image)} has a row already")
                captions[image] = _first_line(text or "")
    except OSError as error:
        raise _error(path, error.strerror) from error
    except (ValueError, RecursionError, csv.Error) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise _error(f"{path}, line {number}", reason) from error
    return captions


def _object(line: str) -> dict[Any, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def _first_line(text: str) -> str:
    """Without spaces around it, and without characters that cannot be shown."""
    line = next(iter(text.strip().splitlines()), "")
    return " ".join("".join(char if char.isprintable() else " " for char in line).split())


def _error(path: str, reason: object) -> PlanError:
    return PlanError(f"subjects.path: {one_line(path)}: {reason}")
