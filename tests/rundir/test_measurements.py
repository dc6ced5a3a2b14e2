"""Measurements and pass rates in a config: what the planner and a dry run then go by."""

import pytest

from actors.chain import stages_of
from actors.cost_plan import plan_costs
from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import STAGES
from toffee_pipeline.console.costs import print_costs
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.filters import REASONS
from toffee_pipeline.models.roles import same_weights
from toffee_pipeline.rundir.counts import RunCounts
from toffee_pipeline.rundir.measurements import (
    Measurements,
    StageMeasurement,
    other_settings,
    read_measurements,
    with_measurements,
)
from toffee_pipeline.rundir.pass_rates import PassRates, shares_of

WEIGHTS = {
    "synthesize": {"subject": 7.0},
    "draft": {"draft": 10.0},
    "refine": {"dino": 2.0, "refiner": 5.5},
    "edit": {"dino": 2.0, "refiner": 5.5},
}


def measurements(config: RunConfig, on_gpu: bool = True) -> Measurements:
    stages = {
        name: StageMeasurement(
            rows=4,
            seconds=8.0,
            outside_s=1.0,
            batch_size=config.stage(name).batch_size,
            peak_memory_gib=sum(WEIGHTS.get(name, {}).values()) + 4.5,
            largest_batch_size=16,
            weights_gib=WEIGHTS.get(name, {}),
        )
        for name in config.model_stages
    }
    return Measurements(device="a card", on_gpu=on_gpu, num_pairs=16, config=config, stages=stages)


@pytest.fixture
def sdxl(tmp_path):
    def make(on_gpu=True):
        config = load_config("sdxl")
        path = tmp_path / "measurements.json"
        path.write_bytes(measurements(config, on_gpu).encode())
        return config.model_copy(update={"measurements": path})

    return make


def test_measured_seconds_and_memory_take_the_profiles_place_and_are_no_content(sdxl):
    config = sdxl()
    found = with_measurements(config, same_weights(config))
    assert {found.stage(name).seconds_per_pair for name in found.model_stages} == {0.5}
    assert found.stages.draft.gpu_memory_gib == 15  # rounded up
    # subjects share SDXL with drafts, and edits have the models of refine: 10 + 2 + 5.5, and what one stage needs
    assert found.fused.gpu_memory_gib == 22
    assert differing_content(config, found) == []


def test_a_cpus_memory_says_nothing_of_a_gpu(sdxl):
    config = sdxl(on_gpu=False)
    found = with_measurements(config, same_weights(config))
    assert found.stages.draft.gpu_memory_gib == config.stages.draft.gpu_memory_gib
    assert found.fused == config.fused


@pytest.mark.parametrize("measured", ["bank", "synthesis"])
def test_a_run_of_banked_subjects_is_charged_for_what_it_computes(sdxl, tmp_path, capsys, measured):
    made = sdxl()
    banked = load_config("sdxl", ("subjects.source=bank", f"subjects.path={tmp_path}"))
    path = tmp_path / "measured.json"
    path.write_bytes(measurements(banked if measured == "bank" else made).encode())
    config = banked.model_copy(update={"measurements": path})
    costs = plan_costs(with_measurements(config, same_weights(config)), 100, 25)
    computed = {name for name in stages_of(config) if name in made.model_stages}
    assert {stage.name for stage in costs.stages} == computed
    assert "synthesize" not in computed and "depth" not in computed and "segment" in computed
    print_costs(costs)
    assert "without its subject bank" in capsys.readouterr().out


def test_what_was_measured_otherwise_is_named(sdxl):
    config = sdxl()
    changed = load_config(
        "sdxl", ("stages.draft.batch_size=2", "stages.judge.min_clip=0.1", "models.dino.dtype=float32")
    )
    assert list(other_settings(config, measurements(config))) == []
    assert list(other_settings(changed, measurements(config))) == ["models.dino.dtype", "stages.draft.batch_size"]


def test_a_file_that_is_not_there_or_lacks_a_stage_is_one_line(sdxl, tmp_path):
    config = sdxl()
    with pytest.raises(ConfigError, match="measurements=.*nowhere: no such file; jobs/measure.py writes it"):
        with_measurements(config.model_copy(update={"measurements": tmp_path / "nowhere"}), same_weights(config))
    with pytest.raises(ConfigError, match="nothing of the stages check_draft"):
        with_measurements(config.with_stage("check_draft", min_clip=0.2), same_weights(config))
    with pytest.raises(ConfigError, match="pass_rates=.*: no accepted pair lies there"):
        with_measurements(config.model_copy(update={"pass_rates": str(tmp_path / "none")}), same_weights(config))


def test_shares_are_of_the_pairs_that_reach_a_stage():
    counts = RunCounts(
        shards=1, planned=100, accepted=30, failed=5, rejected={"no_mask": 15, "duplicate_subject": 20, "low_clip": 30}
    )
    rates = PassRates(shares_of(counts))
    assert rates.of("synthesize") == 0.8
    assert rates.of("segment") == pytest.approx(65 / 80)
    assert rates.of("draft") == 1
    assert rates.acceptance == pytest.approx(0.3)


def test_every_reason_has_a_stage_or_may_come_of_several():
    assert {rejection.stage for rejection in REASONS.values()} <= {"", *STAGES}
    without = {reason for reason, rejection in REASONS.items() if not rejection.stage}
    # of a text or an image; of any network; of a view, which no run has
    assert without == {
        "unsafe",
        "not_finite",
        "flat_image",
        "not_kept",
        "near_duplicate",
        "subject_full",
        "class_full",
        "category_full",
    }


def test_a_file_over_no_pairs_is_damaged(sdxl, tmp_path):
    """Whoever divides by their number would fail."""
    path = tmp_path / "measurements.json"
    path.write_bytes(measurements(sdxl()).model_copy(update={"num_pairs": 0}).encode())
    with pytest.raises(DamagedFile, match="damaged: num_pairs: "):
        read_measurements(path)
