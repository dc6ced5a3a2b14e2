"""An evaluation on Ray gives the figures of one without it."""

import subprocess
import sys

from click.testing import CliRunner

from jobs import evaluate
from tests.helpers.toffeenet_run import write_run
from toffee_pipeline.rundir.layout import FIGURES

SETTINGS = (
    "benchmark.max_subjects=2",
    "benchmark.max_prompts=2",
    "images_per_prompt=1",
    "stages.draw.sampling.num_inference_steps=2",
)


def test_drawing_and_scoring_in_pools_give_the_same_figures(tmp_path, cluster):
    write_run(tmp_path / "toffeenet")

    def words(name, placement):
        sets = [word for item in (*SETTINGS, f"placement={placement}") for word in ("--set", item)]
        return ["--output", str(tmp_path / name), "--model", str(tmp_path / "toffeenet"), *sets]

    here = CliRunner().invoke(evaluate.main, words("inline", "inline"), catch_exceptions=False)
    assert here.exit_code == 0, here.output
    command = [sys.executable, "jobs/evaluate.py", *words("pools", "pools")]
    pools = subprocess.run(command, env=cluster.driver, capture_output=True, text=True)
    assert pools.returncode == 0, pools.stdout + pools.stderr
    assert "placement pools" in pools.stdout
    assert (tmp_path / "pools" / FIGURES).read_bytes() == (tmp_path / "inline" / FIGURES).read_bytes()
