"""What a GPU has used, by its own counter. NVML counts since its driver was loaded, for all who compute on it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a stage without models should not load torch
    import torch

LIBRARY = "libnvidia-ml.so.1"
"""Of NVIDIA's driver; its Python package would be one more dependency for three calls."""

Meter = Callable[[], float | None]
"""Joules so far; None where nobody counts."""


def no_meter() -> None:
    """Where there is no counter."""


def meter_of(device: torch.device) -> Meter:
    """The counter of the GPU that a process computes on."""
    if device.type != "cuda":
        return no_meter
    import torch

    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:  # a driver of another maker
        return no_meter
    return nvml_meter(library, f"GPU-{torch.cuda.get_device_properties(device).uuid}")


def nvml_meter(library: Any, uuid: str) -> Meter:
    """`no_meter` where the GPU counts nothing, such as one from before Volta or a part of one (MIG)."""
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()

    def read() -> float | None:
        failed = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        return None if failed else millijoules.value / 1000

    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
        return no_meter
    return no_meter if read() is None else read
