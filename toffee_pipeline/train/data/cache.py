"""Precomputed latents and DINO tokens: each file of a source becomes one Arrow file of encoded images."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from toffee_pipeline.config.train import SourceConfig, ToffeeNetTraining, TrainingConfig
from toffee_pipeline.errors import BrokenFile, DataError, ImageError, TooSmall
from toffee_pipeline.images import decode_depth, decode_mask, encode_depth, encode_mask, fit_square
from toffee_pipeline.models.weights import describe_weights
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.train.data.cached_file import MAX_FILE_BYTES, SCHEMA, TEXTS, array_of, read_batches
from toffee_pipeline.train.data.examples import fit_array, side_of
from toffee_pipeline.train.data.records import Encoded, LazyArray, Record, Source

if TYPE_CHECKING:  # who reads a cache needs no networks
    from toffee_pipeline.train.data.encode import FrozenEncoders

IMAGES_AT_ONCE = 32
PIXELS_AT_ONCE = 2**23
"""Of images that are encoded together: a VAE in float32 holds some 1.5 KiB for each."""
_RECORD = ("key", "text", "class_name", "kind", "name")
Shapes = tuple[tuple[int, ...], tuple[int, ...]]
"""Of the latents and the tokens of one image."""


def cache_key(config: TrainingConfig) -> str:
    """Names what decides the cached numbers: networks, image sizes, what DINO is shown, and the files' columns."""
    models = config.models
    parts: list[Any] = [(field.name, str(field.type)) for field in SCHEMA]
    parts += [config.size_px, config.data.min_side_px, describe_weights(models.dino, "dino")]
    parts.append(describe_weights(models.vae or models.base, "vae"))
    if isinstance(config, ToffeeNetTraining):
        parts += [
            config.dino_input,
            models.model_dump(mode="json", include={"depth", "detector", "segmenter"}, exclude_defaults=True),
        ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def source_name(config: SourceConfig) -> str:
    """Tells sources with equal file names apart. Settings at their default do not count: one that is added later leaves
    what is cached under its name."""
    return json.dumps(config.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


@dataclass(frozen=True)
class Cache:
    """The cache of one job. Picklable.

    min_side_px: smaller images are not encoded.
    """

    storage: Storage
    key: str
    min_side_px: int = 0

    @classmethod
    def open(cls, config: TrainingConfig) -> Cache:
        assert config.data.cache is not None
        storage = open_storage(config.data.cache, config.data.cache_endpoint_url)
        return cls(storage, cache_key(config), config.data.min_side_px)

    def key_of(self, source: str, file: str) -> str:
        """Where a file of a source lies; `source` is its `source_name`."""
        name = hashlib.sha256("\0".join((source, file)).encode()).hexdigest()[:24]
        return f"{self.key}/{name}.arrow"

    def known(self) -> set[str]:
        """Keys that are there, by one listing."""
        return {key for key, _ in self.storage.list(f"{self.key}/")}

    def batches(self, key: str) -> Iterator[pa.RecordBatch]:
        """Of the Arrow file under `key`, as `read_batches`. Raises BrokenFile, and StorageError where it is not got."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cached.arrow"
            self.storage.get_file(key, path, MAX_FILE_BYTES)
            yield from read_batches(path, self.storage.path_for(key))

    def shapes(self, keys: Iterable[str]) -> Shapes:
        """Shapes in the first of these files that holds an image. Raises DataError, with the first error that was met,
        where none does."""
        why = ""
        for key in keys:
            try:
                for batch in self.batches(key):
                    rows = batch.select(["latents_shape", "error", "broken_file"]).to_pylist()
                    for index, row in enumerate(rows):
                        if row["latents_shape"]:
                            return array_of(batch, index, "latents").shape, array_of(batch, index, "tokens").shape
                        why = why or row["error"] or row["broken_file"]
            except (BrokenFile, ImageError) as error:
                why = why or str(error)
        raise DataError(f"no image of data.sources is usable; the first error: {why or 'none'}")


@dataclass(frozen=True)
class CachedSource:
    """A source whose images come encoded, in these shapes."""

    name: str
    source: Source
    cache: Cache
    shapes: Shapes

    def files(self) -> list[str]:
        return self.source.files()

    def read(self, file: str) -> Iterator[Record]:
        key = self.cache.key_of(self.name, file)
        for batch in self.cache.batches(key):
            rows = batch.select([*TEXTS, "side_px", "too_small"]).to_pylist()
            for _, group in groupby(range(len(rows)), key=lambda index: rows[index]["key"]):
                indices = list(group)
                first = rows[indices[0]]
                if first["broken_file"]:
                    raise BrokenFile(first["broken_file"])
                if any(rows[i][name] is None for i in indices for name in _RECORD):
                    raise BrokenFile(f"{self.cache.storage.path_for(key)}: a row without {', '.join(_RECORD)}")
                yield Record(
                    key=first["key"],
                    images={rows[i]["name"]: partial(_load, batch, i, rows[i], self.shapes) for i in indices},
                    text=first["text"],
                    mask=_later(decode_mask, batch["mask"][indices[0]], f"{first['key']} mask"),
                    depth=_later(decode_depth, batch["depth"][indices[0]], f"{first['key']} depth"),
                    class_name=first["class_name"],
                    kind=first["kind"],
                )


def fill(cache: Cache, source_name: str, source: Source, file: str, encoders: FrozenEncoders, size_px: int) -> None:
    """Encodes one file of a source. Put at once at the end: a killed try leaves nothing.

    Raises StorageError where the storage fails; broken images and files, and images that are too small, are recorded as
    such.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cached.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for rows in _encoded(source, file, encoders, size_px, cache.min_side_px):
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        cache.storage.put_file(cache.key_of(source_name, file), path)


def _encoded(
    source: Source, file: str, encoders: FrozenEncoders, size_px: int, min_side_px: int
) -> Iterator[list[dict[str, Any]]]:
    """Rows of whole records, about `IMAGES_AT_ONCE` at a time."""
    count = min(IMAGES_AT_ONCE, max(1, PIXELS_AT_ONCE // size_px**2))
    rows: list[dict[str, Any]] = []
    broken = ""
    records = source.read(file)
    while True:
        try:
            record = next(records, None)
        except BrokenFile as error:
            record, broken = None, str(error)
        if record is not None:
            rows += _rows(record, encoders, size_px, min_side_px)
        if rows and (record is None or len(rows) >= IMAGES_AT_ONCE):
            for start in range(0, len(rows), count):
                _encode(rows[start : start + count], encoders)
            yield rows
            rows = []
        if record is None:
            break
    if broken:
        yield [{"key": "", "broken_file": broken}]


def _rows(record: Record, encoders: FrozenEncoders, size_px: int, min_side_px: int) -> list[dict[str, Any]]:
    """One row per image of a record, with its pixels in place of what they will be encoded to."""
    shared = {"key": record.key, "text": record.text, "class_name": record.class_name, "kind": record.kind}
    rows: list[dict[str, Any]] = []
    for name, image in record.images.items():
        row: dict[str, Any] = {**shared, "name": name}
        try:
            decoded = image()
            assert isinstance(decoded, np.ndarray)
            row["side_px"] = side_of(decoded, min_side_px, record.key)
            row["pixels"] = fit_square(decoded, size_px)
        except ImageError as error:
            row |= {"error": str(error), "too_small": isinstance(error, TooSmall)}
        rows.append(row)
    depth = record.depth
    target = next((row["pixels"] for row in rows if row["name"] == "target" and "pixels" in row), None)
    if encoders.depth_estimator is not None and target is not None:
        estimated = encoders.depths([target])[0].astype(np.float32)
        depth = lambda: estimated  # noqa: E731
    if rows:
        rows[0]["mask"] = _stored(record.mask, encode_mask, size_px)
        rows[0]["depth"] = _stored(depth, encode_depth, size_px)
    return rows


def _encode(rows: list[dict[str, Any]], encoders: FrozenEncoders) -> None:
    """Replaces the pixels of rows by latents and tokens."""
    whole = [row for row in rows if "pixels" in row]
    if not whole:
        return
    images = [row.pop("pixels") for row in whole]
    latents = encoders.latents(images).cpu().numpy().astype(np.float16)
    tokens = encoders.tokens(images, [row["class_name"] for row in whole]).cpu().numpy().astype(np.float16)
    for index, row in enumerate(whole):
        for name, arrays in (("latents", latents), ("tokens", tokens)):
            row[name], row[f"{name}_shape"] = arrays[index].tobytes(), list(arrays.shape[1:])


def _stored(decode: LazyArray | None, encode: Callable[[np.ndarray], bytes], size_px: int) -> bytes | None:
    """A mask or depth map at training size; a broken one is stored as bytes that will not decode either."""
    if decode is None:
        return None
    try:
        return encode(fit_array(decode(), size_px))
    except ImageError as error:
        return f"broken: {error}".encode()


def _later(decode: Callable[[bytes, str], np.ndarray], value: pa.Scalar, name: str) -> LazyArray | None:
    return partial(_decoded, decode, value, name) if value.is_valid else None


def _decoded(decode: Callable[[bytes, str], np.ndarray], value: pa.Scalar, name: str) -> np.ndarray:
    return decode(value.as_py(), name)


def _load(batch: pa.RecordBatch, index: int, row: Mapping[str, Any], shapes: Shapes) -> Encoded:
    if row["error"]:
        raise (TooSmall if row["too_small"] else ImageError)(row["error"])
    if row["side_px"] is None or row["side_px"] < 1:
        raise ImageError(f"{row['key']} {row['name']}: cached without its side")
    encoded = Encoded(array_of(batch, index, "latents"), array_of(batch, index, "tokens"), row["side_px"])
    if (encoded.latents.shape, encoded.tokens.shape) != shapes:
        raise ImageError(f"{row['key']} {row['name']}: cached in other shapes than the first image")
    return encoded
