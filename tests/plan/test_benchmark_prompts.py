"""Which changes are those of DreamBench, in whatever words."""

import pytest

from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.plan.benchmark_prompts import is_benchmark_prompt
from toffee_pipeline.plan.dreambench_prompts import ACCESSORIES, OBJECT_PLACES, PROPERTIES, SHARED_PLACES


@pytest.mark.parametrize("text", [*SHARED_PLACES, *OBJECT_PLACES, *ACCESSORIES, *PROPERTIES])
def test_what_dreambench_asks(text: str) -> None:
    for category in CATEGORIES:
        assert is_benchmark_prompt(text, category)
        assert is_benchmark_prompt(f"A photo of a(n) {{class}}, {text.upper()}.", category)


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
    assert is_benchmark_prompt(text, "background")


@pytest.mark.parametrize(
    "text",
    [
        "in the snow, at dusk by a frozen lake",
        "in a thick green tropical jungle full of vines",
        "walking through the deep white snow",
        "on a long empty beach with a row of huts",
        "with a huge city full of neon lights in the background",
        "in front of the Eiffel Tower on a rainy evening in spring",
        "on a dark polished wooden floor beside a tall window",
        "a red hat tilted to one side with a small feather",
        "a pair of dark sunglasses pushed up on the forehead",
    ],
)
def test_its_words_among_others(text: str) -> None:
    assert is_benchmark_prompt(text, "background")


@pytest.mark.parametrize(
    "text",
    [
        "on a cobbled street",
        "on a cobblestone road",
        "on a wet cobbled lane at night in the rain",
        "sun glasses",
        "sunglass",
        "dark glasses",
        "shades",
        "wearing cool shades",
        "a policeman hat",
        "a policeman's hat",
        "a police cap",
        "a police officer's uniform",
        "a fireman's helmet",
        "a chef’s uniform",
    ],
)
def test_its_words_spelled_otherwise(text: str) -> None:
    assert is_benchmark_prompt(text, "addition")


@pytest.mark.parametrize(
    "text", ["ruby red", "dark purple", "red-orange", "of shiny metal", "Wet Clay", "red and blue"]
)
@pytest.mark.parametrize("category", CATEGORIES)
def test_near_duplicates_of_its_properties_are_colors_and_textures(text: str, category: Category) -> None:
    assert is_benchmark_prompt(text, category) is (category in ("color", "texture"))


@pytest.mark.parametrize(
    "text",
    [
        "on a quay",
        "a red silk ribbon",
        "made of wet clay",
        "ruby",
        "round glasses",
        "crimson",
        "on a frozen lake",
        "a shiny golden crown",
        "a straw hat",
        "in a snow globe village",
        "on a snow-capped peak",
        "in a hut with melting snow on its roof",
        "on a jungle gym in a park",
        "on a beach towel under a parasol",
        "in a futuristic city of glass towers",
        "on a city rooftop at sunset",
        "on a mountain summit above the clouds",
        "beside a mountain stream",
        "a large mirror behind it",
        "a chef's hat",
        "a wizard hat",
        "a newsboy cap",
        "in a police station",
        "on a cobbled courtyard",
        "on a country lane",
        "in shades of blue",
        "a lamp with window shades",
        "a dark glass bottle",
    ],
)
def test_neighbours_that_are_none(text: str) -> None:
    assert not is_benchmark_prompt(text, "color")
    assert not is_benchmark_prompt("", "color")


def test_a_red_ribbon_is_an_addition() -> None:
    assert not is_benchmark_prompt("a red ribbon", "addition")
