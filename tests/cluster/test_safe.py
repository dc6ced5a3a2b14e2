"""No example opens a port to everybody, turns authentication off or carries a secret; the image runs as a user."""

import re
import shlex

import pytest
import yaml

from tests.helpers.examples import CLUSTER, ROOT

EXAMPLES = [path for path in sorted(CLUSTER.rglob("*")) if path.is_file()]
GUIDES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md"))]
OPEN = re.compile(r"0\.0\.0\.0|::/0|dashboard-host[=: \"']+(?!127\.0\.0\.1)|\[::\]")
UNAUTHENTICATED = re.compile(r"AUTH_MODE[=:\s\"']+(?!token)\w+|\bmode:\s*disabled")
SECRET = re.compile(r"AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{20}|AUTH_TOKEN=[0-9a-f]")


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", EXAMPLES + GUIDES, ids=name)
def test_nothing_is_open_and_nothing_is_secret(path):
    text = path.read_text()
    for pattern in (OPEN, UNAUTHENTICATED, SECRET):
        assert pattern.findall(text) == []


@pytest.mark.parametrize(
    "bad",
    ["--dashboard-host=0.0.0.0", "dashboard-host: '::'", "RAY_AUTH_MODE=disabled", "authOptions: {mode: disabled}"],
)
def test_the_patterns_find_what_they_are_for(bad):
    assert OPEN.search(bad) or UNAUTHENTICATED.search(bad)


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.suffix == ".yaml"], ids=name)
def test_every_file_is_plain_yaml(path):
    assert list(yaml.safe_load_all(path.read_text()))


def test_every_head_that_we_start_has_token_and_loopback():
    aws = yaml.safe_load((CLUSTER / "aws/cluster.yaml").read_text())
    assert "--env RAY_AUTH_MODE=token" in aws["docker"]["run_options"]
    assert list(aws["file_mounts"]) == ["/home/ray/.ray/auth_token"]
    script = (CLUSTER / "one_node.sh").read_text()
    assert "RAY_AUTH_MODE=token" in script
    for text in (*aws["head_start_ray_commands"], script):
        for command in re.findall(r"ray start --head[^\n]*", text):
            assert "--dashboard-host=127.0.0.1" in shlex.split(command)


def test_the_image_is_pinned_and_runs_as_a_user():
    lines = [line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    steps = [line.split(maxsplit=1) for line in lines if not line.startswith(" ")]
    users = [argument for step, argument in steps if step == "USER"]
    assert users[-1:] == ["ray"]
    assert all(":" in argument for step, argument in steps if step == "FROM")
    assert any("--constraint /app/constraints.txt" in argument for step, argument in steps if step == "RUN")
    for step, argument in steps:
        if step == "COPY":
            assert all((ROOT / source).exists() for source in argument.split()[:-1])  # and never the whole folder
            assert "." not in argument.split()[:-1]
