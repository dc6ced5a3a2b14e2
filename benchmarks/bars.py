"""The bars: each a figure of one benchmark that must not be missed, and how that benchmark is run for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A script that writes one file of results. gpu: it has figures on a GPU alone."""

    module: str
    arguments: str = ""
    gpu: bool = False

    @property
    def command(self) -> str:
        return " ".join(filter(None, (f"python -m benchmarks.{self.module}", self.arguments)))


BENCHMARKS = {
    "overhead": Benchmark("overhead", "--pairs 320 --actors 1"),
    "scaling": Benchmark("scaling", "--gpus 8 --gpus 32"),
    "scaling_64": Benchmark("scaling", "--gpus 64 --scale 0.3"),
    "straggler": Benchmark("straggler"),
    "placement": Benchmark("placement"),
    "sdxl_stage": Benchmark("sdxl_stage", gpu=True),
    "busy": Benchmark("busy", gpu=True),
    "optimum_tiny": Benchmark("optimum", "--device cpu --tiny --shards 8"),
    "optimum": Benchmark("optimum", gpu=True),
    "driver_memory": Benchmark("driver_memory", "--subjects-per-shard 16"),
    "pairset_memory": Benchmark("pairset_memory"),
    "steps": Benchmark("steps"),
    "train_job": Benchmark("train_step", "--job-only"),
    "train_step": Benchmark("train_step", "--published-only", gpu=True),
    "refilter": Benchmark("refilter"),
    "report_size": Benchmark("report_size"),
}
"""By the name of their file."""


@dataclass(frozen=True)
class Bar:
    """number: of the table of bars. figure: its key in the benchmark's file."""

    number: int
    benchmark: str
    figure: str
    what: str
    bound: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:.2f}"

    def verdict(self, value: float) -> str:
        return f"(bar {self}: {'met' if self.met(value) else 'missed'})"


BARS = (
    Bar(1, "overhead", "ratio_1", "a job's wall time / the pure compute of its stages, nano, one actor", 1.05),
    *(
        Bar(2, benchmark, f"ratio_{gpus}", f"{gpus} GPUs / {gpus} times one GPU, in work per second", bound, True)
        for benchmark, gpus, bound in (("scaling", 8, 0.97), ("scaling", 32, 0.97), ("scaling_64", 64, 0.95))
    ),
    Bar(3, "straggler", "ratio", "wall time / ideal, one of eight workers three times slower", 1.05),
    *(
        Bar(4, "placement", f"ratio_{gpus}", f"`auto` / whole-GPU pools per stage, {gpus} GPUs", bound, True)
        for gpus, bound in ((4, 2.0), (8, 1.1), (16, 1.0), (32, 1.0), (64, 1.0))
    ),
    Bar(5, "sdxl_stage", "ratio", "images per second, draft and refine / the usual loop of pipelines", 1.8, True),
    Bar(6, "busy", "ratio", "kernel-busy time / wall time over whole shards", 0.97, True),
    Bar(7, "optimum_tiny", "ratio", "seconds per accepted pair / the closed form, miniatures on a CPU", 1.02),
    Bar(7, "optimum", "ratio", "GPU seconds per accepted pair / the closed form, real size", 1.02),
    Bar(8, "driver_memory", "ratio", "driver's peak memory at 100 k pairs / at 1 k", 1.10),
    Bar(8, "driver_memory", "worker_ratio", "workers' peak memory at 100 k pairs / at 1 k", 1.10),
    Bar(8, "pairset_memory", "ratio", "peak memory of refining 100 k given pairs / 1 k", 1.10),
    Bar(9, "steps", "speedup", "DPM++ 2M Karras at 25 steps / DDIM at 100, in pairs per second", 3.5, True),
    Bar(9, "steps", "worst_loss", "of its scores, the largest loss / its error bar", 1.0),
    Bar(10, "train_job", "ratio", "images per second, the Refiner's job / its bare step", 0.95, True),
    *(
        Bar(10, "train_step", f"{job}_utilisation", f"model FLOP utilisation of training {name}, real size", 0.4, True)
        for job, name in (
            ("refiner", "the Refiner"),
            ("view_generator", "the View Generator"),
            ("toffeenet", "ToffeeNet"),
        )
    ),
    Bar(11, "refilter", "seconds", "seconds to decide anew over a ledger of 1 M pairs", 10.0),
    Bar(11, "refilter", "peak_gib", "GiB of memory that this takes at most", 1.0),
    Bar(12, "report_size", "noise_mb", "MB of the report of 10 k pairs of 1024 px, noise in every picture", 20.0),
    Bar(12, "report_size", "photographs_mb", "MB of it with the spectrum of photographs", 20.0),
)


def bars_of(benchmark: str) -> list[Bar]:
    """Of the benchmark with this file, and of those that are the same script under other arguments."""
    return [bar for bar in BARS if benchmark in (bar.benchmark, BENCHMARKS[bar.benchmark].module)]
