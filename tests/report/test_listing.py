"""Rows page by page: which are found, and what is read for it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, BinaryIO

import numpy as np
import pytest

from tests.report.test_report import Recorded, commit, fake_pair, run_of
from toffee_pipeline.errors import RequestError
from toffee_pipeline.report.listing import MAX_SHARDS, Listing
from toffee_pipeline.report.wanted import Wanted
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import claim
from toffee_pipeline.rundir.layout import manifest_key
from toffee_pipeline.rundir.manifests import Manifest
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.subjects import SUBJECTS
from toffee_pipeline.storage import LocalStorage

ANY = Wanted({})
COUNTS = ShardCounts(
    planned=3,
    accepted=1,
    rejected={"low_clip": 1},
    failed=1,
    by_kind={"edit": {"planned": 3, "accepted": 1, "rejected": 1, "failed": 1}},
    by_class={"mug": {"planned": 2, "accepted": 1, "rejected": 1}, "boat": {"planned": 1, "failed": 1}},
)


def wanted(**query: str) -> Wanted:
    return Wanted.from_query(query, PAIRS)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return fake_pair(0, "edit")


@pytest.fixture
def storage(tmp_path, template) -> Recorded:
    """Shards 1 to 5 of six, of four rows each, the last of them rejected; shard 0 is not committed."""
    storage = Recorded(str(tmp_path))
    claim(storage, run_of(24))
    for shard in range(1, 6):
        rows = [{**template, "pair_id": f"p{shard}-{row}", "dino_score": shard / 10} for row in range(4)]
        rows[3] |= {"status": "rejected", "reason": "low_dino"}
        commit(storage, shard, rows, counts=ShardCounts(planned=4, accepted=3, rejected={"low_dino": 1}))
    storage.read.clear()
    return storage


def ids(page) -> list[str]:
    return [found.row["id"] for found in page.rows]


def test_pages_lead_from_one_end_to_the_other_and_back(storage):
    listing, place, forth = Listing(storage), (0, 0), []
    while place is not None:
        page = listing.after(ANY, place, 7)
        forth.append(ids(page))
        place = page.rest
    everything = [f"p{shard}-{row}" for shard in range(1, 6) for row in range(4)]
    assert [id for page in forth for id in page] == everything
    assert [len(page) for page in forth] == [7, 7, 6]
    place, back = (9, 0), []
    while place is not None:
        page = listing.before(ANY, place, 7)
        back = ids(page) + back
        place = page.rest
    assert back == everything


def test_places_are_those_of_the_rows(storage):
    page = Listing(storage).after(ANY, (2, 3), 2)
    assert [found.place for found in page.rows] == [(2, 3), (3, 0)]
    assert ids(Listing(storage).before(ANY, (3, 0), 1)) == ["p2-3"]


def test_only_what_is_wanted_is_found(storage):
    listing = Listing(storage)
    assert ids(listing.after(wanted(status="rejected"), (0, 0), 3)) == ["p1-3", "p2-3", "p3-3"]
    assert ids(listing.before(wanted(reason="low_dino"), (4, 0), 2)) == ["p2-3", "p3-3"]
    assert ids(listing.after(wanted(score="dino", low="0.35", high="0.45"), (0, 0), 9)) == [f"p4-{n}" for n in range(4)]
    assert ids(listing.after(wanted(status="failed"), (0, 0), 3)) == []


def test_no_more_is_read_than_a_page_needs(storage):
    listing = Listing(storage)
    storage.read.clear()
    listing.after(ANY, (2, 0), 3)
    assert [key.split("/")[0] for key in storage.read] == ["_manifests", "_ledger"]
    storage.read.clear()
    assert ids(listing.after(wanted(status="failed"), (0, 0), 3)) == []
    assert {key.split("/")[0] for key in storage.read} == {"_manifests"}  # their counts tell that no ledger has one


class CountedFile:
    """Adds up the bytes that are read of a file."""

    def __init__(self, file: BinaryIO, counted: Counter[str], key: str) -> None:
        self._file, self._counted, self._key = file, counted, key

    def read(self, *args: int) -> bytes:
        data = self._file.read(*args)
        self._counted[self._key] += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> CountedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Counted(LocalStorage):
    """Counts the bytes that are read, by file."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.num_bytes: Counter[str] = Counter()

    def open(self, key: str) -> Any:
        return CountedFile(super().open(key), self.num_bytes, key)


def test_pictures_are_read_of_one_row_group_and_column(tmp_path, template):
    """Of four groups of three rows, and of columns of half a megabyte in a row."""
    storage, rng = Counted(str(tmp_path)), np.random.default_rng(0)
    claim(storage, run_of(12))
    large = {name: {"bytes": rng.bytes(500_000), "path": None} for name in ("target_image", "draft_image")}
    commit(storage, 0, [{**template, **large, "pair_id": f"p{row}"} for row in range(12)])
    (data,) = (key for key, _ in storage.list("data/"))
    listing = Listing(storage)
    shard = listing.shard(0)
    assert listing.shard(0) is shard
    shard.pictures.of(shard.rows[4]["id"], ["mask"])
    before = storage.num_bytes[data]
    assert before < 300_000  # the footer, the ids and three masks
    assert shard.pictures.of("p4", ["target_image"])["target_image"] == large["target_image"]["bytes"]
    assert 0 < storage.num_bytes[data] - before < 4 * 500_000
    assert shard.pictures.of("p99", ["mask"]) is None


def test_a_search_for_what_is_rare_stops_and_can_go_on(tmp_path, template):
    storage = Recorded(str(tmp_path))
    num_shards = MAX_SHARDS + 3
    claim(storage, run_of(num_shards))
    for shard in (0, MAX_SHARDS + 1):
        commit(storage, shard, [{**template, "pair_id": f"p{shard}", "status": "failed"}], counts=ShardCounts(failed=1))
    for shard in {*range(num_shards)} - {0, MAX_SHARDS + 1}:
        manifest = Manifest(
            shard=shard, attempt="0", committed=datetime.now(UTC), files=(), counts=ShardCounts(planned=1)
        )
        (tmp_path / manifest_key(shard)).write_bytes(manifest.encode())
    listing, failed = Listing(storage), wanted(status="failed")
    first = listing.after(failed, (0, 0), 5)
    assert (ids(first), first.rest) == (["p0"], (MAX_SHARDS, 0))
    assert ids(listing.after(failed, first.rest, 5)) == [f"p{MAX_SHARDS + 1}"]
    last = listing.before(failed, (num_shards, 0), 5)
    assert (ids(last), last.rest) == ([f"p{MAX_SHARDS + 1}"], (3, 0))
    assert ids(listing.before(failed, last.rest, 5)) == ["p0"]


@pytest.mark.parametrize(
    ("query", "may"),
    [
        ({}, True),
        ({"status": "failed", "class": "boat"}, True),
        ({"status": "accepted", "class": "boat"}, False),
        ({"reason": "low_clip", "class": "mug"}, True),
        ({"reason": "low_dino"}, False),
        ({"kind": "generation"}, False),
        ({"category": "style"}, True),  # not counted here
        ({"status": "none such"}, False),
    ],
)
def test_counts_tell_which_shards_need_not_be_read(query, may):
    assert wanted(**query).may_fit(COUNTS) == may


def test_a_query_says_what_it_wants():
    asked = wanted(kind="edit", reason="", score="clip", high="0.3", unknown="x")
    assert asked.query == "kind=edit&score=clip&high=0.3"
    assert wanted(score="clip").query == ""
    assert Wanted.from_query({"kind": "edit", "class": "mug"}, SUBJECTS).query == "class=mug"  # which have no kinds
    with pytest.raises(RequestError, match="low 'x': allowed is a number"):
        wanted(score="clip", low="x")
    with pytest.raises(RequestError, match="score 'none': allowed are subject_clip, draft_clip, refined_dino, dino, "):
        wanted(score="none", low="1")
