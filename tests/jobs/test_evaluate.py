"""jobs/evaluate.py inline: what is scored, what is not, and what a resumed run gives."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from actors.read_pictures import ReadPictures
from jobs import evaluate, status, verify
from tests.helpers.dreambench import photo, write_dreambench
from tests.helpers.toffeenet_run import write_run
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import EditConfig
from toffee_pipeline.config.train import RunSource
from toffee_pipeline.errors import DataError, RunMismatch
from toffee_pipeline.images import decode, encode_png
from toffee_pipeline.models.blended import editing_mask
from toffee_pipeline.models.loading import pick_device
from toffee_pipeline.models.trained_toffeenet import TrainedToffeeNet
from toffee_pipeline.rundir.description import EvaluationRun
from toffee_pipeline.rundir.inputs import claim_dataset, new_plan
from toffee_pipeline.rundir.layout import FIGURES, REPORT, SUMMARY, manifest_key
from toffee_pipeline.rundir.manifests import committed_shards, data_files, read_manifest
from toffee_pipeline.rundir.trained import find_toffeenet
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.sources import make_source

pytestmark = pytest.mark.slow

CLASSES = {"can": "can", "dog6": "dog"}
SMALL = ("placement=inline", "benchmark.max_prompts=2", "images_per_prompt=1")


def words(output, *settings, options=()):
    sets = [word for item in (*SMALL, *settings) for word in ("--set", item)]
    return ["--output", str(output), *sets, *map(str, options)]


def run(output, *settings, options=()):
    return CliRunner().invoke(evaluate.main, words(output, *settings, options=options), catch_exceptions=False)


def rows_of(output, folder="_ledger"):
    storage = open_storage(str(output))
    return {row["picture_id"]: row for path in data_files(storage, folder) for row in pq.read_table(path).to_pylist()}


def scores_of(row):
    return {name: value for name, value in row.items() if name.endswith("_score")}


def figures_of(output):
    return json.loads((Path(output) / FIGURES).read_text())


@pytest.fixture(scope="module")
def dreambench(tmp_path_factory):
    """Two subjects with three pictures each, as settings."""
    root = write_dreambench(tmp_path_factory.mktemp("dreambench"), CLASSES)
    return "benchmark.name=dreambench", f"benchmark.path={root}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, dreambench):
    """Another model's pictures: of the can its input image again, of the dog noise, and one is missing."""
    folder = tmp_path_factory.mktemp("drawn")
    for name in CLASSES:
        (folder / name).mkdir()
    real = Path(dreambench[1].partition("=")[2]) / "dataset/can/00.jpg"
    shutil.copy(real, folder / "can/0_0.jpg")
    shutil.copy(real, folder / "can/1_0.jpg")
    (folder / "dog6/0_0.png").write_bytes(encode_png(photo(7, 96)))  # of another size than the real ones
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory, dreambench, drawn):
    output = tmp_path_factory.mktemp("scored") / "run"
    result = run(output, *dreambench, options=("--images", drawn))
    assert result.exit_code == 0, result.output
    return output, result.output


def test_a_copy_of_the_input_is_told_from_a_picture_of_the_subject(scored):
    copy = rows_of(scored[0])["can/0_0"]
    for metric in ("dino", "clip_i"):
        assert copy[f"{metric}_single_score"] == pytest.approx(1)
        assert copy[f"{metric}_toffee_score"] < 0.99
    assert copy["copy_paste_score"] > 0
    assert (copy["prompt"], copy["category"]) == ("a can in the jungle", "recontextualization")


def test_a_real_picture_is_not_compared_with_itself(scored):
    rows = rows_of(scored[0])
    real = [rows[f"can/real_{number}"] for number in range(3)]
    assert real[0]["dino_single_score"] is None and real[0]["clip_t_score"] is None
    # both pairs of the input image: its mean over the others is that of theirs to it
    others = [row["dino_single_score"] for row in real[1:]]
    assert real[0]["dino_toffee_score"] == pytest.approx(np.mean(others), abs=1e-6)


def test_a_missing_picture_fails_and_is_not_scored_as_zero(scored):
    output, said = scored
    row = rows_of(output)["dog6/1_0"]
    assert row["status"] == "failed" and "dog6/1_0.*: no such file" in row["error"]
    assert set(scores_of(row).values()) == {None}
    found = figures_of(output)["drawn"]
    assert (found["num_planned"], found["num_failed"], found["figures"]["dino_single_score"]["num"]) == (4, 1, 3)
    copies, other = [rows_of(output)[name]["dino_single_score"] for name in ("can/0_0", "dog6/0_0")]
    assert found["figures"]["dino_single_score"]["value"] == pytest.approx((2 * copies + other) / 3)
    assert "3 of 4 pictures are there; 1 are missing and will count as failed: dog6/1_0" in said
    assert "4 pictures, 1 failed" in said


def test_the_self_test_comes_before_any_figure_of_a_model_and_is_red_where_it_does_not_hold(scored):
    output, said = scored
    assert said.index("Self-test: real against real cannot be compared") < said.index("protocol toffee:")
    page = (output / REPORT).read_text()
    assert '<p class="verdict bad">Self-test' in page and page.index("verdict bad") < page.index("protocol toffee")


def test_every_figure_stands_beside_what_it_depends_on(scored):
    output, _ = scored
    page = (output / REPORT).read_text()
    for fact in (
        "nano weights",
        "transformers 5",
        "open-clip-torch",
        "no rare token",
        "dog6/00.jpg",
        "ToffeeNet",
        "0.728",
    ):
        assert fact in page
    assert "not comparable with dreambench" in page
    assert figures_of(output)["inputs"] == {"can": "can/00.jpg", "dog6": "dog6/00.jpg"}
    assert "<script" not in page and "http-equiv" in page


def test_verify_and_status_know_an_evaluation(scored):
    output, _ = scored
    assert CliRunner().invoke(verify.main, [str(output)]).exit_code == 0
    said = CliRunner().invoke(status.main, [str(output)]).output
    assert "finished" in said and "pictures" in said


def test_a_training_does_not_take_an_evaluation_for_a_dataset(scored):
    with pytest.raises(DataError, match="allowed are runs of jobs/generate.py and jobs/generate_subjects.py"):
        make_source(RunSource(format="run", path=str(scored[0]))).files()


def test_another_picture_of_a_batch_leaves_the_others_scores_alone(scored, dreambench, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "drawn")
    (tmp_path / "drawn/can/1_0.jpg").unlink()
    (tmp_path / "drawn/can/1_0.png").write_bytes(encode_png(photo(99)))
    assert run(tmp_path / "run", *dreambench, options=("--images", tmp_path / "drawn")).exit_code == 0
    before, now = rows_of(scored[0]), rows_of(tmp_path / "run")
    assert scores_of(before["can/1_0"]) != scores_of(now["can/1_0"])
    assert {name: scores_of(row) for name, row in before.items() if name != "can/1_0"} == {
        name: scores_of(row) for name, row in now.items() if name != "can/1_0"
    }


def test_what_cannot_be_used_is_one_line(dreambench, tmp_path):
    (tmp_path / "empty").mkdir()
    for options, line in (
        ((*dreambench, "images_per_prompt=2"), f"error: images={tmp_path}/empty: not one of 8 pictures is there"),
        (("benchmark.name=dreambench",), "error: benchmark.name=dreambench needs benchmark.path"),
        (("benchmark.name=dreambench", f"benchmark.path={tmp_path}"), "prompts_and_classes.txt: No such file"),
    ):
        result = run(tmp_path / "run", *options, options=("--images", tmp_path / "empty"))
        assert result.exit_code == 2 and line in result.output and len(result.output.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    result = run(tmp_path / "run", options=("--images", tmp_path, "--model", tmp_path))
    assert result.exit_code == 2 and "allowed is one of them" in result.output


def test_an_evaluation_goes_on_with_the_same_benchmark_alone(tmp_path, dreambench):
    root = tmp_path / "dreambench"
    shutil.copytree(dreambench[1].partition("=")[2], root)
    settings = ("benchmark.name=dreambench", f"benchmark.path={root}", "benchmark.max_subjects=1")
    assert run(tmp_path / "run", *settings).exit_code == 0
    (root / "dataset/can/01.jpg").write_bytes(encode_png(photo(5)))
    result = run(tmp_path / "run", *settings)
    assert result.exit_code == 2 and "can is not as it was when the evaluation began" in result.output


def overwrite(folder):
    (folder / "dog6/0_0.png").write_bytes(encode_png(photo(8, 32)))
    return "dog6/0_0.png: was "


def supply(folder):
    (folder / "dog6/1_0.png").write_bytes(encode_png(photo(8, 96)))
    return "dog6/1_0.png: new"


def remove(folder):
    (folder / "can/1_0.jpg").unlink()
    return "can/1_0.jpg: not there any more"


def claimed(dreambench, folder, output):
    """The config of an evaluation that has begun."""
    config = load_config("nano", [*SMALL, *dreambench, f"images={folder}"], EvaluationConfig)
    plan = new_plan(config)
    claim_dataset(open_storage(str(output)), EvaluationRun.of(config, plan, {}), plan)
    return config


def test_a_nodes_copy_of_the_drawn_pictures_may_be_of_another_time(dreambench, drawn, tmp_path):
    folder, output = tmp_path / "drawn", tmp_path / "run"
    shutil.copytree(drawn, folder)
    reader = ReadPictures(claimed(dreambench, folder, output), str(output))
    os.utime(folder / "dog6/0_0.png", (1, 1))
    assert [state.status for state in reader(1).pictures] == ["ok"] * 4 + ["failed"]


def test_a_folder_that_cannot_be_listed_fails_its_own_pictures(dreambench, drawn, tmp_path):
    folder, output = tmp_path / "drawn", tmp_path / "run"
    shutil.copytree(drawn, folder)
    config = claimed((*dreambench, "subjects_per_shard=2"), folder, output)
    reader = ReadPictures(config, str(output))
    shutil.rmtree(folder / "dog6")
    (folder / "dog6").symlink_to("dog6")  # root may list all folders but for such
    states = reader(0).pictures
    assert {(state.picture.subject_id, state.status) for state in states if state.drawn} == {
        ("can", "ok"),
        ("dog6", "failed"),
    }
    assert all("symbolic links" in state.error for state in states if state.status == "failed")


@pytest.mark.parametrize("change", [overwrite, supply, remove])
def test_drawn_pictures_belong_to_the_evaluation(dreambench, drawn, tmp_path, change):
    """It neither goes on with others, nor are its figures theirs; a file that no prompt asks for is none of them."""
    folder, output = drawn.parent / f"{drawn.name}-{change.__name__}", tmp_path / "run"
    shutil.copytree(drawn, folder)
    reader = ReadPictures(claimed(dreambench, folder, output), str(output))
    assert [state.image is None for state in reader(1).pictures] == [False] * 4 + [True]

    (folder / "dog6/of_no_prompt.png").write_bytes(b"")
    claimed(dreambench, folder, output)
    line = change(folder)
    result = run(output, *dreambench, options=("--images", folder))
    assert result.exit_code == 2 and f"{output} holds a run of other images: {line}" in result.output.splitlines()[-1]
    with pytest.raises(RunMismatch, match=f"not as when the evaluation began: {line}"):
        for shard in range(2):
            reader(shard)


@pytest.fixture(scope="module")
def toffeenet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toffeenet") / "run"
    write_run(folder)
    return folder


STEPS = "stages.draw.sampling.num_inference_steps=2"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, toffeenet):
    """Two subjects with a shard each, and two pictures of each that ToffeeNet drew."""
    output = tmp_path_factory.mktemp("evaluated") / "run"
    result = run(output, STEPS, "benchmark.max_subjects=2", options=("--model", toffeenet))
    assert result.exit_code == 0, result.output
    return output


def test_an_evaluation_that_was_killed_and_resumed_gives_the_same_figures(tmp_path, toffeenet, evaluated):
    killed = shutil.copytree(evaluated, tmp_path / "killed")
    storage = open_storage(str(killed))
    for file in read_manifest(storage, 1).files:  # it died over its second shard
        storage.delete(file.key)
    for written_later in (manifest_key(1), FIGURES, REPORT, SUMMARY):
        storage.delete(written_later)
    assert committed_shards(storage) == {0}
    resumed = run(killed, STEPS, "benchmark.max_subjects=2", options=("--model", toffeenet))
    assert resumed.exit_code == 0, resumed.output
    assert "resuming: 1 of 2 shards are committed" in resumed.output
    assert figures_of(killed) == figures_of(evaluated)
    assert figures_of(evaluated)["drawn"]["num_failed"] == 0


def test_a_drawn_picture_is_its_seeds_whatever_else_is_drawn(tmp_path, toffeenet, evaluated):
    settings = (STEPS, "benchmark.max_subjects=1", "images_per_prompt=2")
    assert run(tmp_path / "run", *settings, options=("--model", toffeenet)).exit_code == 0
    one, two = rows_of(evaluated, "data"), rows_of(tmp_path / "run", "data")
    assert one["mug_00/1_0"]["image"] == two["mug_00/1_0"]["image"] != two["mug_00/1_1"]["image"]
    assert scores_of(one["mug_00/1_0"]) == scores_of(two["mug_00/1_0"])


def test_depth_of_the_input_and_lambda_change_the_picture(tmp_path, toffeenet, evaluated):
    settings = (STEPS, "benchmark.max_subjects=1", "benchmark.max_prompts=1")
    pictures = [rows_of(evaluated, "data")["mug_00/0_0"]["image"]["bytes"]]
    for name, more in (("depth", "stages.draw.depth=input"), ("lambda", "stages.draw.dino_scale=0.2")):
        result = run(tmp_path / name, *settings, more, options=("--model", toffeenet))
        assert result.exit_code == 0, result.output
        pictures.append(rows_of(tmp_path / name, "data")["mug_00/0_0"]["image"]["bytes"])
    assert len(set(pictures)) == 3


def test_an_edit_changes_the_background_alone_and_of_an_addition_what_is_around(tmp_path, toffeenet):
    settings = (STEPS, "benchmark.max_subjects=1", "benchmark.max_prompts=19", "stages.draw.task=edit")
    assert run(tmp_path / "run", *settings, options=("--model", toffeenet)).exit_code == 0
    pictures = {row["picture_id"]: decode(row["image"]["bytes"]) for row in rows_of(tmp_path / "run", "data").values()}
    categories = {row["picture_id"]: row["category"] for row in rows_of(tmp_path / "run").values()}
    image = pictures["mug_00/real_0"]
    trained = find_toffeenet(str(toffeenet))
    mask = TrainedToffeeNet(trained.weights, trained.config, pick_device("cpu")).find(image, "mug")
    for number, category, region in (
        (0, "background", ~mask),
        (18, "addition", editing_mask(mask, "around", EditConfig())),
    ):
        changed = (pictures[f"mug_00/{number}_0"] != image).any(-1)
        assert categories[f"mug_00/{number}_0"] == category
        assert changed[region].mean() > 0.8 and not changed[~region].any()


DREAMBENCH = os.environ.get("DREAMBENCH")


@pytest.mark.skipif(DREAMBENCH is None, reason="DREAMBENCH names no folder of the public photographs")
def test_the_public_photographs_run_through_tiny_networks(tmp_path, toffeenet):
    settings = ("benchmark.name=dreambench", f"benchmark.path={DREAMBENCH}", STEPS, "benchmark.max_subjects=2")
    result = run(tmp_path / "run", *settings, options=("--model", toffeenet))
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "run")
    assert {row["status"] for row in rows.values()} == {"accepted"}
    assert {row["prompt"] for row in rows.values() if row["prompt"]} >= {"a backpack in the jungle"}
