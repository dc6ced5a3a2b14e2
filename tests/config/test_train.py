"""Training configs: the published recipe, batches that divide, and errors of one line."""

import pytest

from toffee_pipeline.config.load import load_config, profile_names
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, ViewGeneratorTraining
from toffee_pipeline.errors import ToffeeError

JOBS = [RefinerTraining, ViewGeneratorTraining, ToffeeNetTraining]


@pytest.mark.parametrize("config_class", JOBS)
def test_every_job_has_both_profiles(config_class):
    assert profile_names(config_class.job) == ["nano", "sdxl"]
    assert load_config("nano", (), config_class).device == "cpu"
    sdxl = load_config("sdxl", (), config_class)
    assert sdxl.models.dino.id == "facebook/dinov2-giant"
    for spec in (sdxl.models.base, sdxl.models.dino):
        assert len(spec.revision) == 40  # a commit, not a branch


def test_the_sdxl_profiles_are_the_published_recipe():
    configs = [load_config("sdxl", (), config_class) for config_class in JOBS]
    assert [config.train.batch_size for config in configs] == [64, 128, 128]
    assert [config.train.max_steps for config in configs] == [200_000, 200_000, 100_000]
    assert {config.train.learning_rate for config in configs} == {2e-5}
    assert {config.train.dino_dropout for config in configs} == {0.1}
    assert {config.sampling.guidance_scale for config in configs} == {3.0}
    toffeenet = configs[-1]
    assert (toffeenet.text_dropout, toffeenet.constant_depth_probability) == (0.1, 0.5)
    assert toffeenet.reconstruction_probability == 0
    assert configs[0].workers.strategy == "fsdp"


@pytest.mark.parametrize(("workers", "micro", "expected"), [(1, 32, 32), (8, 32, 8), (8, 3, 2), (4, 5, 4), (64, 8, 1)])
def test_the_micro_batch_divides_a_workers_share(workers, micro, expected):
    overrides = ("train.batch_size=64", f"train.micro_batch_size={micro}", f"workers.num_workers={workers}")
    assert load_config("sdxl", overrides, RefinerTraining).micro_batch_size == expected


@pytest.mark.parametrize(
    ("config_class", "override", "words"),
    [
        (RefinerTraining, "workers.num_workers=3", ["batch_size=64", "num_workers=3"]),
        (RefinerTraining, "data.sources=[{format: tar, path: x}]", ["data.sources.0.format", "webdataset", "mvimgnet"]),
        (RefinerTraining, "data.sources=[{path: x}]", ["data.sources.0.format: missing", "run", "world"]),
        (RefinerTraining, "data.sources=[x]", ["data.sources.0"]),
        (RefinerTraining, "data.sources=[{format: run, pth: x}]", ["data.sources.0.pth", "path", "endpoint_url"]),
        (RefinerTraining, "data.sources=[{format: run}]", ["data.sources.0.path: missing"]),
        (RefinerTraining, "data.sources=[{format: run, path: [1]}]", ["data.sources.0.path: [1] is not allowed"]),
        (
            RefinerTraining,
            "data.sources=[{format: mvimgnet, path: x, num_subjects: 9}]",
            ["data.sources.0.num_subjects: no such key", "allowed: path, endpoint_url, format"],
        ),
        (
            RefinerTraining,
            "data.sources=[{format: world, path: x}]",
            ["data.sources.0.path: no such key; allowed: format, num_subjects"],
        ),
        (
            RefinerTraining,
            "data.sources=[{format: world}, {format: world, views_per_subject: 1}]",
            ["data.sources.1.views_per_subject: 1 is not allowed"],
        ),
        (RefinerTraining, "data.sources=[]", ["data.sources"]),
        (RefinerTraining, "train.lr=1", ["train.lr", "learning_rate"]),
        (RefinerTraining, "pairs=edit", ["pairs: no such key"]),
        (ToffeeNetTraining, "pairs=edits", ["pairs", "edit", "generation"]),
        (ToffeeNetTraining, "data.sources=[{format: mvimgnet, path: x}]", ["format=run"]),
        (ToffeeNetTraining, "data.sources=[{format: imagefolder, path: x}]", ["format=run"]),
        (
            ViewGeneratorTraining,
            "data.sources=[{format: world}, {format: folder, path: x}]",
            ["format=folder gives single images", "several views of each object: allowed are mvimgnet, run, world"],
        ),
        (
            RefinerTraining,
            "data.sources=[{format: folder, path: x, caption_column: text}]",
            ["data.sources.0.caption_column: no such key; allowed: path, endpoint_url, format"],
        ),
        (ToffeeNetTraining, "models.detector=null", None),
    ],
)
def test_mistakes_are_one_line(config_class, override, words):
    if words is None:
        assert load_config("sdxl", (override,), config_class).models.detector is None
        override, words = "dino_input=segmented", ["models.detector"]
        overrides = ("models.detector=null", override)
    else:
        overrides = (override,)
    with pytest.raises(ToffeeError) as error:
        load_config("sdxl", overrides, config_class)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
