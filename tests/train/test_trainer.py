"""One optimizer step is the same however its samples are spread, and its state comes back."""

import copy
import functools
import math
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from diffusers import UNet2DConditionModel

from tests.helpers.fork_server import ROOT, forked
from tests.helpers.training import SMALL, encoded_rows
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import OptimizationConfig, RefinerTraining
from toffee_pipeline.errors import NotFinite
from toffee_pipeline.models.loading import computes_bfloat16
from toffee_pipeline.models.tiny.untrained import velocity_scheduler
from toffee_pipeline.train.data.examples import select
from toffee_pipeline.train.tasks import make_task
from toffee_pipeline.train.trainer import Trainer, learning_rate

pytestmark = pytest.mark.slow

FP32 = ("train.precision=fp32", "train.learning_rate=1e-3", "train.max_grad_norm=0.1", "train.max_steps=9")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of an SDXL with every kind of block and few weights: FSDP takes its time for each of them."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=16,
        in_channels=8,
        out_channels=8,
        layers_per_block=1,
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type=None,
        up_block_types=("UpBlock2D",),
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    ).save_pretrained(folder / "unet")
    velocity_scheduler().save_pretrained(folder / "scheduler")
    return folder


def make_trainer(base, *overrides, rank=0, world=1):
    where = ("models.base.weights=pretrained", f"models.base.path={base}")
    config = load_config("nano", (*SMALL, *FP32, *where, *overrides), RefinerTraining)
    task = make_task(config)
    task.use(torch.device("cpu"))
    fsdp = config.workers.strategy == "fsdp"
    torch.manual_seed(0)  # a projection of DINO's tokens is added to the base
    return Trainer(task, config.train, torch.device("cpu"), rank, world, seed=config.seed, fsdp=fsdp)


def steps(trainer, count=2):
    """Some steps on the same four samples, of which each worker takes its share."""
    figures = {}
    for step in range(count):
        rows = encoded_rows(4, seed=step)
        share = 4 // trainer.world
        mine = select(rows, slice(trainer.rank * share, (trainer.rank + 1) * share))
        size = trainer.train.micro_batch_size
        figures = trainer.update([select(mine, slice(start, start + size)) for start in range(0, share, size)])
    return figures


SHARED = ("train.batch_size=4", "train.micro_batch_size=1")
STRATEGIES = ("ddp", "fsdp")


def _worker(rank, folder, base):
    """Steps of one of two workers; what came out, by strategy."""
    torch.set_num_threads(1)
    meeting, wait = f"file://{folder}/meeting", timedelta(minutes=4)  # an end of the other worker is an error, no hang
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=wait)
    results = {}
    for strategy in STRATEGIES:
        overrides = (*SHARED, f"workers.strategy={strategy}", "workers.placement=ray", "workers.num_workers=2")
        trainer = make_trainer(base, *overrides, rank=rank, world=2)
        figures = steps(trainer)
        rows = {name: torch.from_numpy(column).float() for name, column in encoded_rows(2).items()}
        with trainer.averaged(), torch.no_grad():  # as a sample grid does; training goes on unimpressed
            trainer.network(rows["target_latents"], 500, rows["target_tokens"])
        state = trainer.state()
        again = make_trainer(base, *overrides, rank=rank, world=2)
        again.load(copy.deepcopy(state), trainer.step)  # only rank 0 got anything
        steps(again, 1)
        steps(trainer, 1)
        after, resumed = trainer.weights(), again.weights()
        results[strategy] = {"state": state, "figures": figures, "after": after, "resumed": resumed}
    dist.destroy_process_group()
    return results


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory, base):
    """What two processes trained, this one and another, by strategy; and a worker that trained the same alone."""
    folder = str(tmp_path_factory.mktemp("two_workers"))
    code = f"from tests.train.test_trainer import _worker; _worker(1, {folder!r}, {str(base)!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=forked()) as second:
        results = _worker(0, folder, base)
    assert second.returncode == 0
    alone = make_trainer(base, *SHARED, "train.gradient_checkpointing=true")
    figures = steps(alone)
    return results, alone, figures


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_workers_make_the_step_that_one_makes(strategy, two_workers, base):
    results, alone, figures = two_workers
    result = results[strategy]
    assert result["figures"]["grad_norm"] == pytest.approx(figures["grad_norm"], rel=1e-4)
    mine, theirs = alone.state(), result["state"]
    for part in ("network", "average"):
        torch.testing.assert_close(theirs[part], mine[part], rtol=1e-3, atol=2e-5)
    torch.testing.assert_close(theirs["optimizer"]["state"], mine["optimizer"]["state"], rtol=1e-3, atol=2e-5)
    start = make_trainer(base, *SHARED).weights()
    moved = [(value - start[name]).abs().max() for name, value in alone.weights().items()]
    assert max(moved) > 1e-3
    for name, value in result["after"].items():
        assert torch.equal(result["resumed"][name], value), name


def test_state_continues_exactly(base):
    trainer = make_trainer(base)
    trainer.update([encoded_rows(4)])
    state = trainer.state()
    figures = trainer.update([encoded_rows(4, seed=1)])
    again = make_trainer(base)
    again.load(copy.deepcopy(state), 1)
    assert again.update([encoded_rows(4, seed=1)]) == figures
    weights, resumed = trainer.weights(), again.weights()
    torch.testing.assert_close(resumed, weights, rtol=0, atol=0)
    with trainer.averaged(), again.averaged():
        average = trainer.weights()
        torch.testing.assert_close(again.weights(), average, rtol=0, atol=0)
    assert any(not torch.equal(value, average[name]) for name, value in weights.items())


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp32"])
def test_steps_compute_in_bfloat16_where_told_or_where_it_is_fast(precision, base):
    trainer = make_trainer(base, f"train.precision={precision}")
    with trainer.autocast():
        found = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    fast = {"auto": computes_bfloat16(torch.device("cpu")), "bf16": True, "fp32": False}[precision]
    assert found == (torch.bfloat16 if fast else torch.float32)


def test_a_compiled_step_is_the_same_step(monkeypatch, base):
    compiled = []

    def trace(graph, inputs):
        """In the compiler's place, which takes minutes: runs the traced graph as it is."""
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(torch.nn.Module.compile, backend=trace))
    plain, ours = make_trainer(base), make_trainer(base, "train.compile=true")
    expected = [plain.update([encoded_rows(4, seed=step)]) for step in range(2)]
    figures = [ours.update([encoded_rows(4, seed=step)]) for step in range(2)]
    assert compiled
    for mine, theirs in zip(figures, expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    torch.testing.assert_close(ours.state()["average"], plain.state()["average"], rtol=1e-3, atol=2e-5)


def test_nan_is_an_error_that_changes_no_weight(base):
    trainer = make_trainer(base)
    before = {name: value.clone() for name, value in trainer.weights().items()}
    rows = encoded_rows(4)
    rows["target_latents"][2, 0, 0, 0] = math.nan
    with pytest.raises(NotFinite, match="step 1 is nan"):
        trainer.update([rows])
    assert all(torch.equal(value, before[name]) for name, value in trainer.weights().items())


def test_learning_rate_warms_up_then_stays_or_falls():
    train = OptimizationConfig(max_steps=100, batch_size=1, micro_batch_size=1, learning_rate=1.0, warmup_steps=10)
    assert [learning_rate(step, train) for step in (0, 4, 10, 99)] == [0.1, 0.5, 1.0, 1.0]
    cosine = train.model_copy(update={"lr_scheduler": "cosine"})
    assert learning_rate(10, cosine) == 1.0
    assert learning_rate(55, cosine) == pytest.approx(0.5)
    assert learning_rate(100, cosine) == pytest.approx(0.0)
