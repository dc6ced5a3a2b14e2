"""What of a benchmark stands in training data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs import evaluate
from tests.helpers.dreambench import photo, write_dreambench
from tests.helpers.toffeenet_run import write_run
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.evaluation.contamination import SEEN, check_contamination
from toffee_pipeline.evaluation.training_data import datasets_of
from toffee_pipeline.images import decode, encode, encode_png
from toffee_pipeline.plan.benchmark_prompts import normalized
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(pairs):
    return [row for path in data_files(open_storage(str(pairs))) for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def benchmark(tmp_path, rows):
    """One picture is a training pair's, one is that of another pair as JPEG, the others are not in it."""
    root = write_dreambench(tmp_path / "dreambench", {"can": "can", "clock": "clock"}, num_images=1)
    for name in ("can", "clock"):
        (root / "dataset" / name / "00.jpg").unlink()
    first, last = (row["target_image"]["bytes"] for row in (rows[0], rows[-1]))
    (root / "dataset/can/00.png").write_bytes(first)
    (root / "dataset/can/01.png").write_bytes(encode_png(photo(3)))
    (root / "dataset/clock/00.jpg").write_bytes(encode(decode(last), "jpeg", 90))
    return "benchmark.name=dreambench", f"benchmark.path={root}"


def test_equal_and_near_pictures_are_found_and_others_are_not(benchmark, pairs, rows):
    config = load_config("nano", benchmark, EvaluationConfig)
    found = check_contamination(config, str(pairs))
    by_name = {each.benchmark: each for each in found.duplicates}
    assert set(by_name) == {"can: can/00.png", "clock: clock/00.jpg"}
    can, clock = by_name["can: can/00.png"], by_name["clock: clock/00.jpg"]
    assert can.exact and can.training == f"{rows[0]['pair_id']} target_image"
    assert can.cosine == pytest.approx(1)
    assert not clock.exact and clock.cosine < 1 and clock.hash_distance <= 6
    different = {(row["pair_id"], row[name]["bytes"]) for row in rows for name in SEEN["pair"]}
    assert found.num_pictures == len(different) < 3 * len(rows)  # an edit pair has its subject's picture twice


def test_a_subject_that_no_pair_shows_is_found_for_a_refiner_is_trained_on_it(pairs, rows, tmp_path):
    row = next(row for row in rows if row["kind"] == "generation")
    root = write_dreambench(tmp_path / "dreambench", {"can": "can"}, num_images=1)
    (root / "dataset/can/00.jpg").unlink()
    (root / "dataset/can/00.png").write_bytes(row["subject_image"]["bytes"])
    settings = ("benchmark.name=dreambench", f"benchmark.path={root}", "min_duplicate_dino=1")
    found = check_contamination(load_config("nano", settings, EvaluationConfig), str(pairs))
    assert [each.training for each in found.duplicates if each.exact] == [f"{row['pair_id']} subject_image"]


def test_a_picture_larger_than_its_run_makes_them_is_not_decoded(benchmark, pairs, tmp_path):
    run = Path(shutil.copytree(pairs, tmp_path / "run"))
    path = data_files(open_storage(str(run)))[0]
    row = pq.read_table(path).slice(0, 1).to_pylist()[0]
    large = {**row, "input_image": {"bytes": encode_png(np.zeros((512, 512, 3), np.uint8)), "path": None}}
    pq.write_table(pa.Table.from_pylist([large], pq.read_schema(path)), path)
    with pytest.raises(DamagedFile, match=f"{row['pair_id']} input_image: 512 x 512 px are too many pixels"):
        check_contamination(load_config("nano", benchmark, EvaluationConfig), str(run))


def test_prompts_are_found_by_their_words(pairs, rows, tmp_path):
    result = CliRunner().invoke(
        evaluate.main,
        ["--output", str(tmp_path / "out"), "--check-contamination", str(pairs)]
        + ["--set", "min_duplicate_dino=1", "--set", "benchmark.max_subjects=10"],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out/contamination.json").read_text())
    found = {each["benchmark"]: each for each in written["duplicates"] if each["kind"] == "prompt"}
    prompts = {row["prompt"] for row in rows}
    assert found and set(found) <= prompts and all(each["exact"] for each in found.values())
    assert f"prompt (exact): {next(iter(found))} is in the training" in result.output
    assert not (tmp_path / "out/run.json").exists()


def test_a_prompt_is_near_whatever_its_articles_and_stops():
    assert normalized("A photo of a red mug, on the beach.") == normalized("red mug on a beach") == "red mug on beach"
    assert normalized("a photo of a blue mug on a beach") != "red mug on beach"


def test_a_training_names_its_datasets(tmp_path, pairs):
    write_run(tmp_path / "toffeenet", f"data.sources=[{{format: run, path: {pairs}}}]")
    config = load_config("nano", ("benchmark.max_subjects=1", "min_duplicate_dino=1"), EvaluationConfig)
    assert check_contamination(config, str(tmp_path / "toffeenet")).datasets == [str(pairs)]


def test_parquet_files_without_their_run_are_named_as_not_checked(tmp_path, pairs):
    write_run(
        tmp_path / "toffeenet", f"data.sources=[{{format: run, path: {pairs}}}, {{format: run, path: {pairs}/data}}]"
    )
    runs, unchecked = datasets_of(str(tmp_path / "toffeenet"), None)
    assert [run.uri for run in runs] == [str(pairs)]
    assert unchecked == [f"data.sources, {pairs}/data: Parquet files without a run.json"]
