"""What a measurement reads: seconds in networks, and memory."""

import mmap

import pytest
import torch

from toffee_pipeline.models.memory import CpuMemory
from toffee_pipeline.models.network_clock import NetworkClock


def test_the_clock_counts_the_outermost_calls_of_networks():
    clock, inner = NetworkClock(torch.device("cpu")), torch.nn.Linear(256, 256)
    network = torch.nn.Sequential(inner, torch.nn.ReLU())
    with clock.finding():
        network(torch.zeros(64, 256))
    assert clock.networks == {network}
    assert clock.seconds == 0
    with clock.running():
        network(torch.zeros(64, 256))
        inside = clock.seconds
        with pytest.raises(RuntimeError):
            network(torch.zeros(64, 1))
        network(torch.zeros(64, 256))
    assert 0 < inside < clock.seconds
    after = clock.seconds
    network(torch.zeros(64, 256))
    assert clock.seconds == after


def test_memory_peaks_are_those_since_the_restart():
    memory = CpuMemory()
    with mmap.mmap(-1, 64 * 2**20) as block:  # torch's may lie in memory that this process has long had
        block.write(b"1" * len(block))
        assert memory.held_bytes() + len(block) // 2 < memory.limit_bytes
        high = memory.peak_bytes()
    memory.restart()
    assert memory.peak_bytes() <= high - 32 * 2**20
