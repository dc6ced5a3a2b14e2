"""What a benchmark found, with the machine and the date: a line on stdout and the file anew after every figure, so that
a run which is cut off loses nothing. `results.py` makes one page of such files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.bars import bars_of

if TYPE_CHECKING:
    import torch

LIBRARIES = ("torch", "ray", "diffusers", "transformers")
CPU_INFO = Path("/proc/cpuinfo")


def cpu_model() -> str:
    """As Linux names it, with its numbers where it has them: a cloud calls processors of many years by one name."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name", "unknown CPU")
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def installed_version(library: str) -> str:
    """A machine with a GPU may lack Ray, which the benchmarks of networks do without."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def matrix_rate(device: torch.device, dtype: torch.dtype | None = None) -> float:
    """FLOP/s of a large matrix product of random numbers, the best of ten. dtype: bfloat16 by default."""
    import torch

    from toffee_pipeline.models.network_clock import now

    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype or torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(12):
        began = now(device)
        a @ b
        times.append(now(device) - began)
    return 2 * size**3 / min(times[2:])


class Record:
    """Figures of one benchmark by name; one that has a bar (`bars.py`) is shown beside it.

    device: that networks compute on, for its name and its rate; None where none does. path: None writes no file.
    """

    def __init__(self, benchmark: str, path: Path | None, device: torch.device | None = None) -> None:
        self.path, self.device = path, device
        self.bars = {bar.figure: bar for bar in bars_of(benchmark)}
        self.peak = matrix_rate(device) if device else None
        self.found: dict[str, Any] = {}
        self.add(
            benchmark=benchmark,
            date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            cpu=cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            **{library: installed_version(library) for library in LIBRARIES},
        )
        if device and self.peak:
            self.add(card=_card(device), measured_bf16_matrix_tflop_per_s=self.peak / 1e12)

    def add(self, **figures: Any) -> None:
        """Those that were there under these names are replaced. "conditions": one line for the page."""
        if self.device is not None and self.device.type == "cuda":
            import torch

            figures = {**figures, "peak_memory_gib": round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)}
        self.found |= figures
        for name, value in figures.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(
                f"{name:42} {shown}" + (f"  {self.bars[name].verdict(value)}" if name in self.bars else ""), flush=True
            )
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.found, indent=2) + "\n")


def _card(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


json_option: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Also write the figures to this file."
)
