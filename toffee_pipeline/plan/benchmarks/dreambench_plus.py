"""DreamBench++ (github.com/yuangpeng/dreambench_plus), in its own layout: `images/**/NN.jpg`, one per subject, and
`captions/**/NN.txt`, the subject on the first line and a prompt on each of the others."""

from __future__ import annotations

from pathlib import Path

from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.plan.benchmark import Benchmark, BenchmarkSubject, Prompt, real_images

CATEGORIES = ("photorealistic",) * 4 + ("style_transfer",) * 3 + ("imaginative",) * 2


def load_dreambench_plus(root: Path) -> Benchmark:
    """The benchmark below `root`, the folder that holds `images/` and `captions/`. Subjects are named as there:
    "live_subject_animal_00_kitten".

    Raises PlanError that names the file or folder and what is expected there.
    """
    images, captions = root / "images", root / "captions"
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise PlanError(f"benchmark.path: {images}: no image; DreamBench++ has them in images/ and captions/")
    subjects = [_subject(root, path, captions / path.relative_to(images).with_suffix(".txt")) for path in files]
    return Benchmark("dreambench++", tuple(sorted(subjects, key=lambda subject: subject.subject_id)))


def _subject(root: Path, image: Path, caption: Path) -> BenchmarkSubject:
    try:
        lines = [line.strip() for line in read_plain(caption).decode().splitlines() if line.strip()]
    except OSError as error:
        raise PlanError(f"benchmark.path: {caption}: {error.strerror or error}; {image} needs its prompts") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"benchmark.path: {caption}: not UTF-8") from error
    if len(lines) != 1 + len(CATEGORIES):
        raise PlanError(f"benchmark.path: {caption}: a subject and {len(CATEGORIES)} prompts are expected")
    name, *texts = lines
    group = image.parent.name
    lead = f"live_subject_{group}" if group in ("animal", "human") else group
    return BenchmarkSubject(
        f"{lead}_{image.stem}_{name.lower().replace(' ', '_')}",
        name,
        group,
        real_images(root, [image]),
        tuple(Prompt(text, category) for text, category in zip(texts, CATEGORIES, strict=True)),
    )
