"""The pages of `jobs/browse.py`, as a browser asks for them."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.report.test_report import HOSTILE, commit, fake_pair, run_of, summary_of, write
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.report.site import PER_PAGE, make_site
from toffee_pipeline.report.tiles import TINT
from toffee_pipeline.rundir.commit import ShardFile, commit_shard
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import EvaluationRun, SubjectBankRun, claim
from toffee_pipeline.rundir.layout import RUN, SUMMARY
from toffee_pipeline.rundir.parquet import to_parquet
from toffee_pipeline.schema.table import Table
from toffee_pipeline.storage import LocalStorage, open_storage

pytestmark = pytest.mark.slow

HOST = "http://127.0.0.1:7861"


def rows_of(num_rows: int) -> list[dict]:
    """Edit and generation pairs, every fifth rejected, the last failed."""
    kinds = ("generation", "edit")
    rows = [fake_pair(n, kinds[n % 2], "rejected" if n % 5 == 4 else "accepted") for n in range(num_rows - 1)]
    return [*rows, fake_pair(num_rows - 1, "edit", "failed")]


@pytest.fixture(scope="module")
def rows():
    return rows_of(32)


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    """A finished run of two shards, with its report."""
    folder = tmp_path_factory.mktemp("site")
    write(folder, [rows[:12], rows[12:]])
    (folder / RUN).write_bytes(run_of(len(rows)).encode())
    (folder / SUMMARY).write_bytes(summary_of(rows).encode())
    return folder


@pytest.fixture(scope="module")
def client(folder):
    return TestClient(make_site(LocalStorage(str(folder))), base_url=HOST)


def ids(page: str) -> list[str]:
    return re.findall('<p class="id">(.*?)</p>', page)


def links(page: str, rel: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(f'rel="{rel}" href="(.*?)"', page)]


def test_every_row_is_on_one_page(client, rows):
    first = client.get("/").text
    assert "25 <" not in first and ">25</b><span>accepted pairs" in first
    (following,) = set(links(first, "next"))
    second = client.get(f"/{following}").text
    assert ids(first) + ids(second) == [row["pair_id"] for row in rows]
    assert len(ids(first)) == PER_PAGE
    assert not links(first, "prev") and not links(second, "next")
    (back,) = set(links(second, "prev"))
    assert ids(client.get(f"/{back}").text) == ids(first)


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"status": "rejected"}, lambda row: row["status"] == "rejected"),
        ({"reason": "low_dino", "kind": "edit"}, lambda row: row["reason"] == "low_dino" and row["kind"] == "edit"),
        ({"category": "style"}, lambda row: row["category"] == "style"),
        ({"class": "mug", "status": ""}, lambda row: row["class_name"] == "mug"),
        ({"score": "dino", "high": "0.5"}, lambda row: row["dino_score"] <= 0.5),
        (
            {"from": "1", "status": "rejected"},
            lambda row: row["status"] == "rejected" and row["pair_id"] >= "p000000012",
        ),
    ],
)
def test_filters(client, rows, query, fits):
    page = client.get("/", params=query).text
    assert ids(page) == [row["pair_id"] for row in rows if fits(row)]


def test_a_row_tells_its_story_and_leads_to_the_next_that_is_wanted(client, rows):
    page = client.get("/?status=rejected").text
    url = html.unescape(re.search(r'<h3><a href="(.*?)"', page)[1])
    assert url == "/rows/0/4?status=rejected"
    page = client.get(url).text
    for text in (
        "rejected: input and target show different subjects: DINO below 0.55",
        "0.4100",
        rows[4]["draft_prompt"],
    ):
        assert text in page
    (following,) = links(page, "next")
    after = client.get(following)
    assert str(after.url) == f"{HOST}/rows/0/9?status=rejected"
    assert client.get(links(after.text, "prev")[0]).url == f"{HOST}{url}"
    assert client.get(links(page, "prev")[0]).url == f"{HOST}/?status=rejected"  # it was the first


def test_images_are_sent_as_they_are_stored(client, rows):
    page = client.get("/rows/0/1").text
    sources = re.findall(r'<img src="(/images/.*?)"', page)
    assert [source.rsplit("/")[-1] for source in sources] == [
        "input_image", "mask", "draft_image", "target_image", "depth", "subject_image",
    ]  # fmt: skip
    for source in sources:
        answer = client.get(source)
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == rows[1][source.rsplit("/")[-1]]["bytes"]


def test_a_card_s_mask_is_shown_on_its_image(client, rows):
    page = client.get("/").text
    (source,) = re.findall(r'<img src="(/thumbnails/\w+/0/1/mask)"', page)
    shown = np.array(Image.open(io.BytesIO(client.get(source).content)).convert("RGB")).astype(float)
    mask = np.array(Image.open(io.BytesIO(rows[1]["mask"]["bytes"]))) > 0
    image = np.array(Image.open(io.BytesIO(rows[1]["input_image"]["bytes"])).convert("RGB"))
    assert (shown[~mask] == image[~mask]).all()
    assert np.abs(shown[mask] - (0.4 * image[mask] + 0.6 * TINT)).max() <= 1


def test_only_this_machine_s_own_name_is_answered(client):
    assert client.get("/", headers={"host": "localhost:7861"}).status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/rows/0/0", headers={"host": "127.0.0.1.evil.example"}).status_code == 400


def test_no_page_may_run_a_script_or_fetch_from_elsewhere(client):
    for path in ("/", "/rows/0/0", "/rows/9/0", "/thumbnails/x/0/0/mask"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; img-src 'self' data:;")
        assert "script-src" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_of_the_report_its_own_script_alone_may_run(client):
    report = client.get("/report")
    allowed = re.search(r"script-src ('sha256-.*?')", report.headers["content-security-policy"])[1]
    assert allowed in report.text[: report.text.index("<title>")]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/rows/7/0", 404, "no such key"),
        ("/rows/0/12", 404, "shard 0: no such pair"),
        ("/images/0123/0/0/mask", 404, "shard 0: no such pair"),  # of another attempt
        ("/?from=x", 400, "place &#39;x&#39;: allowed is SHARD or SHARD.ROW"),
        ("/?low=x", 400, "low &#39;x&#39;: allowed is a number"),
        ("/images/0123/0/0/prompt", 400, "image &#39;prompt&#39;: allowed are input_image"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(client, path, status, says):
    answer = client.get(path)
    assert answer.status_code == status
    assert says in answer.text


def test_hostile_rows_are_escaped_and_no_foreign_file_is_sent(tmp_path):
    texts = dict.fromkeys(("prompt", "subject_prompt", "change", "class_name", "pair_id", "subject_id"), HOSTILE)
    page = {"bytes": b"<script>alert(1)</script>", "path": None}
    row = fake_pair(0, "edit", **texts, target_image=page, draft_image=None)
    storage = LocalStorage(str(tmp_path))
    claim(storage, run_of(2))
    commit(storage, 0, [row, fake_pair(1, "edit", "failed", **texts, error=HOSTILE)])
    client = TestClient(make_site(storage), base_url=HOST)
    for path in ("/", "/rows/0/0", "/rows/0/1", "/?class=" + "%3Cscript%3E"):
        text = client.get(path).text
        assert "<script" not in text and "<img src=x" not in text
    base = re.search(r"/images/\w+/0/0/", client.get("/rows/0/0").text)[0]
    for column, says in (("target_image", "not an image"), ("draft_image", "not made")):
        answer = client.get(base + column)
        assert answer.headers["content-type"] == "image/svg+xml" and says in answer.text
        assert "<script" not in answer.text


def test_a_damaged_file_is_told_and_the_rest_is_shown(tmp_path):
    storage = LocalStorage(str(tmp_path))
    claim(storage, run_of(2))
    for shard in range(2):
        commit(storage, shard, [fake_pair(shard, "edit")])
    ledger = next(path for path in (tmp_path / "_ledger").iterdir() if "000001" in path.name)
    ledger.write_bytes(ledger.read_bytes()[:-100])
    client = TestClient(make_site(storage), base_url=HOST)
    damaged = client.get("/rows/1/0")
    assert damaged.status_code == 502 and "Parquet" in damaged.text
    assert client.get("/rows/0/0").status_code == 200


def test_a_run_that_goes_on_without_report_or_images_of_rejected_pairs(tmp_path):
    storage = LocalStorage(str(tmp_path))
    claim(storage, run_of(40))
    commit(storage, 3, rows_of(6), keep_rejected=False)
    client = TestClient(make_site(storage), base_url=HOST)
    page = client.get("/").text
    assert "1 of 40 shards are committed" in page and "/report" not in page
    assert "Its images are not kept." in client.get("/rows/3/4").text
    assert "failed: the image is broken" in page


def test_a_run_on_s3(s3, folder):
    uri, endpoint = s3
    storage = open_storage(uri, endpoint)
    for key, _ in (local := LocalStorage(str(folder))).list():
        storage.put(key, local.get(key))
    client = TestClient(make_site(storage), base_url=HOST)
    page = client.get("/?status=accepted").text
    sources = re.findall(r'<img src="(/thumbnails/.*?)"', page)
    assert all(client.get(source).headers["content-type"] == "image/png" for source in sources[:6])


def any_row(table: Table, **known: str) -> dict[str, Any]:
    """A row with a value in every column, and a picture in each of its images."""
    values = {pa.string(): "text", pa.int64(): 7, pa.float32(): 0.5}
    row = {field.name: values.get(field.type) for field in (*table.data, *table.ledger)}
    picture = {"bytes": encode_png(np.zeros((64, 64, 3), np.uint8)), "path": None}
    row |= dict.fromkeys(table.images, picture) | {"stage_s": dict.fromkeys(table.stages, 0.5)}
    if "mask" in table.images:
        row |= {
            "mask": {"bytes": encode_mask(np.ones((64, 64), np.bool_)), "path": None},
            "depth": {"bytes": encode_depth(np.zeros((64, 64), np.float32)), "path": None},
        }
    return row | {"status": "accepted", "reason": None, "error": None, **known}


@pytest.mark.parametrize(
    ("run_class", "config_class", "known"),
    [(SubjectBankRun, SubjectBankConfig, {}), (EvaluationRun, EvaluationConfig, {"kind": "drawn"})],
    ids=["bank", "evaluation"],
)
def test_subject_banks_and_evaluations_are_shown_too(tmp_path, run_class, config_class, known):
    storage, table = LocalStorage(str(tmp_path)), run_class.table
    content = {"plan_hash": "0", "num_rows": 1, "num_shards": 1, "roles": {}}
    claim(storage, run_class.now(config_class.job, config=load_config("nano", (), config_class), **content))
    row = any_row(table, **{table.id: "dog/real_0"}, **known)
    files = [
        ShardFile("data", table.file_of(row), to_parquet(pa.Table.from_pylist([row], table.data), 1), 1),
        ShardFile("_ledger", table.row, to_parquet(pa.Table.from_pylist([row], table.ledger), 1), 1),
    ]
    assert commit_shard(storage, 0, files, ShardCounts(planned=1, accepted=1))
    client = TestClient(make_site(storage), base_url=HOST)
    for path in ("/", "/?class=text&status=accepted", "/rows/0/0"):
        page = client.get(path).text
        assert "dog/real_0" in page
        sources = re.findall(r'<img src="(.*?)"', page)
        assert {source.rsplit("/")[-1] for source in sources} == set(table.images)
        assert {client.get(source).headers["content-type"] for source in sources} == {"image/png"}
