"""What README and docs name exists, and what a user can give is named there."""

import importlib.util
import re
from pathlib import Path

import click
import pytest

from toffee_pipeline.config.keys import below
from toffee_pipeline.config.load import CONFIGS
from toffee_pipeline.config.page import page

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "toffee_pipeline/nano/CARD.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(path.read_text() for path in PAGES)
JOBS = {
    path.stem: importlib.import_module(f"jobs.{path.stem}").main for path in sorted((ROOT / "jobs").glob("[!_]*.py"))
}
BLOCKS = [block.replace("\\\n", " ") for block in re.findall(r"^ *```bash\n(.*?)^ *```", TEXT, re.M | re.S)]
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", TEXT, flags=re.M | re.S))
CODE = [line for block in BLOCKS for line in block.splitlines()] + INLINE
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = {
    *re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M),
    *(f"nano-{name}" for name in re.search(r"addprefix nano-, ([a-z -]+)\)", MAKEFILE)[1].split()),
}


def job_options():
    return {(job, option) for job, main in JOBS.items() for option in options_of(main)}


def options_of(main):
    commands = main.commands.values() if isinstance(main, click.Group) else [main]
    parameters = [parameter for command in commands for parameter in command.params]
    return {word for parameter in parameters if isinstance(parameter, click.Option) for word in parameter.opts}


def is_key(words, annotations):
    """Whether the first of the words is a key of one of these, the next a key below it and so on; * is any."""
    for word in words:
        names = [word] if word != "*" else sorted({name for each in annotations for name in each.model_fields})
        annotations = [inner for each in annotations for name in names for inner in below(each, name)]
    return bool(annotations)


def named_keys():
    """Config keys that the pages name: with a value, or dotted below a key of the top."""
    tops = {name for config in CONFIGS for name in config.model_fields}
    for code in CODE:
        yield from re.findall(r"--set '?([\w.]+)=(?!value)", code)
    for code in INLINE:
        match = re.fullmatch(r"([a-z_]+(?:\.[a-z_0-9*]+)*)(?:[=:] ?\S+)?", code)
        if match and match[1].split(".")[0] in tops:
            yield match[1]


def test_every_command_that_is_named_exists():
    jobs = {job for code in CODE for job in re.findall(r"\bjobs/(\w+)\.py", code)}
    assert jobs <= {path.stem for path in (ROOT / "jobs").glob("*.py")}
    modules = {module for code in CODE for module in re.findall(r"python -m ([\w.]+)", code)}
    assert {module for module in modules if importlib.util.find_spec(module) is None} == set()
    scripts = {script for code in CODE for script in re.findall(r"^(cluster/\S+\.sh)", code)}
    assert scripts and all((ROOT / script).is_file() for script in scripts)


def test_every_option_that_is_given_to_a_job_exists():
    given = set()
    for code in CODE:
        for job, words in re.findall(r"\bjobs/(\w+)\.py([^#|]*)", code):
            given |= {(job, option) for option in re.findall(r"(?<!\S)(--[a-z-]+)", words)}
        for job, words in re.findall(r'^make submit(?: JOB=(\w+))? ARGS="([^"]*)"', code):
            given |= {(job or "generate", option) for option in re.findall(r"(?<!\S)(--[a-z-]+)", words)}
    assert given
    assert given - job_options() == set()


def test_every_target_that_is_named_exists():
    named = {target for code in CODE for target in re.findall(r"^make ([a-z][a-z-]*)", code)}
    assert named and named <= TARGETS


def test_every_config_key_that_is_named_exists():
    keys = set(named_keys())
    assert len(keys) > 30
    assert {key for key in keys if not is_key(key.split("."), CONFIGS)} == set()


def test_every_path_of_the_project_that_is_linked_exists():
    for path in PAGES:
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
        assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("job", JOBS)
def test_every_job_and_its_options_are_named(job):
    assert f"jobs/{job}.py" in TEXT
    assert {option for option in options_of(JOBS[job]) if not re.search(rf"(?<![\w-]){option}(?![\w-])", TEXT)} == set()


def test_every_target_is_named():
    assert {target for target in TARGETS if not re.search(rf"make {target}(?![\w-])", TEXT)} == set()


def test_the_page_of_settings_is_fresh():
    """With it every key is named."""
    assert (ROOT / "docs/config.md").read_text() == page(), "python -m toffee_pipeline.config.page > docs/config.md"
