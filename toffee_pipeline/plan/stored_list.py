"""Lists of what a run was given, as they lie with the run: gzipped, a line of JSON for each row."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Annotated, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError

from toffee_pipeline.errors import PlanError

MAX_LIST_BYTES = 2**30
"""Unpacked."""


def stays_below(path: str) -> str:
    """The path, which is relative to a folder. Raises ValueError where it leads out of that."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of its folder")
    return path


PathBelow = Annotated[str, AfterValidator(stays_below)]
"""Relative to a folder, with "/"."""
R = TypeVar("R")


def read_list(data: bytes, name: str, row: TypeAdapter[R]) -> list[R]:
    """The rows. name: what errors call the file. Raises PlanError where it is damaged, or larger than it may be."""
    try:
        with gzip.open(io.BytesIO(data)) as file:
            text = file.read(MAX_LIST_BYTES + 1)
        if len(text) > MAX_LIST_BYTES:
            raise ValueError(f"more than {MAX_LIST_BYTES} bytes")
        return [row.validate_json(line, strict=True) for line in text.splitlines()]
    except ValidationError as error:
        raise PlanError(f"{name}: damaged: {' '.join(error.errors()[0]['msg'].split())}") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise PlanError(f"{name}: damaged: {error!r}") from error
