"""Which changes are those of DreamBench, in whatever words."""

import pytest

from toffee_pipeline.plan.benchmark_prompts import is_benchmark_prompt
from toffee_pipeline.plan.dreambench_prompts import ACCESSORIES, OBJECT_PLACES, PROPERTIES, SHARED_PLACES


@pytest.mark.parametrize("text", [*SHARED_PLACES, *OBJECT_PLACES, *ACCESSORIES, *PROPERTIES])
def test_what_dreambench_asks(text: str) -> None:
    assert is_benchmark_prompt(text)
    assert is_benchmark_prompt(f"A photo of a(n) {{class}}, {text.upper()}.")


@pytest.mark.parametrize(
    "text",
    [
        "in THE jungle",
        "in the snow at dusk",
        "on a sandy beach",
        "on cobblestone streets",
        "a santa's hat",
        "a red party hat",
        "with a Santa hat",
        "on a wooden floor",
        "in front of the Eiffel Tower",
        "with a monocle and a black top hat",
        "sunglasses",
        "a pair of dark sunglasses",
        "cube-shaped",
        "ｓｈｉｎｙ",
        "on grass with sunflowers",
    ],
)
def test_its_near_duplicates(text: str) -> None:
    assert is_benchmark_prompt(text)


@pytest.mark.parametrize(
    "text",
    [
        "on a quay",
        "a red ribbon",
        "round glasses",
        "crimson",
        "on a frozen lake",
        "a shiny golden crown",
        "a straw hat",
    ],
)
def test_neighbours_that_are_none(text: str) -> None:
    assert not is_benchmark_prompt(text)
    assert not is_benchmark_prompt("")
