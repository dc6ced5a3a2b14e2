"""The import rules: jobs -> actors -> toffee_pipeline, Ray and torch only where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("toffee_pipeline", "actors", "jobs") for path in (ROOT / folder).rglob("*.py"))
KNOW_RAY = {
    "actors/executors/on_ray.py",
    "toffee_pipeline/on_ray/metrics.py",
    "toffee_pipeline/on_ray/session.py",
    "toffee_pipeline/train/launch.py",
    "toffee_pipeline/train/ray_data.py",
}
MAY_LOAD_TORCH = (
    "toffee_pipeline/models/",
    "toffee_pipeline/train/",
    "toffee_pipeline/evaluation/",
    "toffee_pipeline/nano/",
    "toffee_pipeline/recipe/",
)
FORBIDDEN = {
    "toffee_pipeline": {"actors", "jobs"},
    "actors": {"jobs"},
    "jobs": set(),
}
INSIDE = {"models": {"train", "evaluation"}, "plan": {"models", "train", "evaluation", "nano"}}
"""Packages of the library and those that they must not import."""


def imports(tree: ast.AST, top_level_only: bool = False):
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_import_rules(path):
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text())
    everywhere = set(imports(tree))
    packages = {module.split(".")[0] for module in everywhere}
    assert not packages & FORBIDDEN[name.split("/")[0]]
    if name not in KNOW_RAY and not name.startswith("jobs/"):
        assert "ray" not in packages
    at_import = {module.split(".")[0] for module in imports(tree, top_level_only=True)}
    if not name.startswith(MAY_LOAD_TORCH):
        assert not at_import & {"torch", "diffusers", "transformers", "open_clip", "segment_anything"}
    for package, forbidden in INSIDE.items():
        if name.startswith(f"toffee_pipeline/{package}/"):
            assert (
                not {module.split(".")[1] for module in everywhere if module.startswith("toffee_pipeline.")} & forbidden
            )


def test_files_stay_readable():
    assert {path.name: lines for path in FILES if (lines := len(path.read_text().splitlines())) > 350} == {}


def test_what_needs_no_model_loads_no_torch():
    """Importing the model libraries takes seconds, at each start of a job and in each process that reads a plan."""
    code = "import sys, jobs.generate, jobs.verify; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
