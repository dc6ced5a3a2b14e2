"""What a plan asks for, counted in bounded time: classes, kinds, categories, different subjects and prompts, and what
cannot be had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass

from toffee_pipeline.config.base import CATEGORIES, Category, Kind
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.names import some
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.room import distinct, distinct_subjects, room
from toffee_pipeline.plan.subjects import CatalogSubjects, SubjectPlan

MAX_SUBJECTS = 1024
"""A plan of no more subjects is counted whole; of a larger one, this many are."""
STRETCHES = 64
"""Of subjects in a row: a subject bank is read shard by shard, and kinds have their exact share over any stretch."""

Cell = tuple[Kind, Category]
Cells = dict[str, dict[Cell, float]]


@dataclass(frozen=True)
class Survey:
    """Of a plan of `num_subjects` subjects and `num_rows` pairs, or of a bank's subjects alone.

    counted: subjects that were looked at. Where these are not all, the other figures are estimates.
    subjects: of each class. pairs: of each class, by kind and category.
    distinct_subjects, distinct_prompts: how many of them differ. texts: the different prompts that a text encoder would
    read, of the subjects that were looked at; foreign: those of them that are not English. gaps: lines about what is
    asked for and cannot be had.
    """

    num_subjects: int
    num_rows: int
    counted: int
    subjects: dict[str, float]
    pairs: Cells
    distinct_subjects: float
    distinct_prompts: float
    texts: tuple[str, ...]
    foreign: tuple[str, ...]
    gaps: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return self.counted == self.num_subjects

    @property
    def cells(self) -> list[Cell]:
        """The kinds and categories that have a pair, generation first."""
        found = {cell for of_class in self.pairs.values() for cell in of_class}
        return sorted(found, key=lambda cell: (cell[0] == "edit", CATEGORIES.index(cell[1])))

    def total(self, cell: Cell) -> float:
        """Pairs of a kind and category."""
        return sum(of_class.get(cell, 0) for of_class in self.pairs.values())


def survey(plan: SubjectPlan, max_subjects: int = MAX_SUBJECTS) -> Survey:
    """Time and memory: those of `max_subjects` subjects and their pairs at most, whatever the plan's size."""
    numbers = _numbers(plan.num_subjects, max_subjects)
    subjects: Counter[str] = Counter()
    pairs: defaultdict[str, Counter[Cell]] = defaultdict(Counter)
    seen_subjects, seen_prompts, texts = set(), set(), set()
    for number in numbers:
        subject = plan.subject(number)
        subjects[subject.class_name] += 1
        seen_subjects.add((subject.prompt, subject.path))
        texts.add(subject.prompt)
        for pair in plan.pairs(number, subject):
            pairs[subject.class_name][pair.kind, pair.category] += 1
            seen_prompts.add(pair.prompt)
            texts.add(pair.draft_prompt)
    of_class: dict[str, float] = dict(subjects)
    of_cell: Cells = {name: dict(cells) for name, cells in pairs.items()}
    num_subjects, num_prompts = float(len(seen_subjects)), float(len(seen_prompts))
    if len(numbers) < plan.num_subjects:
        of_class = _all_subjects(plan, subjects)
        of_cell = _all_pairs(plan, of_class, subjects, pairs)
        num_subjects, num_prompts = _distinct_subjects(plan, of_class), _distinct_prompts(plan, of_cell)
    gaps = tuple(_gaps(plan, of_class, of_cell))
    return Survey(
        plan.num_subjects,
        plan.num_rows,
        len(numbers),
        of_class,
        of_cell,
        num_subjects,
        num_prompts,
        tuple(sorted(texts)),
        tuple(text for text in sorted(texts) if not is_english(text)),
        gaps,
    )


def _numbers(num_subjects: int, max_subjects: int) -> Sequence[int]:
    """All, or stretches of them from the first to the last."""
    if num_subjects <= max_subjects:
        return range(num_subjects)
    length = max_subjects // STRETCHES
    starts = [(num_subjects - length) * index // (STRETCHES - 1) for index in range(STRETCHES)]
    return [start + offset for start in starts for offset in range(length)]


def _all_subjects(plan: SubjectPlan, counted: Counter[str]) -> dict[str, float]:
    if isinstance(plan.source, CatalogSubjects):
        return plan.source.shares.expected()
    return {name: number * plan.num_subjects / counted.total() for name, number in counted.items()}


def _all_pairs(
    plan: SubjectPlan, of_class: Mapping[str, float], subjects: Counter[str], counted: Mapping[str, Counter[Cell]]
) -> Cells:
    """A class's pairs by the pairs per subject that all classes have which change in the same categories: a class alone
    has too few among those that were looked at."""
    alike = {name: tuple(bool(_num_changes(plan, name, category)) for category in CATEGORIES) for name in of_class}
    pairs: defaultdict[tuple[bool, ...], Counter[Cell]] = defaultdict(Counter)
    num_subjects: Counter[tuple[bool, ...]] = Counter()
    for name, number in subjects.items():
        num_subjects[alike[name]] += number
        pairs[alike[name]].update(counted.get(name, {}))
    return {
        name: {cell: number * each / num_subjects[alike[name]] for cell, each in pairs[alike[name]].items()}
        for name, number in of_class.items()
        if num_subjects[alike[name]]
    }


def _distinct_subjects(plan: SubjectPlan, of_class: Mapping[str, float]) -> float:
    """About how many prompts of a catalogue; of a folder or a bank as many as it holds."""
    if isinstance(plan.source, CatalogSubjects):
        return distinct_subjects(plan.catalog, of_class)
    assert isinstance(plan.source, Sized)
    return min(plan.num_subjects, len(plan.source))


def _distinct_prompts(plan: SubjectPlan, pairs: Cells) -> float:
    """About how many: a class has a prompt for each change, and generation and edit pairs share them."""
    total = 0.0
    for name, cells in pairs.items():
        for category in CATEGORIES:
            draws = cells.get(("generation", category), 0) + cells.get(("edit", category), 0)
            total += distinct(draws, _num_changes(plan, name, category)) if draws else 0
    return total


def _num_changes(plan: SubjectPlan, class_name: str, category: Category) -> int:
    """What a reversed removal takes away is what an addition adds."""
    reverses = isinstance(plan, Plan) and plan.config.pairs.removal == "reverse"
    return len(plan.catalog.choices(class_name, "addition" if reverses and category == "removal" else category))


def _gaps(plan: SubjectPlan, subjects: Mapping[str, float], pairs: Cells) -> Iterator[str]:
    if isinstance(plan.source, CatalogSubjects):
        rooms = {entry.name: sum(room(entry)) for entry in plan.catalog.classes}
        quotas = plan.config.subjects.class_quotas
        if plan.source.shares.gap:
            yield plan.source.shares.gap
        if absent := [name for name in rooms if not round(subjects.get(name, 0))]:
            yield f"classes without a subject: {some(absent)}"
        for name in (name for name, number in quotas.items() if number > rooms[name]):
            yield f"quota of {quotas[name]:,} {name!r}: the catalogue has {rooms[name]:,} different prompts of it"
        if narrow := [name for name, number in subjects.items() if number > rooms[name] and name not in quotas]:
            yield f"classes with more subjects than the catalogue has different prompts: {some(narrow)}"
    if isinstance(plan, Plan):
        yield from _gaps_of("generation", plan.config.pairs.generation_categories, plan, pairs)
        yield from _gaps_of("edit", plan.config.pairs.edit_categories, plan, pairs)


def _gaps_of(kind: Kind, weights: Mapping[Category, float], plan: Plan, pairs: Cells) -> Iterator[str]:
    planned = {category for cells in pairs.values() for of_kind, category in cells if of_kind == kind}
    if not planned:
        return  # `pairs.edit_fraction` asks for no pair of this kind
    for category in (category for category, weight in weights.items() if weight > 0):
        if without := [name for name in pairs if not _num_changes(plan, name, category)]:
            yield f"{kind} {category}: no change for {some(without)}"
        elif category not in planned:
            yield f"{kind} {category}: asked for, but no pair is planned"
