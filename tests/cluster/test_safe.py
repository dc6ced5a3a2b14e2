"""No example opens a port to everybody, turns authentication off or carries a secret; the image runs as a user."""

import re
import shlex
import tomllib

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
    assert all(re.search("@sha256:[0-9a-f]{64}$", argument) for step, argument in steps if step == "FROM")
    installs = [argument for step, argument in steps if step == "RUN" and "pip install" in argument]
    assert all("--require-hashes" in argument or "--no-deps --no-build-isolation" in argument for argument in installs)
    for step, argument in steps:
        if step == "COPY":
            assert all((ROOT / source).exists() for source in argument.split()[:-1])  # and never the whole folder
            assert "." not in argument.split()[:-1]


def plain(requirement):
    """Its name as registries compare it."""
    name, *version = requirement.split("==")
    return "==".join([re.sub("[-_.]+", "-", name).lower(), *version])


def test_the_image_installs_the_pinned_versions_each_with_its_hashes():
    pinned = {plain(line) for line in (ROOT / "constraints.txt").read_text().split()}
    entries = re.split(r"\n(?=\w)", "\n" + (CLUSTER / "requirements.txt").read_text())[1:]
    assert all(re.search("--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    installed = {plain(entry.split()[0]) for entry in entries}
    assert {entry.split("==")[0] for entry in installed - pinned} <= {"setuptools"}  # which builds the package
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {plain(re.match(r"[\w.-]+", name)[0]) for name in needed} <= {entry.split("==")[0] for entry in installed}
