"""What the JSON files of a run directory have in common: frozen models with a version, read with one clear line."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toffee_pipeline.config.endpoint import of_file
from toffee_pipeline.errors import DamagedFile, OtherVersion
from toffee_pipeline.rundir.layout import LAYOUT_VERSION
from toffee_pipeline.storage import Storage

Number = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, le=1e15)]
Joules = Annotated[float, Field(ge=0, le=1e18)]
MAX_CHARACTERS = 300
MAX_SMALL_BYTES = 16 * 2**20
"""Of run.json and the lease."""
MAX_FILE_BYTES = 256 * 2**20
"""Of a JSON file whose size goes by the run's."""


class Part(BaseModel):
    """A part of a file. A key that this code does not know is of later code with the same layout, and is ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class RunFile(Part):
    """A JSON file."""

    version: int = LAYOUT_VERSION

    def encode(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


class _Version(BaseModel):
    version: int = 1


F = TypeVar("F", bound=RunFile)


def decode(kind: type[F], data: bytes, name: str, endpoint_url: str | None = None) -> F:
    """What `encode` made.

    Args:
        name: of the file, for messages.
        endpoint_url: of whoever reads it, for the settings in it (see `config.endpoint`).

    Raises:
        OtherVersion: another layout's, which nothing more is read of.
        DamagedFile: not such a file; the message names the key and what is wrong with it.
    """
    try:
        try:
            found = kind.model_validate_json(data, strict=True, context=of_file(endpoint_url))
            version = found.version
        except ValidationError:
            version = _Version.model_validate_json(data, strict=True).version
            if version == LAYOUT_VERSION:
                raise
    except ValidationError as error:
        raise DamagedFile(f"{name}: damaged: {complaint(error)}") from error
    if version != LAYOUT_VERSION:
        raise OtherVersion(f"{name}: layout version {version}, this code reads {LAYOUT_VERSION}")
    return found


def read(storage: Storage, key: str, kind: type[F], max_bytes: int = MAX_FILE_BYTES) -> F:
    """The file under `key`. Raises as `decode`, and MissingKey."""
    return decode(kind, storage.get(key, max_bytes), storage.path_for(key), storage.endpoint_url)


def write(storage: Storage, key: str, file: RunFile) -> None:
    """Writes or replaces the file under `key`."""
    storage.put(key, file.encode())


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong, on one line."""
    first: Any = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = " ".join(f"{place}: {first['msg']}".removeprefix(": ").split())
    return message if len(message) <= MAX_CHARACTERS else f"{message[:MAX_CHARACTERS]} ..."
