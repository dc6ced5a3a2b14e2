"""What a report shows of pairs, or of a bank's subjects: spread over committed shards, with pictures small enough to
inline."""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from toffee_pipeline.errors import ImageError
from toffee_pipeline.images import decode, decode_depth, decode_mask, encode, encode_png
from toffee_pipeline.rundir.commit import Manifest, committed_shards, read_manifest, read_manifests
from toffee_pipeline.schema import Table
from toffee_pipeline.storage import Storage

MAX_SHARDS = 64
SPREAD = 8
"""A report's pairs come from about this many shards: more variety costs a download of each."""
THUMBNAIL_PX = 256
PIXELATED_PX = 128
TINT = np.array([255, 64, 160], np.float32)
TILES = {
    "generation": (
        ("subject", "subject_image"),
        ("draft", "draft_image"),
        ("target, refined", "target_image"),
        ("input, other view", "input_image"),
    ),
    "edit": (
        ("input = subject", "input_image"),
        ("editing mask", "mask"),
        ("draft", "draft_image"),
        ("target", "target_image"),
    ),
    "subject": (("image", "image"), ("mask", "mask"), ("depth", "depth")),
}
"""For each kind of pair, and a bank's subjects, the label and column of the pictures, in the order in which they came
about."""
UNDER_MASK = {"edit": "input_image", "subject": "image"}
"""The picture that a mask is shown on."""
FAILED_COLUMNS = ("kind", "category", "class_name", "prompt", "error")


@dataclass(frozen=True)
class Tile:
    """One picture. src: a data URI, or None with the reason in `missing`."""

    label: str
    src: str | None
    pixelated: bool = False
    missing: str = ""


@dataclass(frozen=True)
class Card:
    """One row of a table: its columns of text, its `kind` ("subject" of a bank's) and `id`, and its pictures."""

    row: dict[str, Any]
    tiles: tuple[Tile, ...]


def collect_cards(
    storage: Storage, table: Table, folder: str, quotas: Mapping[str, int], balance: str
) -> dict[str, list[Card]]:
    """Up to `quotas[kind]` rows of each kind from the files of `folder`, sorted by their id.

    Takes evenly from the values of the column `balance` and from subjects. Reads at most `MAX_SHARDS` files, one at a
    time, and of the pictures one column at a time, so that memory does not grow with the run.
    """
    cards: dict[str, list[Card]] = {kind: [] for kind in quotas}
    spare: dict[str, list[Card]] = {kind: [] for kind in quotas}
    taken: Counter[tuple[str, str | None]] = Counter()
    shards = sorted(committed_shards(storage))
    shards = random.Random(0).sample(shards, min(len(shards), MAX_SHARDS))
    for shard in shards:
        if all(len(cards[kind]) >= quota for kind, quota in quotas.items()):
            break
        for file in _files(storage, read_manifest(storage, shard), folder):
            text = [name for name in table.data.names if name not in table.images]
            rows = [_named(row, table) for row in file.read(columns=text).to_pylist()]
            place: dict[int, list[Card]] = {}
            for kind, quota in quotas.items():
                if not (left := quota - len(cards[kind])):
                    continue
                share = min(left, -(-quota // min(len(shards), SPREAD)))
                # what exceeds a shard's share is kept in case that the other shards have too little
                chosen = _choose(rows, kind, share + quota - len(spare[kind]), balance, taken)
                place |= dict.fromkeys(chosen[:share], cards[kind]) | dict.fromkeys(chosen[share:], spare[kind])
            for index, pictures in _pictures(file, table, sorted(place)):
                place[index].append(Card(rows[index], _tiles(rows[index]["kind"], pictures)))
    full = {kind: [*cards[kind], *spare[kind]][:quota] for kind, quota in quotas.items()}
    return {kind: sorted(found, key=lambda card: card.row["id"]) for kind, found in full.items()}


def collect_failed(storage: Storage, table: Table, count: int) -> list[dict[str, Any]]:
    """The first `count` failed rows of the ledger, with those of `FAILED_COLUMNS` that it has, and `id`."""
    failed: list[dict[str, Any]] = []
    for manifest in read_manifests(storage) if count else ():
        if manifest.counts.failed:
            for file in _files(storage, manifest, "ledger"):
                columns = [name for name in (table.id, "status", *FAILED_COLUMNS) if name in table.ledger.names]
                rows = file.read(columns=columns).to_pylist()
                failed += [_named(row, table) for row in rows if row["status"] == "failed"]
        if len(failed) >= count:
            break
    return failed[:count]


def _named(row: dict[str, Any], table: Table) -> dict[str, Any]:
    return {"kind": table.row, **row, "id": row[table.id]}


def _files(storage: Storage, manifest: Manifest, folder: str) -> Iterator[pq.ParquetFile]:
    for entry in manifest.files:
        if entry.folder == folder:
            yield pq.ParquetFile(pa.BufferReader(storage.get(entry.key)))


def _choose(
    rows: list[dict[str, Any]], kind: str, count: int, balance: str, taken: Counter[tuple[str, str | None]]
) -> list[int]:
    """Indices of up to `count` rows, each time of the group and then the subject that was taken least."""
    candidates = [index for index, row in enumerate(rows) if row["kind"] == kind]
    chosen: list[int] = []
    while candidates and len(chosen) < count:
        keys = {index: [(kind, rows[index][balance]), (kind, rows[index]["subject_id"])] for index in candidates}
        best = min(candidates, key=lambda index: [taken[key] for key in keys[index]])
        taken.update(keys[best])
        candidates.remove(best)
        chosen.append(best)
    return chosen


def _pictures(file: pq.ParquetFile, table: Table, indices: list[int]) -> Iterator[tuple[int, dict[str, bytes | None]]]:
    """The encoded pictures of the rows, from the row groups that hold them."""
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        wanted = [index for index in indices if start <= index < end]
        if wanted:
            local = [index - start for index in wanted]
            cells = {name: file.read_row_group(group, [name]).take(local)[name].to_pylist() for name in table.images}
            for position, index in enumerate(wanted):
                yield index, {name: (cells[name][position] or {}).get("bytes") for name in table.images}
        start = end


def _tiles(kind: str, pictures: Mapping[str, bytes | None]) -> tuple[Tile, ...]:
    return tuple(
        _tile(label, column, pictures, pictures.get(UNDER_MASK.get(kind, ""))) for label, column in TILES[kind]
    )


def _tile(label: str, column: str, pictures: Mapping[str, bytes | None], under: bytes | None) -> Tile:
    """under: what a mask is shown on."""
    data = pictures[column]
    if data is None or (column == "mask" and under is None):
        return Tile(label, None, missing="not made")
    try:
        if column == "mask":
            rgb = _overlay(decode(under or b""), decode_mask(data))
        elif column == "depth":
            rgb = np.repeat((255 * decode_depth(data)).astype(np.uint8)[..., None], 3, axis=2)
        else:
            rgb = decode(data, column)
        return Tile(label, _data_uri(rgb), max(rgb.shape) <= PIXELATED_PX)
    except ImageError as error:
        return Tile(label, None, missing=str(error))


def _overlay(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with the masked region tinted."""
    if mask.shape != rgb.shape[:2]:
        raise ImageError(f"mask of {mask.shape[1]} x {mask.shape[0]} px on an image of {rgb.shape[1]} x {rgb.shape[0]}")
    return np.where(mask[..., None], 0.4 * rgb + 0.6 * TINT, rgb).astype(np.uint8)


def _data_uri(rgb: np.ndarray) -> str:
    """Small pictures exactly, as PNG; larger ones scaled down to `THUMBNAIL_PX`, as WebP."""
    if max(rgb.shape) <= PIXELATED_PX:
        return f"data:image/png;base64,{base64.b64encode(encode_png(rgb, 9)).decode()}"
    image = Image.fromarray(rgb)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    return f"data:image/webp;base64,{base64.b64encode(encode(np.array(image), 'webp', 80)).decode()}"
