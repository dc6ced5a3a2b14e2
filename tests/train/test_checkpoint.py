"""Checkpoints: their JSON makes them count, the last ones are kept, leftovers go."""

import pytest
import torch

from toffee_pipeline.errors import MissingKey
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.checkpoint import load_checkpoint, save_checkpoint
from toffee_pipeline.train.data.stream import Position
from toffee_pipeline.train.saved import steps_saved


def state(value):
    tensor = torch.full((3,), float(value))
    moments = {"layer.weight": {"exp_avg": tensor * 2, "step": torch.tensor(float(value))}}
    groups = [{"lr": 1e-3, "betas": [0.9, 0.99], "params": ["layer.weight"]}]
    return {
        "network": {"layer.weight": tensor},
        "average": {"layer.weight": tensor / 2},
        "optimizer": {"state": moments, "param_groups": groups},
        "figures": {"loss": 0.5},
    }


def test_a_checkpoint_comes_back(tmp_path):
    storage = open_storage(str(tmp_path))
    save_checkpoint(storage, 7, state(7), [Position(3, 2), Position(4, 0)], keep=2)
    loaded, positions = load_checkpoint(storage, 7)
    assert positions == [Position(3, 2), Position(4, 0)]
    expected = state(7)
    torch.testing.assert_close(loaded["network"], expected["network"])
    torch.testing.assert_close(loaded["average"], expected["average"])
    torch.testing.assert_close(loaded["optimizer"]["state"], expected["optimizer"]["state"])
    assert loaded["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    assert loaded["figures"] == {"loss": 0.5}


def test_the_last_ones_stay_and_leftovers_go(tmp_path):
    storage = open_storage(str(tmp_path))
    for step in (2, 4):
        save_checkpoint(storage, step, state(step), [], keep=2)
    storage.put("checkpoints/step-00000005-network.safetensors", b"of a killed try")
    storage.put("checkpoints/step-00000099-network.safetensors", b"another try writes it now")
    assert steps_saved(storage) == [2, 4]
    save_checkpoint(storage, 6, state(6), [], keep=2)
    assert steps_saved(storage) == [4, 6]
    left = {key.split("/")[1][:13] for key, _ in storage.list("checkpoints/")}
    assert left == {"step-00000004", "step-00000006", "step-00000099"}
    with pytest.raises(MissingKey):
        load_checkpoint(storage, 99)
