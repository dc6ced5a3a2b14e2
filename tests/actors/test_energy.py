"""Energy is what the GPU's own counter gained while a stage computed; without a counter nothing counts as measured."""

import pytest
import torch

from actors.energy import meter_of, no_meter, nvml_meter
from actors.guard import NoGuard
from actors.shard import Shard
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from actors.shard_writer import stage_figures
from actors.stage import Stage, no_progress
from tests.helpers.planned_run import write_finished_run
from toffee_pipeline.console.status import render
from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.report.page import write_report
from toffee_pipeline.rundir.counts import RunCounts, ShardCounts, StageFigures
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.layout import REPORT
from toffee_pipeline.rundir.status import Follower
from toffee_pipeline.rundir.totals import Totals, total
from toffee_pipeline.storage import LocalStorage

GPU = ("device=auto", "placement=pools", "stages.score.num_gpus=0.25", "stages.score.batch_size=2")


class Library:
    """NVML with one GPU, which uses 5 J between two readings. failing: the call that fails."""

    def __init__(self, failing=None):
        self.failing, self.millijoules, self.uuid = failing, 10**9, None

    def nvmlInit_v2(self):
        return self.failing == "init"

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        self.uuid = uuid
        return self.failing == "handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, place):
        self.millijoules += 5000
        place._obj.value = self.millijoules
        return self.failing == "read"


class Scores(Stage[Shard]):
    name = "score"

    def process(self, shard):
        self.run(shard.open_pairs(), lambda batch: batch, lambda state, _: None)


def scored(config, meter):
    stage = Scores(config, None, no_progress, NoGuard())
    stage.meter = meter
    return stage(Shard.from_plan(Plan(config), 0))


@pytest.fixture
def config(nano):
    return nano(*GPU, "pairs.count=3", "pairs.per_subject=3", "pairs.edit_fraction=0")


def test_rows_share_what_their_micro_batches_used(config):
    library = Library()
    shard = scored(config, nvml_meter(library, "GPU-1"))
    assert library.uuid == b"GPU-1"
    assert [state.stage_joules for state in shard.pairs] == [{"score": 2.5}, {"score": 2.5}, {"score": 5.0}]
    figures = stage_figures(shard_from_bytes(0, shard_to_bytes(shard)).pairs, config)
    assert figures["score"].joules == pytest.approx(10 * 0.25)  # of a GPU that three others may hold
    assert figures["draft"].joules is None


def test_an_actor_with_several_gpus_reads_one(config):
    config = config.model_copy(update={"placement": "fused", "fused": config.fused.model_copy(update={"num_gpus": 2})})
    assert stage_figures(scored(config, nvml_meter(Library(), "")).pairs, config)["score"].joules == pytest.approx(10)


def test_a_driver_that_is_loaded_anew_counts_from_nothing(config):
    counter = iter([100.0, 1.0, 2.0, 5.0])
    shard = scored(config, lambda: next(counter))
    assert [state.stage_joules["score"] for state in shard.pairs] == [0, 0, 3]


@pytest.mark.parametrize("failing", ["init", "handle", "read"])
def test_a_gpu_that_counts_nothing(config, failing):
    shard = scored(config, nvml_meter(Library(failing), ""))
    assert stage_figures(shard.pairs, config)["score"].joules is None


def test_a_cpu_has_no_counter():
    assert meter_of(torch.device("cpu")) is no_meter


def test_sums_are_of_what_was_measured():
    totals = Totals()
    for joules in (3.6e6, None, 7.2e6):
        totals.add(ShardCounts(stages={"draft": StageFigures(joules=joules), "refine": StageFigures()}))
    assert totals.counts().kwh == pytest.approx(3)
    assert RunCounts().kwh is None and totals.counts().stages["refine"].joules is None


def test_status_and_report_say_it(tmp_path, capsys):
    storage = LocalStorage(str(tmp_path))
    write_finished_run(storage, 16)
    counts = total(storage).counts()
    used = f"{counts.kwh:.3g} kWh, GPUs only"
    Stdout().print(render(Follower(storage).look()))
    assert f"energy: {used}" in capsys.readouterr().out
    write_report(storage, read_pairs(storage), counts)
    assert f"Energy: {used}." in storage.get(REPORT).decode()
    unmeasured = {name: figures.model_copy(update={"joules": None}) for name, figures in counts.stages.items()}
    write_report(storage, read_pairs(storage), counts.model_copy(update={"stages": unmeasured}))
    assert "Energy: not measured." in storage.get(REPORT).decode()
