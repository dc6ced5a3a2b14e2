"""DreamBench, the benchmark of DreamBooth (github.com/google/dreambooth): `dataset/SUBJECT/*.jpg` and
`dataset/prompts_and_classes.txt`."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.plan.benchmark import Benchmark, BenchmarkSubject, Prompt, real_images
from toffee_pipeline.plan.stored_list import stays_below

LIST = "prompts_and_classes.txt"
LIVE_CLASSES = frozenset({"cat", "dog"})
"""The file has prompts for live subjects and does not say which these are: DreamBooth's nine cats and dogs."""
NUM_PROMPTS = 25
CATEGORIES = {
    "object": ("recontextualization",) * 20,
    "live": ("recontextualization",) * 10 + ("accessorization",) * 10,
}
"""Of the first prompts (DreamBooth, section 4.1); the last five change a property."""
PLACE = re.compile(r"\{[01]\}")
"""Of a word in a prompt. A stranger's list is no format string: those may look into objects, and take any memory."""
_HEADINGS = {"object": "Object Prompts", "live": "Live Subject Prompts"}


def load_dreambench(root: Path) -> Benchmark:
    """The benchmark below `root`, the folder that holds `dataset/`, or `dataset/` itself.

    Raises PlanError that names the file or folder and what is expected there.
    """
    folder = dataset_folder(root)
    path = folder / LIST
    try:
        text = read_plain(path).decode()
    except OSError as error:
        raise PlanError(
            f"benchmark.path: {path}: {error.strerror or error}; DreamBench's list of prompts is expected"
        ) from error
    except UnicodeDecodeError as error:
        raise PlanError(f"benchmark.path: {path}: not UTF-8") from error
    templates, classes = parse_prompts(text, str(path)), parse_classes(text, str(path))
    subjects = []
    for name, class_name in sorted(classes.items()):
        files = [file for file in (folder / name).glob("*") if file.suffix.lower() in SUFFIXES]
        if not files:
            raise PlanError(f"benchmark.path: {folder / name}: no image of the subject that {LIST} names")
        group = "live" if class_name in LIVE_CLASSES else "object"
        prompts = tuple(Prompt(fill(each.text, class_name), each.category) for each in templates[group])
        subjects.append(BenchmarkSubject(name, class_name, group, real_images(folder, files), prompts))
    return Benchmark("dreambench", tuple(subjects))


def dataset_folder(root: Path) -> Path:
    return root / "dataset" if (root / "dataset").is_dir() else root


def parse_prompts(text: str, name: str) -> dict[str, tuple[Prompt, ...]]:
    """ "object" and "live" to 25 templates each, with {0} for a rare token and {1} for the class."""
    found = {}
    for group, heading in _HEADINGS.items():
        _, _, after = text.partition(f"\n{heading}\n")
        body = after.partition("]")[0]
        lines = re.findall(r"^\s*'(.*)'\.format\(unique_token, class_token\)", body, re.M)
        if len(lines) != NUM_PROMPTS:
            raise PlanError(f"{name}: {NUM_PROMPTS} prompts are expected under {heading!r}, not {len(lines)}")
        if wrong := [line for line in lines if re.search("[{}]", PLACE.sub("", line))]:
            raise PlanError(f"{name}: {wrong[0]!a}: allowed in braces are {{0}} and {{1}}")
        kinds = (*CATEGORIES[group], *("property",) * 5)
        found[group] = tuple(Prompt(line, kind) for line, kind in zip(lines, kinds, strict=True))
    return found


def parse_classes(text: str, name: str) -> dict[str, str]:
    """Subject to class."""
    _, _, after = text.partition("subject_name,class\n")
    try:
        rows = [[field.strip() for field in row] for row in csv.reader(after.partition("\n\n")[0].splitlines())]
    except csv.Error as error:
        raise PlanError(f"{name}: {error}") from error
    if not rows or any(len(row) != 2 for row in rows):
        raise PlanError(f"{name}: lines of SUBJECT,CLASS are expected under 'subject_name,class'")
    for subject, _ in rows:
        if not subject.isprintable():
            raise PlanError(f"{name}: {subject!a} is no name of a folder")
        try:
            stays_below(subject)
        except ValueError as error:
            raise PlanError(f"{name}: {error}") from error
    return dict(rows)


def fill(template: str, class_name: str) -> str:
    """ "a {0} {1} in the jungle" -> "a backpack in the jungle": without a rare token, which no tuning-free model
    knows."""
    words = {"{0}": "", "{1}": class_name}
    return " ".join(PLACE.sub(lambda place: words[place[0]], template).split())
