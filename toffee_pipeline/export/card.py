"""The README.md of an export: a Hugging Face dataset card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.config.refine_pairs import PairDatasetConfig, RefinementConfig
from toffee_pipeline.export.formats.base import Format
from toffee_pipeline.export.licenses import license_of
from toffee_pipeline.export.parts import ExportHeader, records
from toffee_pipeline.export.rows import given_columns, made_by
from toffee_pipeline.export.words import words_of
from toffee_pipeline.filters import GATES, MASK_BOUNDS, REASONS, SCORES, Rejection
from toffee_pipeline.models.roles import ROLES, refiner_vae
from toffee_pipeline.plan.names import one_line
from toffee_pipeline.rundir.description import PairRun, ViewRun
from toffee_pipeline.rundir.layout import CARD
from toffee_pipeline.rundir.recut import CAPS
from toffee_pipeline.rundir.totals import total
from toffee_pipeline.storage import Storage
from toffee_pipeline.templates import load_template

TEMPLATE = Path(__file__).parent / "templates" / "dataset_card.md"
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}


def write_card(source: Storage, target: Storage, run: PairRun, header: ExportHeader, form: Format) -> None:
    """Writes or replaces it. Every number in it is counted from the export's records and the run's manifests."""
    target.put(CARD, card(source, target, run, header, form).encode())


def card(source: Storage, target: Storage, run: PairRun, header: ExportHeader, form: Format) -> str:
    """The text: YAML between lines of dashes, then Markdown."""
    rows: dict[str, Counter[str]] = {}
    categories: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    for part in records(target, header.num_parts):
        for split, kinds in part.rows.items():
            rows.setdefault(split, Counter()).update(kinds)
        categories.update(part.categories)
        classes.update(part.classes)
    num_rows = sum(categories.values())
    totals = total(source)
    given = run.config.source if isinstance(run.config, RefinementConfig) else None
    photographs = given is None and bool(given_columns(run))
    text = load_template(TEMPLATE, one_line=one_line).render(
        name=_name(target),
        run=run,
        header=header,
        rows=dict(sorted(rows.items())),
        kinds=form.kinds,
        given=given,
        photographs=photographs,
        words=list(words_of(run, source, captions=photographs)),
        num_rows=num_rows,
        categories=dict(sorted(categories.items())),
        classes=dict(classes.most_common()),
        counts=totals.counts(),
        thresholds=_thresholds(run),
        models=_models(run),
        stand_ins=sorted(role for role, who in run.roles.items() if "stand-in" in who),
        miniature=any("nano" in who or "untrained" in who for who in run.roles.values()),
        gpu_hours=totals.gpu_seconds / 3600,
        compute_hours=sum(figures.seconds for figures in totals.stages.values()) / 3600,
        made_by=made_by(),
    )
    metadata = _metadata(header, form, run.config, rows, num_rows)
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n{text}"


def _metadata(
    header: ExportHeader, form: Format, config: PairDatasetConfig, rows: dict[str, Counter[str]], num_rows: int
) -> dict[str, Any]:
    configs = form.configs({split: sorted(kinds) for split, kinds in sorted(rows.items())})
    features = {name: form.features(name, config.output.image_format) for name in configs}
    declared = [{"config_name": name, "features": columns} for name, columns in features.items() if columns is not None]
    return {
        "license": header.license,
        "task_categories": ["text-to-image", "image-to-image"],
        **({"language": ["en"]} if config.other_languages == "refuse" else {}),
        "tags": ["subject-driven-generation", "image-editing", "synthetic", "toffee"],
        "size_categories": [next((name for size, name in SIZES.items() if num_rows < size), "10M<n<100M")],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": split, "path": pattern} for split, pattern in patterns.items()],
            }
            for name, patterns in configs.items()
        ],
        **({"dataset_info": declared} if declared else {}),
    }


def _name(target: Storage) -> str:
    return target.uri.rstrip("/").rpartition("/")[2]


def _thresholds(run: PairRun) -> list[str]:
    """A sentence for each bound that was on, a view's own last."""
    stages = run.config.stages
    of_subjects: list[Rejection] = []
    if isinstance(run.config, RunConfig):  # of given pairs these judge nothing
        made_here = run.config.subjects.source != "bank"
        of_subjects = [*([REASONS["duplicate_subject"]] if made_here else []), *MASK_BOUNDS]
    bounds = [*of_subjects, *(bound for score in (*GATES.values(), *SCORES) for bound in score.bounds)]
    on = [bound for bound in bounds if getattr(getattr(stages, bound.stage, None), bound.key, None) is not None]
    return [*(bound.explain(stages) for bound in on), *(_caps(run.view) if isinstance(run, ViewRun) else ())]


def _caps(view: RefilterConfig) -> Iterator[str]:
    if view.min_subject_hash_distance is not None:
        bits = f"differing bits of their perceptual hashes, below {view.min_subject_hash_distance}"
        yield f"{REASONS['near_duplicate'].sentence}: {bits}"
    for reason, (_, setting) in CAPS.items():
        if (most := getattr(view, setting)) is not None:
            yield f"{REASONS[reason].sentence} than {'the one with the fewest has' if most == 'fewest' else most}"


def _models(run: PairRun) -> list[tuple[str, str, str]]:
    """Role, who played it, and the licence of its weights, in words."""
    models: list[tuple[str, str, str]] = []
    for name, role in ROLES.items():
        for weights in role.weights:
            if weights.label in run.roles and run.config.player(name) == "networks":
                spec = (
                    refiner_vae(run.config.models)[0]
                    if weights.key == "vae"
                    else getattr(run.config.models, weights.key)
                )
                models.append((weights.label, run.roles[weights.label], license_of(spec)))
        if name in run.roles and run.config.player(name) != "networks":
            models.append((name, run.roles[name], "none"))
    return list(dict.fromkeys(models))
