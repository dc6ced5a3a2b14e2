"""A row of a run as a card: its pictures, and its story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toffee_pipeline.report.sample import Chosen
from toffee_pipeline.report.shard_rows import Row, read_ledger
from toffee_pipeline.report.story import Story, tell
from toffee_pipeline.report.tiles import Tile, columns_for, inline_tile, parts_of
from toffee_pipeline.rundir.description import DatasetRun
from toffee_pipeline.rundir.manifests import read_manifests
from toffee_pipeline.rundir.pictures import ShardPictures
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import Storage


@dataclass(frozen=True)
class Card:
    row: Row
    tiles: tuple[Tile, ...]
    story: Story


def inline_cards(storage: Storage, run: DatasetRun, chosen: Sequence[Chosen]) -> dict[str, Card]:
    """By id, with the pictures inside; without the rows whose images are not kept. One shard's are read at a time."""
    shards = {each.manifest.shard: each.manifest for each in chosen}
    cards: dict[str, Card] = {}
    for number, manifest in sorted(shards.items()):
        of_shard = ShardPictures(storage, manifest, run.table)
        ids = [each.row["id"] for each in chosen if each.manifest.shard == number]
        for row in read_ledger(storage, manifest, run.table, ids):
            kind, parts = row["kind"], parts_of(row["kind"], run.table)
            columns = {needed for column in parts.values() for needed in columns_for(kind, column)}
            if pictures := of_shard.of(row["id"], columns):
                tiles = tuple(
                    inline_tile(label, kind, column, pictures, run.config.max_pixels) for label, column in parts.items()
                )
                cards[row["id"]] = Card(row, tiles, tell(row, run))
    return cards


def collect_failed(storage: Storage, table: Table, count: int) -> list[Row]:
    """The first `count` failed rows of the ledger."""
    failed: list[Row] = []
    for manifest in read_manifests(storage) if count else ():
        if manifest.counts.failed:
            failed += [row for row in read_ledger(storage, manifest, table) if row["status"] == "failed"]
        if len(failed) >= count:
            break
    return failed[:count]
