"""The training jobs as a user runs them: finished, resumed, on S3, and in trouble."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs import customize, generate, train_refiner, train_toffeenet, train_view_generator
from tests.conftest import QUICK
from tests.helpers.full_disk import files_up_to
from tests.helpers.training_job import UNET, train, weights
from toffee_pipeline.images import encode_png
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.recipe.adopt import adopt, refiner_psnr_db
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.checkpoint import load_checkpoint
from toffee_pipeline.train.saved import steps_saved

pytestmark = pytest.mark.slow

QUICKLY = ("train.micro_batch_size=4", "train.checkpoint_every_steps=1", "tracking.num_samples=1")
"""Where steps need no parts, and one picture shows that there are pictures."""
EVERY_STEP = ("train.checkpoint_every_steps=1", "tracking.sample_every_steps=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A Refiner trained for three steps of two micro-batches, to be read only."""
    output = tmp_path_factory.mktemp("finished") / "run"
    result = train(train_refiner, output, *EVERY_STEP, "train.max_steps=3")
    assert result.exit_code == 0, result.output
    return output


@pytest.fixture(scope="module")
def view_generator(tmp_path_factory):
    """A View Generator trained for a step, to be read only."""
    output = tmp_path_factory.mktemp("view_generator") / "run"
    result = train(train_view_generator, output, *QUICKLY, "train.max_steps=1")
    assert result.exit_code == 0, result.output
    return output


def test_a_run_explains_itself(finished):
    run, summary = (json.loads((finished / name).read_text()) for name in ("run.json", "summary.json"))
    assert run["config"]["train"]["max_steps"] == 3
    assert run["models"]["dino"].startswith("nano weights ")
    assert summary["steps"] == 3
    assert summary["samples_seen"] == 12
    curves = EventAccumulator(str(finished / "tensorboard")).Reload()
    assert [point.step for point in curves.Scalars("loss")] == [1, 2, 3]
    assert {"lr", "grad_norm", "images_per_s"} <= set(curves.Tags()["scalars"])
    assert [point.value for point in curves.Scalars("lr")] == pytest.approx([5e-4, 1e-3, 1e-3])
    pictures = sorted(path.name for path in (finished / "samples").iterdir())
    assert pictures == [f"step-{step:08d}.png" for step in (1, 2, 3)]
    assert Image.open(finished / "samples/step-00000003.png").size[0] > 3 * 64
    card = (finished / "model/README.md").read_text()
    assert "| optimizer steps | 3 |" in card
    assert steps_saved(open_storage(str(finished))) == [2, 3]  # keep_checkpoints


def test_running_it_again_does_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert "nothing to do: 3 steps" in train(train_refiner, finished, *EVERY_STEP, "train.max_steps=3").output
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    refused = train(train_refiner, finished, *EVERY_STEP, "train.learning_rate=0.5", "train.max_steps=3")
    assert refused.exit_code == 2
    assert "train.learning_rate" in refused.output


def test_generating_takes_what_training_wrote(finished, view_generator, tmp_path):
    base = f"models.base={{weights: pretrained, path: '{view_generator / 'model'}'}}"
    more = train(
        train_view_generator, tmp_path / "more", *QUICKLY, base, "train.max_steps=1", "train.learning_rate=1e-9"
    )
    assert more.exit_code == 0, more.output
    first, second = (load_file(run / "model/unet" / UNET) for run in (view_generator, tmp_path / "more"))
    torch.testing.assert_close(second, first, rtol=0, atol=1e-6)  # a View Generator learns on from where it is
    overrides = (
        *QUICK,
        "placement=inline",
        "subjects.source=renderer",
        "pairs.count=2",
        "pairs.edit_fraction=0",
        "renderer_plays=[subject, mask, depth, draft]",
        f"models.refiner={{weights: pretrained, path: '{finished / 'model'}'}}",
        f"models.view_generator={{weights: pretrained, path: '{view_generator / 'model'}'}}",
    )
    command = ["--output", str(tmp_path / "pairs"), *(word for item in overrides for word in ("--set", item))]
    result = CliRunner().invoke(generate.main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert re.search(r"refiner: pretrained model \w{16}", result.output)
    assert json.loads((tmp_path / "pairs/summary.json").read_text())["failed"] == 0


def test_a_trained_network_is_taken_into_the_package(finished, tmp_path):
    adopt("refiner", finished, tmp_path)
    taken = RefinerNetwork.load(tmp_path / "refiner", vae_scale_factor=4)
    expected = weights(finished)
    for name, value in taken.unet.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    figures = refiner_psnr_db(finished, num_subjects=2)
    assert 5 < figures["psnr_db"] < figures["vae_psnr_db"]
    assert figures["vae_psnr_db"] > 28


def test_the_view_generator_is_a_stock_pipeline(view_generator):
    folder = view_generator / "model"
    pipeline, loaded = (
        StableDiffusionPipeline.from_pretrained(folder, text_encoder=None, tokenizer=None),
        UNet2DConditionModel.from_pretrained(folder / "unet", output_loading_info=True),
    )
    assert not loaded[1]["missing_keys"]
    assert not loaded[1]["unexpected_keys"]
    assert isinstance(pipeline.vae, AutoencoderKL)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    tokens = torch.randn(1, 257, 128)
    drawn = pipeline(prompt_embeds=tokens, negative_prompt_embeds=torch.zeros_like(tokens), num_inference_steps=2)
    assert drawn.images[0].size == (64, 64)
    assert not list(folder.rglob("*.bin"))


def test_toffeenet_learns_from_a_run_is_used_and_stock_classes_load_its_parts(pairs, tmp_path):
    sources = f"data.sources=[{{format: run, path: '{pairs}'}}]"
    result = train(train_toffeenet, tmp_path / "run", *QUICKLY, sources, "train.max_steps=1")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "run/model"
    for part, model_class in (("unet", UNet2DConditionModel), ("controlnet", ControlNetModel)):
        _, info = model_class.from_pretrained(folder / part, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
    adapter = load_file(folder / "dino_adapter.safetensors")
    assert any(name.startswith("ip_adapter.") for name in adapter)
    (tmp_path / "photo.png").write_bytes(encode_png(np.full((64, 64, 3), 90, np.uint8)))
    words = ("--model", tmp_path / "run", "--subject", tmp_path / "photo.png", "--prompt", "a mug", "--num-images", 1)
    used = CliRunner().invoke(customize.main, [*map(str, words), "--output", str(tmp_path / "drawn")])
    assert used.exit_code == 0, used.output
    assert Image.open(tmp_path / "drawn/0000.png").size == (64, 64)
    refused = train(train_toffeenet, tmp_path / "other", f"data.sources=[{{format: run, path: '{tmp_path}/none'}}]")
    assert refused.exit_code == 2
    assert "none: no run.json, data/*.parquet or *.parquet there; format=run is the output of" in refused.output


def test_a_run_on_s3_with_its_data_and_its_cache_there(pairs, s3):
    uri, endpoint = s3
    copy = open_storage(f"{uri}/pairs", endpoint)
    for file in pairs.rglob("*"):
        if file.is_file():
            copy.put_file(file.relative_to(pairs).as_posix(), file)
    overrides = (
        *QUICKLY,
        f"data.sources=[{{format: run, path: '{uri}/pairs', endpoint_url: '{endpoint}'}}]",
        f"data.cache={uri}/cache",
        f"data.cache_endpoint_url={endpoint}",
        f"output.endpoint_url={endpoint}",
    )
    for steps in (1, 2):
        result = train(train_refiner, f"{uri}/run", *overrides, f"train.max_steps={steps}")
        assert result.exit_code == 0, result.output
    assert "resuming at step 1" in result.output
    storage = open_storage(f"{uri}/run", endpoint)
    assert steps_saved(storage) == [1, 2]
    assert {"model/config.json", "model/README.md", "summary.json"} <= {key for key, _ in storage.list()}


def test_diverging_is_one_clear_line_and_the_last_checkpoint_loads(tmp_path):
    result = train(train_refiner, tmp_path / "run", "train.learning_rate=1e30", "train.max_steps=20")
    assert result.exit_code == 2
    assert re.search(r"error: the (gradient|loss) of step \d+ is (nan|inf).*last checkpoint", result.output)
    storage = open_storage(str(tmp_path / "run"))
    assert not storage.exists("summary.json")
    for step in steps_saved(storage):
        state, positions = load_checkpoint(storage, step)
        assert len(positions) == 1
        assert set(state) == {"network", "average", "optimizer", "figures"}


def test_more_steps_go_on_a_full_disk_is_one_clear_line_and_the_job_goes_on_later(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    storage = open_storage(str(run))
    with files_up_to(5 * 2**20):  # less than the weights take
        full = train(train_refiner, run, *EVERY_STEP, "train.max_steps=4")
    assert full.exit_code == 2, full.output
    assert "Traceback" not in full.stderr
    assert re.search(r"error: .*File too large.*last checkpoint: step 3", full.stderr)
    assert steps_saved(storage) == [2, 3]
    assert train(train_refiner, run, *EVERY_STEP, "train.max_steps=4").exit_code == 0
    assert steps_saved(storage) == [3, 4]


def test_missing_data_is_one_clear_line(tmp_path):
    result = train(train_refiner, tmp_path / "run", f"data.sources=[{{format: webdataset, path: '{tmp_path}/none'}}]")
    assert result.exit_code == 2
    assert "none" in result.output
    assert not (tmp_path / "run").exists()
    folder = tmp_path / "category/object/images"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / f"{name}.jpg").write_bytes(b"no picture")
    result = train(train_refiner, tmp_path / "run", f"data.sources=[{{format: mvimgnet, path: '{tmp_path}'}}]")
    assert result.exit_code == 2
    assert (
        "no usable sample in data.sources; needed is an image that can be read; the first error: cat" in result.output
    )


def test_a_folder_of_photos_trains_and_what_was_broken_is_named_at_the_end(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.new("RGBA", (80, 64), (90, 40 * number, 9, 120)).save(photos / f"{number}.png")
    Image.new("RGB", (80, 32)).save(photos / "small.png")
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:50])
    source = f"data.sources=[{{format: folder, path: '{photos}'}}]"
    settings = (*QUICKLY, source, "data.min_side_px=64", "data.max_broken_fraction=0.9")
    times = []
    for steps in (1, 2):  # the second one goes on and knows what the first one left out
        result = train(train_refiner, tmp_path / "run", *settings, f"train.max_steps={steps}")
        assert result.exit_code == 0, result.output
        broken = json.loads((tmp_path / "run/summary.json").read_text())["broken"]
        times.append(broken["times"])
    (line,) = broken["first"]
    assert line.startswith("cut.png: ") and 1 <= times[0] < times[1] <= 3
    assert f"broken samples were left out {broken['times']} times, each epoch anew:\n  {line}\n" in result.output
    assert broken["too_small"] >= 1
    assert f"below data.min_side_px were left out {broken['too_small']} times, each epoch anew\n" in result.output
