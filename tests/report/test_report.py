"""The report of a small fake run: what a reader sees in the page."""

import base64
import hashlib
import io
import re
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.report_size import counts_of
from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.filters import SCORES
from toffee_pipeline.images import encode, encode_depth, encode_mask, encode_png
from toffee_pipeline.nano import world
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.report.page import REPORT, write_report
from toffee_pipeline.report.sample import MAX_SHARDS
from toffee_pipeline.report.sheets import MAX_NEAR, MAX_REASONS, MAX_REJECTED
from toffee_pipeline.report.tiles import MAX_THUMBNAIL_BYTES, PARTS, THUMBNAIL_PX, thumbnail
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import MAX_UNREADABLE, RunCounts, ShardCounts, Summary
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.totals import Totals
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS, PAIRS
from toffee_pipeline.storage import LocalStorage, Storage

pytestmark = pytest.mark.slow

HOSTILE = '<script>alert("x")</script>\'"><img src=x onerror=alert(1)>'
NO_GUARDS = tuple(f"stages.judge.{bound}=null" for bound in ("max_dino", "min_hash_distance", "min_change"))
CATALOG = load_catalog("nano")
CONFIG = load_config("nano", ("seed=7", "size_px=64", "placement=fused", "stages.judge.min_dino=0.55", *NO_GUARDS))


def run_of(num_pairs: int, size_px: int = CONFIG.size_px) -> GenerationRun:
    """A run that planned so many pairs."""
    return GenerationRun(
        job="generate",
        code_version="0.1.0",
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        config=CONFIG.model_copy(update={"size_px": size_px}),
        plan_hash="0123456789abcdef",
        num_rows=num_pairs,
        num_shards=num_pairs,
        roles={"subject": "renderer (stand-in)", "refiner": "nano weights 77", "view": "untrained (random weights)"},
    )


@cache
def picture(
    class_name: str,
    seed: int,
    turn: float = 0.0,
    place: str = "on a white table",
    style: str = "photo",
    size_px: int = 64,
) -> world.Rendering:
    return world.render(world.make_toy(class_name, seed), world.View(0.4 + turn, 0.2), place, style, size_px, seed)


def fake_pair(number: int, kind: str, status: str = "accepted", size_px: int = 64, **changes: Any) -> dict[str, Any]:
    """One row with the columns of data and ledger, and pictures of the small world."""
    class_name = world.CLASS_NAMES[number % len(world.CLASS_NAMES)]
    category = CATEGORIES[number % 6] if kind == "edit" else CATEGORIES[number % 2]
    options = CATALOG.choices(class_name, category)
    change = options[number % len(options)]
    subject, other = picture(class_name, number, size_px=size_px), picture(class_name, number, 0.9, size_px=size_px)
    shown = {"place": "on a beach", "size_px": size_px}
    shown |= {"background": {"place": change}, "style": {"style": change}}.get(category, {})
    target, draft = picture(class_name, number, **shown), picture(class_name, number + 1, **shown)
    save = encode_png if size_px <= 64 else lambda rgb: encode(rgb, "jpeg")
    images = {
        "input_image": save(subject.rgb if kind == "edit" else other.rgb),
        "target_image": save(target.rgb),
        "mask": encode_mask(subject.mask),
        "depth": encode_depth(subject.inverse_depth),
        "subject_image": save(subject.rgb),
        "draft_image": save(draft.rgb),
    }
    return {
        **{name: {"bytes": data, "path": None} for name, data in images.items()},
        "pair_id": f"p{number:09d}",
        "subject_id": f"s{number // 4:08d}",
        "kind": kind,
        "category": category,
        "class_name": class_name,
        "subject_prompt": f"a photo of a {class_name}",
        "prompt": CATALOG.prompt(class_name, category, change),
        "draft_prompt": CATALOG.draft_prompt(class_name, f"a photo of a {class_name}", category, change),
        "instruction": CATALOG.instruction(class_name, category, change),
        "input_prompt": f"a photo of a {class_name}",
        "change": change,
        "subject_seed": number,
        "pair_seed": number,
        "edit_region": None,
        "reversed_from": None,
        "source_path": None,
        "source": None,
        "status": status,
        "reason": {"rejected": "low_dino"}.get(status),
        "error": {"failed": "the image is broken"}.get(status),
        "dino_score": 0.81 - 0.4 * (status == "rejected"),
        "clip_score": 0.33,
        "subject_clip_score": None,
        "draft_clip_score": None,
        "refined_dino_score": None,
        "clip_gain_score": 0.05,
        "aesthetic_score": None,
        "hash_distance_score": None if kind == "edit" else 28.0,
        "change_score": 31.0 if kind == "edit" else None,
        "subject_phash": "0123456789abcdef",
        "stage_s": dict.fromkeys(MODEL_STAGES, 0.1),
        **changes,
    }


def commit(
    storage: Storage,
    shard: int,
    rows: list[dict[str, Any]],
    keep_rejected: bool = True,
    counts: ShardCounts | None = None,
) -> None:
    def file(folder: str, name: str, chosen: list[dict[str, Any]], schema: pa.Schema) -> ShardFile:
        buffer = io.BytesIO()
        columns = [{name: row[name] for name in schema.names} for row in chosen]
        pq.write_table(pa.Table.from_pylist(columns, schema=schema), buffer, row_group_size=3)
        return ShardFile(folder, name, buffer.getvalue(), len(chosen))

    accepted = [row for row in rows if row["status"] == "accepted"]
    files = [
        *(file("data", kind, [row for row in accepted if row["kind"] == kind], PAIRS.data) for kind in PAIRS.files),
        file("_rejected", "pair", [row for row in rows if row["status"] == "rejected" and keep_rejected], PAIRS.data),
        file("_ledger", "pair", rows, PAIRS.ledger),
    ]
    counts = counts or ShardCounts.model_validate(summary_of(rows).model_dump())
    assert commit_shard(storage, shard, files, counts)


def summary_of(rows: list[dict[str, Any]]) -> Summary:
    return Summary(**counts_of(rows, row_s=2.0).model_dump(), elapsed_s=90.0, pairs_per_s=0.5)


def write(folder: Path, shards: list[list[dict[str, Any]]], size_px: int = CONFIG.size_px, **options: Any) -> str:
    storage = LocalStorage(str(folder))
    for shard, rows in enumerate(shards):
        commit(storage, shard, rows)
    summary = summary_of([row for rows in shards for row in rows])
    assert write_report(storage, run_of(summary.planned, size_px), summary, **options) == REPORT
    return (folder / REPORT).read_text()


def text_of(page: str) -> str:
    """What a reader sees, in one line."""
    body = page[page.index("<body>") :]
    return " ".join(re.sub(r"<[^>]*>", " ", body).replace("&#34;", '"').split())


@pytest.fixture(scope="module")
def shards() -> list[list[dict[str, Any]]]:
    rows = [fake_pair(number, "generation" if number % 2 else "edit") for number in range(8)]
    rows += [fake_pair(8, "edit", "rejected"), fake_pair(9, "generation", "rejected"), fake_pair(10, "edit", "failed")]
    return [rows[:6], rows[6:]]


@pytest.fixture(scope="module")
def page(shards: list[list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("run"), shards)


def test_numbers_equal_the_summary(page: str) -> None:
    text = text_of(page)
    assert "8 accepted pairs 72.7 % of 11 planned" in text
    assert "accepted 8 72.7 %" in text
    assert "rejected: low_dino 2 18.2 %" in text
    assert "failed 1 9.1 %" in text
    assert "different subjects: DINO below 0.55" in text
    assert "generation 4 5 80.0 %" in text
    assert "edit 4 6 66.7 %" in text
    assert "4 accepted edit pairs: outside of its mask each target is its input" in text
    assert "not accounted for" not in text
    for row in (f"{world.CLASS_NAMES[7]} 1 1 100.0 %", f"{world.CLASS_NAMES[8]} 0 1 0.0 %", "color 1 2 50.0 %"):
        assert row in text
    assert "draft 11 22 s 2 s" in text
    assert "draft 1.26 s 2 s 1.59" in text  # the profile's seconds per pair, those of the run, and their ratio
    assert f"{len(MODEL_STAGES) * 22 / 8:.3g} s model time per accepted pair" in text
    assert "0.5 pairs per second of the last start 90 s elapsed in the last start" in text
    assert "goes on" not in text


def test_run_facts_and_marked_roles(page: str) -> None:
    text = text_of(page)
    for fact in ("Seed 7", "64 × 64 px", "fused", "0123456789abcdef", "0.1.0", "Started 2026-01-02T03:04:05Z"):
        assert fact in text
    marked = re.findall(r'<span class="tag mark">(.*?)</span>', page)
    assert marked == ["renderer (stand-in)", "untrained (random weights)"]
    assert "refiner nano weights 77" in text


def test_every_picture_decodes_and_nothing_is_fetched(page: str) -> None:
    uris = re.findall(r'<img src="data:image/(?:png|webp);base64,([^"]+)"', page)
    kinds = Counter(re.findall('data-kind="(.*?)"', page))
    assert len(uris) == len(re.findall("<img", page)) == 5 * kinds["generation"] + 4 * kinds["edit"]
    assert kinds["generation"] >= 5 and kinds["edit"] >= 5
    for uri in uris:
        image = Image.open(io.BytesIO(base64.b64decode(uri, validate=True)))
        image.load()
        assert image.size == (64, 64)
    assert page.count('class="pixelated"') == len(uris)
    assert not re.search(r"https?:|<link|<iframe|@import|url\(", page)


def test_no_script_but_its_own_may_run(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)[1]
    (script,) = re.findall("<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert page.count("<script") == 1 and not re.search(r"\son\w+=", page)


def test_thresholds_stand_in_the_distributions(page: str) -> None:
    plots = {each[0]: each for each in re.findall(r'aria-label="(\w[\w ]*): (\d+) pairs, median ([\d.]+)(.*?)"', page)}
    assert plots["DINO"] == ("DINO", "11", "0.81", ", threshold at least 0.55")
    assert plots["CLIP"][3] == ", threshold at least 0.25"
    dino = page[page.index('aria-label="DINO') :]
    dino = dino[: dino.index("</svg>")]
    bars = [tuple(map(int, counts)) for counts in re.findall(r"<title>\S+ to \S+: (\d+) accepted, (\d+) not", dino)]
    assert bars == [(0, 2), (8, 1)]
    threshold = float(re.search(r'class="threshold" x1="([\d.]+)"', dino)[1])
    low, high = (float(x) for x in re.findall(r'class="(?:accepted|rejected)" x="([\d.]+)"', dino)[::2])
    assert low < threshold < high


def test_rows_next_to_a_threshold_are_shown(tmp_path: Path) -> None:
    scores = (0.9, 0.56, 0.54, 0.2)
    rows = [fake_pair(number, "edit", "accepted", dino_score=score) for number, score in enumerate(scores)]
    rows = [{**row, "status": "rejected", "reason": "low_dino"} if row["dino_score"] < 0.55 else row for row in rows]
    shards = [[{**row, "pair_id": f"p{shard}-{row['dino_score']}"} for row in rows] for shard in range(3)]
    text = text_of(write(tmp_path, shards))
    sheet = text[text.index("Near the threshold: DINO at least 0.55") : text.index("Near the threshold: CLIP at")]
    assert re.findall(r"p\d-([\d.]+): its story", sheet) == ["0.56"] * 3 + ["0.54"] * 3


def test_a_card_tells_the_whole_story(page: str, shards: list[list[dict[str, Any]]]) -> None:
    rejected = next(row for row in shards[1] if row["reason"])
    rejected = {**rejected, "pair_seed": "8"}
    text = text_of(page)
    told = text[text.index(f"{rejected['pair_id']}: its story") :]
    told = told[: told.index(f"all {len(MODEL_STAGES) * 0.1:.1f} s")]
    assert "rejected: input and target show different subjects: DINO below 0.55" in told
    assert "DINO 0.4100 at least 0.55" in told
    for name in ("prompt", "draft_prompt", "subject_prompt", "subject_seed", "pair_seed", "subject_id"):
        assert f"{name.replace('_', ' ')} {rejected[name]}" in told
    assert all(f"{stage} 0.1 s" in told for stage in MODEL_STAGES)


def test_edit_cards_show_the_mask_over_the_input(page: str, shards: list[list[dict[str, Any]]]) -> None:
    row = shards[0][0]
    card = page[page.rindex("<article", 0, page.index(row["pair_id"])) : page.index(row["pair_id"])]
    shown = [
        np.array(Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGB"))
        for uri in re.findall(r'base64,([^"]+)"', card)
    ]
    labels = re.findall("<figcaption>(.*?)</figcaption>", card)
    assert labels == ["input = subject", "editing mask", "draft", "target"]
    mask = np.array(Image.open(io.BytesIO(row["mask"]["bytes"]))) > 0
    assert (shown[0][~mask] == shown[1][~mask]).all()
    assert (shown[0][mask] != shown[1][mask]).any(-1).mean() > 0.9
    assert row["prompt"] in card and "0.81" in card and "0.33" in card


def test_generation_cards_tell_the_story(page: str) -> None:
    section = page[page.index("Accepted generation pairs") : page.index("Accepted edit pairs")]
    labels = re.findall("<figcaption>(.*?)</figcaption>", section)
    assert labels == ["subject", "its mask", "draft", "target, refined", "input, other view"] * (len(labels) // 5)


def test_rejected_and_failed_are_told(page: str) -> None:
    text = text_of(page)
    assert '<span class="tag bad">low_dino</span>' in page
    assert "1 the image is broken" in text
    assert "p000000010 edit" in text


def test_a_class_below_its_quota_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    statuses = ("accepted", "rejected", "rejected", "accepted")
    rows = [fake_pair(number, "edit", status, class_name="mug") for number, status in enumerate(statuses)]
    rows += [fake_pair(4 + number, "edit", "rejected", class_name="boat") for number in range(3)]
    text = text_of(write(tmp_path, [rows]))
    told = text[text.index("Classes below their quota") : text.index("Yield")]
    assert "1 of 2: less than 50.0 %" in told and "boat 0 3 2 low_dino" in told and "mug" not in told


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    texts = dict.fromkeys(("prompt", "subject_prompt", "change", "class_name", "pair_id", "subject_id"), HOSTILE)
    rows = [fake_pair(0, "edit", **texts), fake_pair(1, "edit", "failed", **texts, error=HOSTILE)]
    page = write(tmp_path, [rows])
    assert page.count("<script") == 1 and HOSTILE not in page
    assert "onerror=alert(1)&gt;" in page
    assert all(src.startswith("data:") for src in re.findall(r'<img[^>]*src="([^"]*)"', page))
    assert "<article" in page and len(re.findall("<img", page)) == 4 * page.count("<article")


def test_large_pictures_become_thumbnails(tmp_path: Path) -> None:
    page = write(tmp_path, [[fake_pair(0, "generation", size_px=320)]], size_px=320)
    uris = re.findall(r"data:image/webp;base64,([^\"]+)", page)
    assert [Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris] == [
        (THUMBNAIL_PX, THUMBNAIL_PX)
    ] * 5 * page.count("<article")
    assert "pixelated" not in page[page.index("<body>") :]


def test_many_pairs_stay_bounded_and_varied(tmp_path: Path) -> None:
    template = [fake_pair(number, "edit") for number in range(24)]
    shards = [
        [
            {**row, "pair_id": f"p{24 * shard + k:09d}", "subject_id": f"s{6 * shard + k // 4:08d}"}
            for k, row in enumerate(template)
        ]
        for shard in range(10)
    ]
    page = write(tmp_path, shards, max_pairs=12)
    section = page[page.index("Accepted edit pairs") : page.index("Near the threshold")]
    ids = re.findall(r"(p\d{9}): its story", section)
    assert len(ids) == len(set(ids)) == 12
    assert ids == sorted(ids)
    assert len({int(pair_id[1:]) // 24 for pair_id in ids}) >= 6
    assert len(set(re.findall(r'<span class="tag">(\w+): ', page))) == 6
    assert len(page) < 1_000_000


def test_the_largest_page_is_below_20_mb() -> None:
    """Of pictures that no codec can make smaller, as many as there may ever be."""
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    for rgb in (noise, noise[:128, :128], noise[:64, :64]):
        assert len(thumbnail(rgb)[0]) <= MAX_THUMBNAIL_BYTES
    num_bounds = sum(len(score.bounds) for score in SCORES)
    num_cards = 48 + MAX_NEAR * num_bounds + MAX_REJECTED * MAX_REASONS
    num_pictures = num_cards * max(len(parts) for parts in PARTS.values())
    assert num_pictures * MAX_THUMBNAIL_BYTES * 4 / 3 + num_cards * 10_000 < 20e6


class Recorded(LocalStorage):
    """Notes what is read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.read: list[str] = []

    def open(self, key: str) -> BinaryIO:
        self.read.append(key)
        return super().open(key)


def test_only_some_shards_are_read(tmp_path: Path) -> None:
    storage = Recorded(str(tmp_path))
    row = fake_pair(0, "edit")
    for shard in range(MAX_SHARDS + 10):
        commit(storage, shard, [{**row, "pair_id": f"p{shard:09d}"}])
    storage.read.clear()
    write_report(storage, run_of(MAX_SHARDS + 10), summary_of([row] * (MAX_SHARDS + 10)), max_pairs=4)
    folders = Counter(key.split("/")[0] for key in storage.read)
    assert folders["_manifests"] == MAX_SHARDS
    assert 4 <= folders["data"] <= 4 + 3  # those on the sheet, and those next to a threshold
    assert folders["_ledger"] == MAX_SHARDS + folders["data"]  # of a card's row also what its story tells


def test_one_kind_fills_what_the_other_lacks(tmp_path: Path) -> None:
    rows = [fake_pair(number, "edit" if number else "generation") for number in range(8)]
    page = write(tmp_path, [rows], max_pairs=6)
    sheets = page[page.index("Accepted generation") : page.index("Near the threshold")]
    assert sheets.count("<article") == 6
    assert "1 examples" not in text_of(page)


def test_empty_run_says_so(tmp_path: Path) -> None:
    page = write(tmp_path, [[fake_pair(0, "edit", "rejected")]])
    assert "No pair was accepted" in text_of(page)
    assert "Accepted edit" not in page and "Rejected: low_dino" in page
    storage = LocalStorage(str(tmp_path / "nothing"))
    write_report(storage, run_of(0), RunCounts())
    assert "No pair was accepted" in text_of((tmp_path / "nothing" / REPORT).read_text())


def test_images_of_rejected_pairs_not_kept(tmp_path: Path) -> None:
    storage, rows = LocalStorage(str(tmp_path)), [fake_pair(0, "edit", "rejected")]
    commit(storage, 0, rows, keep_rejected=False)
    write_report(storage, run_of(1), summary_of(rows))
    assert "output.keep" in (tmp_path / REPORT).read_text()


def test_unreadable_files_are_named_up_to_a_bound(tmp_path: Path) -> None:
    why = {f"dog/{number:02d}{HOSTILE}.jpg": "empty, 0 bytes" for number in range(30)}
    write_report(
        LocalStorage(str(tmp_path)), run_of(60), RunCounts(planned=60, rejected={"unreadable": 60}, unreadable=why)
    )
    page = (tmp_path / REPORT).read_text()
    assert "30 files of yours: 60 pairs rejected" in text_of(page) and "And 10 more" in text_of(page)
    assert page.count("empty, 0 bytes") == 20 and HOSTILE not in page
    assert "least" not in text_of(page)


def test_of_unreadable_files_without_end_a_report_says_at_least_how_many(tmp_path: Path) -> None:
    totals = Totals()
    for shard in range(3):
        why = {f"{shard}-{number}.jpg": "empty, 0 bytes" for number in range(400)}
        totals.add(ShardCounts(planned=400, rejected={"unreadable": 400}, unreadable=why))
    assert len(totals.unreadable) == MAX_UNREADABLE and totals.unreadable.keys() >= {"0-0.jpg", "2-199.jpg"}
    write_report(LocalStorage(str(tmp_path)), run_of(1200), totals.counts())
    page = text_of((tmp_path / REPORT).read_text())
    assert "At least 1,000 files of yours: 1,200 pairs rejected" in page and "And at least 980 more" in page


def test_uncommitted_files_are_not_read(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    commit(storage, 0, [fake_pair(0, "edit")])
    storage.delete("_manifests/shard-000000.json")
    write_report(storage, run_of(1), summary_of([fake_pair(0, "edit")]))
    assert "<article" not in (tmp_path / REPORT).read_text()


def test_missing_and_broken_pictures_leave_the_page_whole(tmp_path: Path) -> None:
    broken = {"bytes": b"not an image", "path": None}
    page = write(
        tmp_path, [[fake_pair(0, "edit", "rejected", target_image=None, draft_image=broken, reason="no_mask")]]
    )
    assert "not made" in page
    assert "draft_image: not an image" in page
    assert page.count("<img") == 2


def test_counts_that_do_not_add_up_are_shown(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    write_report(storage, run_of(10), RunCounts(planned=10, accepted=4, rejected={"low_clip": 1}, failed=2))
    assert "not accounted for 3 30.0 %" in text_of((tmp_path / REPORT).read_text())


def test_a_run_that_goes_on_tells_what_is_computed_and_what_is_to_come(tmp_path: Path) -> None:
    counts = RunCounts(planned=8, accepted=7, failed=1, by_kind={"edit": {"planned": 8, "accepted": 7, "failed": 1}})
    write_report(LocalStorage(str(tmp_path)), run_of(20), counts)
    text = text_of((tmp_path / REPORT).read_text())
    assert "The run goes on: 12 of 20 pairs are still to come." in text
    assert "7 accepted pairs 87.5 % of 8 computed so far" in text
    assert "planned 20 100.0 %" in text and "to come 12 60.0 % not computed yet" in text
    assert "Kind accepted computed share edit 7 8 87.5 %" in text
    assert "not accounted for" not in text and "elapsed" not in text


def test_fake_rows_have_every_column() -> None:
    assert set(fake_pair(0, "edit")) == {*IMAGE_COLUMNS, *PAIRS.data.names, *PAIRS.ledger.names}
