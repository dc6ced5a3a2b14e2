"""How many different prompts there are, against drawing them."""

import numpy as np
import pytest

from benchmarks.prompt_room import DistinctCounter
from toffee_pipeline.plan.catalog import Catalog, SubjectClass
from toffee_pipeline.plan.room import distinct, distinct_subjects, room

COLORS = ("red", "blue", "green")
ENTRY = SubjectClass(
    "orange",
    subject_prompts=(
        "{medium} of a(n) {color} {class} with {other} spots {place}",
        "{medium} of a(n) {color} {class} and a {third} one in {other}",
        "{medium} of a(n) {only} {class}",
    ),
    descriptions={
        "color": COLORS,
        "other": (*COLORS, "orange"),
        "third": ("red", "pink"),
        "place": ("on a table", "on a shelf"),
        "only": ("orange",),
    },
)


def draws(entry: SubjectClass, count: int) -> list[str]:
    catalog = Catalog((entry,), {}, {}, {}, {}, "")
    rng = np.random.default_rng(0)
    return [catalog.subject_prompt(entry.name, rng) for _ in range(count)]


def test_the_room_is_what_can_be_drawn():
    """Words of two lists do not meet in one prompt, nor with the class, where there is another."""
    found = set(draws(ENTRY, 3000))
    by_template = [
        sum(words in prompt for prompt in found) for words in ("spots", "one in", "a photo of an orange orange")
    ]
    assert by_template == list(room(ENTRY)) == [3 * 2 * 2, 8, 1]


@pytest.mark.parametrize("count", [1, 10, 60, 3000])
def test_expected_numbers_are_those_of_draws(count):
    catalog = Catalog((ENTRY,), {}, {}, {}, {}, "")
    rng = np.random.default_rng(1)
    found = np.mean([len({catalog.subject_prompt("orange", rng) for _ in range(count)}) for _ in range(3000 // count)])
    assert distinct_subjects(catalog, {"orange": count}) == pytest.approx(found, rel=0.12)


def test_draws_of_one_or_none():
    assert (distinct(5, 1), distinct(0.4, 1), distinct(5, 0)) == (1, 0.4, 0)
    assert distinct(10**9, 7) == pytest.approx(7)
    assert distinct(10, 10**12) == pytest.approx(10)


def test_different_texts_are_counted_in_constant_memory():
    counter = DistinctCounter()
    for number in range(30_000):
        counter.add(f"a photo of cup {number % 12_345}")
    assert counter.estimate() == pytest.approx(12_345, rel=0.002)
