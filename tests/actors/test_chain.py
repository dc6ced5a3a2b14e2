"""The table of stages, and a chain of stages without models."""

import shutil
import subprocess
import sys

import pytest

from actors.chain import EVALUATION_STAGE_CLASSES, STAGE_CLASSES, StageChain, stages_of
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import Stage, no_progress
from toffee_pipeline.config.evaluate import EvaluationConfig, EvaluationStagesConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import MODEL_STAGES, STAGES
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.models.same_files import with_samples
from toffee_pipeline.models.weights import NANO_WEIGHTS
from toffee_pipeline.plan.plan import Plan

pytestmark = pytest.mark.slow


def test_each_stage_of_the_settings_has_its_class_in_the_same_order():
    assert tuple(STAGE_CLASSES) == STAGES
    assert all(stage.name == name for name, stage in STAGE_CLASSES.items())
    assert {name for name, stage in STAGE_CLASSES.items() if stage.roles} == set(MODEL_STAGES)


def test_an_evaluation_has_the_stages_that_its_config_names_models_for():
    assert tuple(EVALUATION_STAGE_CLASSES) == tuple(EvaluationStagesConfig.model_fields)
    whole = load_config("nano", (), EvaluationConfig)
    assert list(stages_of(whole)) == ["segment", "score"]
    without = load_config("nano", ("models.detector=null", "models.segmenter=null"), EvaluationConfig)
    assert list(stages_of(without)) == ["score"]


def test_a_run_without_models_loads_no_model_library(tmp_path):
    code = f"""
import sys
import jobs.verify
from tests.helpers.stub_job import main
words = ["--output", {str(tmp_path / "run")!r}, "--set", "placement=inline", "--set", "pairs.count=8"]
main(words, standalone_mode=False)
print(sorted({{"torch", "diffusers", "transformers", "open_clip", "ray"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "8 planned = 8 accepted" in done.stdout


class Loads(Stage):
    """Has a model and does nothing with it."""

    name = "refine"
    roles = ("dino",)

    def process(self, shard: Shard) -> None:
        pass


def test_a_chain_over_other_weights_than_the_drivers_takes_no_shard(tmp_path):
    dino = shutil.copytree(NANO_WEIGHTS / "dino", tmp_path / "dino")
    config = load_config("nano", (f"models.dino={{weights: pretrained, path: {dino}}}", "pairs.count=2", "device=cpu"))
    config, shard = with_samples(config, Loads.roles), Shard.from_plan(Plan(config), 0)
    chain = StageChain(config, [Loads], no_progress, NoGuard())
    assert chain(shard) is shard
    weights = dino / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    later = StageChain(config, [Loads], no_progress, NoGuard())
    with pytest.raises(RunMismatch, match="other weights than where the job began"):
        later(shard)
