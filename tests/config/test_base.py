"""Which settings tell one run from another."""

import pytest

from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        ((), []),
        (("seed=1", "pairs.count=3"), ["pairs.count", "seed"]),
        (("stages.refine.sampling.num_inference_steps=3",), ["stages.refine.sampling.num_inference_steps"]),
        (("stages.refine.a_by_category.color=1",), ["stages.refine.a_by_category.color"]),
        (("stages.judge.min_dino=null", "renderer_plays=[]"), ["renderer_plays", "stages.judge.min_dino"]),
        (("models.vae=null",), ["models.vae"]),
        (("placement=pools", "device=cuda", "price_per_gpu_hour=2", "max_failed_fraction=1", "stall_s=9"), []),
        (("fused.num_actors=3", "fused.num_gpus=1", "output.lease_s=0", "output.endpoint_url=http://127.0.0.1:1"), []),
        (("stages.refine.num_cpus=3", "stages.draft.timeout_s=3", "stages.view.seconds_per_pair=2"), []),
        (
            ("stages.refine.batch_size=3", "output.keep=accepted"),
            ["output.keep", "stages.refine.batch_size"],
        ),
    ],
)
def test_runs_differ_in_what_decides_their_content(overrides, keys):
    assert differing_content(load_config("nano"), load_config("nano", overrides)) == keys


def test_trainings_differ_in_what_decides_their_network():
    old = load_config("nano", (), RefinerTraining)
    free = ("train.max_steps=9", "workers.placement=inline", "tracking.wandb=true", "output.endpoint_url=http://x")
    assert differing_content(old, load_config("nano", free, RefinerTraining)) == []
    new = load_config("nano", ("data.sources.0.num_subjects=9", "train.learning_rate=1"), RefinerTraining)
    assert differing_content(old, new) == ["data.sources", "train.learning_rate"]
    assert differing_content(old, load_config("nano", (), ToffeeNetTraining)) == ["job"]


def test_a_key_that_came_later_differs_from_nothing():
    new = load_config("nano")
    written = new.model_dump(mode="json", exclude={"stall_s": True, "stages": {"edit": {"addition_margin_fraction"}}})
    assert differing_content(RunConfig.model_validate(written), new) == []
    other = load_config("nano", ("stages.edit.addition_margin_fraction=0.3",))
    assert differing_content(RunConfig.model_validate(written), other) == ["stages.edit.addition_margin_fraction"]
