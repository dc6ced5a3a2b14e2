"""The recipe's training loop: resumed it ends where an uninterrupted one does, and its result is the average."""

import math

import pytest
import torch
from torch import nn

from toffee_pipeline.errors import NotFinite
from toffee_pipeline.recipe.loop import fit


def line():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def train(work_dir, steps, module=None, **settings):
    """A line through noisy points. The warm-up outlasts these steps: the learning rate does not depend on `steps`."""
    module = module or line()

    def loss_fn(step, rng):
        x = torch.from_numpy(rng.standard_normal((16, 3))).float()
        y = x.sum(1, keepdim=True) + 0.1 * torch.randn(16, 1)
        return (module(x) - y).square().mean(), {"bias": module.bias.item()}

    return fit("line", module, loss_fn, steps=steps, peak_lr=1.0, work_dir=work_dir, **settings)


def test_resumed_it_ends_where_an_uninterrupted_one_does(tmp_path, capsys):
    whole = train(tmp_path / "whole", 30)
    train(tmp_path / "parts", 12)
    resumed = train(tmp_path / "parts", 30)
    assert "line: resumes at step 12 of 30" in capsys.readouterr().err
    assert torch.equal(resumed.weight, whole.weight)
    again = train(tmp_path / "parts", 30)  # finished: nothing but its result
    assert torch.equal(again.weight, whole.weight)


def test_the_average_is_evaluated_and_returned(tmp_path, capsys):
    module, seen = line(), []

    def evaluate(network):
        assert not network.training and not torch.is_grad_enabled()
        seen.append(network.weight.clone())
        return {"distance": (network.weight - 1).abs().max().item()}

    start = module.weight.clone()
    result = train(tmp_path, 100, module, evaluate=evaluate, evaluate_every=40)
    assert [len(seen), result.training, result.weight.requires_grad] == [3, False, False]
    assert torch.equal(seen[-1], result.weight)
    assert (result.weight - 1).abs().max() < (start - 1).abs().max() / 2
    said = capsys.readouterr().err
    assert "line 40/100 held out: distance " in said and "line 100/100 bias " in said
    plain = train(tmp_path / "last", 100, ema_decay=0.0)
    assert not torch.equal(plain.weight, result.weight)


def test_nan_ends_it_and_the_last_checkpoint_stays(tmp_path):
    train(tmp_path, 2)
    module = line()

    def loss_fn(step, rng):
        return module.weight.sum() * math.nan, {}

    with pytest.raises(NotFinite, match="step 3 is nan"):
        fit("line", module, loss_fn, steps=4, peak_lr=1.0, work_dir=tmp_path)
    train(tmp_path, 4)
