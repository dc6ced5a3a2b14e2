"""The import rules: the contracts of pyproject.toml, and what import-linter cannot say."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("toffee_pipeline", "actors", "jobs") for path in (ROOT / folder).rglob("*.py"))
MAY_LOAD_TORCH = (
    "toffee_pipeline/models/",
    "toffee_pipeline/train/",
    "toffee_pipeline/evaluation/",
    "toffee_pipeline/recipe/",
)
SLOW_TO_IMPORT = {"torch", "diffusers", "transformers", "open_clip", "segment_anything", "ray"}


def modules_at_import(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_every_contract_of_the_layout_is_kept():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_model_libraries_are_loaded_where_they_are_needed():
    """Late imports elsewhere: a driver starts in a second."""
    loaded = {}
    for path in FILES:
        packages = {module.split(".")[0] for module in modules_at_import(ast.parse(path.read_text()))}
        if not (name := path.relative_to(ROOT).as_posix()).startswith(MAY_LOAD_TORCH):
            loaded[name] = packages & SLOW_TO_IMPORT
    assert {name: packages for name, packages in loaded.items() if packages} == {}


def test_files_stay_readable():
    assert {path.name: lines for path in FILES if (lines := len(path.read_text().splitlines())) > 350} == {}


def test_the_picture_of_the_architecture_is_the_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    packages, library = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    expected = [set(floor.split(" | ")) for floor in (*packages[:-1], *library)]
    drawn: dict[str, set[str]] = {}
    picture = (ROOT / "docs/images/architecture.svg").read_text()
    for room, height in re.findall(r'class="room" id="(\w+)"><rect x="\d+" y="(\d+)"', picture):
        drawn.setdefault(height, set()).add(room)
    assert list(drawn.values()) == expected


def test_every_file_beside_the_modules_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folder = ROOT / "toffee_pipeline"
    packaged = {path for pattern in settings["package-data"]["toffee_pipeline"] for path in folder.glob(pattern)}
    files = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert not files - packaged
