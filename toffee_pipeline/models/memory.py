"""Memory of the device that computes: of a GPU what this process holds there, of a CPU the process itself (Linux)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path

import psutil
import torch

GIB = 2**30
HEADROOM = 0.9
"""Of the memory that is there: fragments, and what other libraries take, need the rest."""


class Memory(ABC):
    """limit_bytes: what the process may hold."""

    limit_bytes: float

    @abstractmethod
    def held_bytes(self) -> int: ...

    @abstractmethod
    def peak_bytes(self) -> int:
        """Most that was held since `restart`."""

    @abstractmethod
    def restart(self) -> None: ...


class CpuMemory(Memory):
    def __init__(self) -> None:
        self._process = psutil.Process()
        self.limit_bytes = self.held_bytes() + HEADROOM * psutil.virtual_memory().available

    def held_bytes(self) -> int:
        return self._process.memory_info().rss

    def peak_bytes(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def restart(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")


class GpuMemory(Memory):
    def __init__(self, device: torch.device) -> None:
        self._device = device
        free, _ = torch.cuda.mem_get_info(device)
        self.limit_bytes = torch.cuda.memory_reserved(device) + HEADROOM * free

    def held_bytes(self) -> int:
        return torch.cuda.memory_allocated(self._device)

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_reserved(self._device)

    def restart(self) -> None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)


def memory_of(device: torch.device) -> Memory:
    return GpuMemory(device) if device.type == "cuda" else CpuMemory()
