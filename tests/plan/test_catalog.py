"""The catalogues: what they hold, how prompts read, and what a bad file says."""

import hashlib
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.nano import world
from toffee_pipeline.plan import catalog as catalog_module
from toffee_pipeline.plan.benchmark_prompts import is_benchmark_prompt
from toffee_pipeline.plan.catalog import PACKAGED, Catalog, load_catalog
from toffee_pipeline.plan.room import distinct_subjects, room
from toffee_pipeline.plan.worded import fill, take_apart, with_article

FOLDER = Path(catalog_module.__file__).parent
BY_CHANGE = ("style", "background", "color", "texture", "addition")
NANO_STYLES = [style for style in world.STYLES if style != "photo"]
NANO_PATTERNS = [pattern for pattern in world.PATTERNS if pattern != "plain"]
SMALL = """
prompts: {style: "{change} of a(n) {class}", background: "a photo of a(n) {class} {change}", color: "{change} {class}",
          texture: "{class} {change}", addition: "{class} with {change}", removal: "{class} without {change}"}
instructions: {style: "make it {change}", background: "put it {change}", color: "make it {change}",
  texture: "make it {change}", addition: "add {change}", removal: "remove {change}"}
draft_prompts: {style: [{medium: "{change}"}], background: [{class: "{class} {change}"}],
                color: [{color: "{change}"}, {class: "{change} {class}"}], texture: [{class: "{class} {change}"}],
                addition: [{class: "{class} with {change}"}], removal: [{class: "{class} without {change}"}]}
changes: {all: {background: [on a beach]}}
groups:
  things: {prompts: ["{medium} of a(n) {size} {class}"], descriptions: {size: [small]}, classes: [teapot: [a lid], cup]}
"""


@pytest.fixture(scope="module", params=PACKAGED)
def packaged(request: pytest.FixtureRequest) -> Catalog:
    return load_catalog(request.param)


@pytest.fixture(scope="module")
def toffee() -> Catalog:
    return load_catalog("toffee")


@pytest.fixture(scope="module")
def nano() -> Catalog:
    return load_catalog("nano")


def all_prompts(catalog: Catalog) -> list[str]:
    return [
        catalog.prompt(entry.name, category, change)
        for entry in catalog.classes
        for category in CATEGORIES
        for change in catalog.choices(entry.name, category)
    ]


def test_packaged_names() -> None:
    assert PACKAGED == ("nano", "toffee")


def test_toffee_holds_enough(toffee: Catalog) -> None:
    assert 190 <= len(toffee.classes) <= 230
    assert 50 <= sum(entry.live for entry in toffee.classes) <= 100
    least = {"style": 20, "background": 60, "color": 12, "texture": 20, "addition": 25}
    for nature in ("live", "object"):
        assert {c: len(toffee.changes[nature][c]) >= least[c] for c in BY_CHANGE} == dict.fromkeys(BY_CHANGE, True)
    assert np.mean([bool(entry.removable) for entry in toffee.classes if not entry.live]) > 0.8


def test_two_million_subjects_have_room(toffee: Catalog) -> None:
    """benchmarks/prompt_room.py draws them."""
    assert min(sum(room(entry)) for entry in toffee.classes) >= 2_000
    draws = {entry.name: 2_000_000 / len(toffee.classes) for entry in toffee.classes}
    assert distinct_subjects(toffee, draws) >= 0.95 * 2_000_000


def test_no_change_is_one_of_dreambench(toffee: Catalog) -> None:
    """The small world has snow and red: nano's words are those of its networks."""
    for of_category in toffee.changes.values():
        for category, changes in of_category.items():
            assert not [change for change in changes if is_benchmark_prompt(change, category)]


def test_every_class_has_changes(packaged: Catalog) -> None:
    for entry in packaged.classes:
        assert all(packaged.choices(entry.name, category) for category in BY_CHANGE), entry.name
        assert packaged.choices(entry.name, "removal") == entry.removable


def test_natures_differ(toffee: Catalog) -> None:
    assert "round glasses" in toffee.choices("cat", "addition")
    assert not set(toffee.choices("teapot", "addition")) & {"a raincoat", "a bow tie"}
    assert toffee.choices("cat", "style") == toffee.choices("teapot", "style")


@pytest.mark.parametrize(
    ("class_name", "category", "change", "prompt"),
    [
        ("teapot", "style", "a watercolor painting", "a watercolor painting of a teapot"),
        ("owl", "style", "an oil painting", "an oil painting of an owl"),
        ("teapot", "background", "on a rocky shore", "a photo of a teapot on a rocky shore"),
        ("umbrella", "color", "crimson", "a photo of a crimson umbrella"),
        ("teapot", "color", "orange", "a photo of an orange teapot"),
        ("elephant", "texture", "made of marble", "a photo of an elephant made of marble"),
        ("ukulele", "addition", "a red ribbon", "a photo of a ukulele with a red ribbon"),
        ("hourglass", "addition", "a red ribbon", "a photo of an hourglass with a red ribbon"),
        ("teapot", "removal", "a handle", "a photo of a teapot without a handle"),
        ("old {boot}", "removal", "{laces}", "a photo of an old {boot} without {laces}"),
    ],
)
def test_prompts_of_each_category(toffee: Catalog, class_name: str, category: str, change: str, prompt: str) -> None:
    assert toffee.prompt(class_name, category, change) == prompt


@pytest.mark.parametrize(
    ("category", "change", "instruction"),
    [
        ("style", "a mosaic", "make it a mosaic"),
        ("background", "on a red carpet", "put it on a red carpet"),
        ("color", "orange", "make it orange"),
        ("texture", "made of ice", "turn it into a teapot made of ice"),
        ("addition", "a red ribbon", "add a red ribbon"),
        ("removal", "a handle", "remove the handle"),
        ("removal", "an old ribbon", "remove the old ribbon"),
        ("removal", "stripes", "remove the stripes"),
    ],
)
def test_instructions(toffee: Catalog, category: str, change: str, instruction: str) -> None:
    assert toffee.instruction("teapot", category, change) == instruction


def test_another_view_is_described_without_its_place_and_pose(nano: Catalog, toffee: Catalog) -> None:
    prompt = toffee.subject_prompt("corgi", np.random.default_rng(3))
    entry = toffee.entry("corgi")
    template, words = take_apart(prompt, entry.subject_prompts, {**entry.descriptions, "class": ("corgi",)})
    assert {"pose", "place", "light"} <= words.keys()
    view = toffee.view_prompt("corgi", prompt)
    assert not [slot for slot in ("pose", "place", "light") if words[slot] in view] and "corgi" in view
    known = "a photo of a red and white striped mug on a white table"
    assert nano.view_prompt("mug", known) == "a photo of a red and white striped mug"
    assert (
        nano.view_prompt("mug", "my old mug on the kitchen table") == "a photo of a mug"
    )  # what else holds is not known
    assert nano.view_prompt("espresso maker", "a photo of an espresso maker") == "a photo of an espresso maker"


@pytest.mark.parametrize(
    ("category", "change", "prompt"),
    [
        ("style", "a mosaic", "a mosaic of an old red teapot on a white table"),
        ("background", "on a red carpet", "a photo of an old red teapot on a red carpet"),
        ("color", "orange", "a photo of an old orange teapot on a white table"),
        ("texture", "made of ice", "a photo of an old red teapot made of ice on a white table"),
        ("addition", "a red ribbon", "a photo of an old red teapot with a red ribbon on a white table"),
        ("removal", "a handle", "a photo of an old red teapot without a handle on a white table"),
        ("removal", "a red ribbon", "a photo of an old red teapot without a red ribbon on a white table"),
    ],
)
def test_draft_prompts_say_what_stays(toffee: Catalog, category: str, change: str, prompt: str) -> None:
    entry = toffee.entry("teapot")
    template = "{medium} of a(n) {look} {color} {class} {place}"
    words = dict(entry.descriptions) | {"look": ("old",), "color": ("red",)}
    known = replace(toffee, classes=(replace(entry, subject_prompts=(template,), descriptions=words),))
    assert known.draft_prompt("teapot", "a photo of an old red teapot on a white table", category, change) == prompt


def test_a_material_makes_way_for_another(toffee: Catalog) -> None:
    entry = next(entry for entry in toffee.classes if any("{material} {class}" in t for t in entry.subject_prompts))
    template = next(template for template in entry.subject_prompts if "{material} {class}" in template)
    words = {slot: words[0] for slot, words in entry.descriptions.items()}
    prompt = fill(template, {"medium": "a photo", "class": entry.name, **words})
    changed = toffee.draft_prompt(entry.name, prompt, "texture", "made of jade")
    assert f"{entry.name} made of jade" in changed and "  " not in changed
    assert f"{words['material']} {entry.name}" not in changed


@pytest.mark.parametrize(
    ("category", "change", "prompt"),
    [
        ("style", "a mosaic", "a mosaic of a fluffy corgi with a blue collar"),
        ("background", "on a red carpet", "a photo of a fluffy corgi with a blue collar on a red carpet"),
        ("color", "orange", "a photo of an orange fluffy corgi with a blue collar"),
    ],
)
def test_a_caption_takes_the_place_of_the_class(toffee: Catalog, category: str, change: str, prompt: str) -> None:
    caption = "a photo of a fluffy corgi with a blue collar"
    assert toffee.draft_prompt("corgi", caption, category, change) == prompt


def test_subject_prompts_are_taken_apart_as_they_were_drawn(packaged: Catalog) -> None:
    """A change to the words that are there already gives the prompt itself."""
    rng = np.random.default_rng(3)
    unchanged = replace(packaged, draft_prompts={"background": ({"place": "{place}"},)})
    for entry in packaged.classes:
        prompt = packaged.subject_prompt(entry.name, rng)
        assert unchanged.draft_prompt(entry.name, prompt, "background", "nowhere") == prompt
        changed = packaged.draft_prompt(entry.name, prompt, "background", "on a quay")
        assert changed.endswith("on a quay") and not any(place in changed for place in entry.descriptions["place"])


def test_a_subject_prompt_comes_of_one_template_alone(toffee: Catalog) -> None:
    """So that room counts no prompt twice, and a change goes to the slot that was drawn."""
    rng = np.random.default_rng(4)
    for entry in toffee.classes:
        words = {**entry.descriptions, "class": (entry.name,)}
        for prompt in (toffee.subject_prompt(entry.name, rng) for _ in range(8)):
            fit = [each for each in entry.subject_prompts if take_apart(prompt, [each], words)[0] == each]
            assert len(fit) == 1, prompt


def test_an_addition_joins_what_is_there(toffee: Catalog) -> None:
    prompt = "a photo of a cream dog with white paws sitting on a lawn in soft daylight"
    changed = toffee.draft_prompt("dog", prompt, "addition", "a red scarf")
    assert changed == "a photo of a cream dog with white paws and a red scarf sitting on a lawn in soft daylight"


def test_another_background_has_its_own_light_and_no_plate(toffee: Catalog) -> None:
    prompt = "a photo of a single fresh apple on a blue plate in front of a white wall in warm lamplight"
    changed = toffee.draft_prompt("apple", prompt, "background", "on a rocky shore")
    assert changed == "a photo of a single fresh apple on a rocky shore"


def test_articles() -> None:
    vowel = ("apple", "orange cup", "egg", "umbrella", "hourglass", "unimpressed cat", "Eiffel Tower")
    consonant = ("unicycle", "uniform", "ukulele", "eucalyptus tree", "used car", "one-eyed toy", "cat", "hat", "unit")
    assert {with_article(words).split()[0] for words in vowel} == {"an"}
    assert {with_article(words).split()[0] for words in consonant} == {"a"}


def test_no_prompt_has_a_loose_article_or_space(packaged: Catalog) -> None:
    rng = np.random.default_rng(0)
    prompts = [packaged.subject_prompt(entry.name, rng) for entry in packaged.classes for _ in range(5)]
    for prompt in [*prompts, *all_prompts(packaged)]:
        assert not re.search(r"[(){}]|  |\ba [aeio]|\ban (?![aeiou]|hour)", prompt), prompt
        assert len(prompt.split()) < 40


def test_unknown_class_counts_as_object(toffee: Catalog) -> None:
    assert toffee.choices("fancy boot", "removal") == ()
    assert all(toffee.choices("fancy boot", c) == toffee.choices("teapot", c) for c in BY_CHANGE)
    assert toffee.subject_prompt("oily boot", np.random.default_rng(0)) == "a photo of an oily boot"


def test_subject_prompts_are_drawn_by_seed(packaged: Catalog) -> None:
    def draw(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [packaged.subject_prompt(packaged.classes[0].name, rng) for _ in range(20)]

    assert draw(1) == draw(1) != draw(2)
    assert len(set(draw(1))) > 10
    assert all(re.search(rf"\b{packaged.classes[0].name}\b", prompt) for prompt in draw(1))


def test_no_word_twice_in_a_subject_prompt(nano: Catalog) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        colors = re.search(r"an? (\w+) and (\w+) ", nano.subject_prompt("mug", rng))
        assert colors is None or colors[1] != colors[2]


def test_nano_has_the_words_of_the_world(nano: Catalog) -> None:
    assert [entry.name for entry in nano.classes] == list(world.CLASS_NAMES)
    assert {entry.name: entry.removable for entry in nano.classes} == {n: (p,) for n, p in world.REMOVABLE.items()}
    expected = {
        "style": NANO_STYLES,
        "background": list(world.BACKGROUNDS),
        "color": list(world.COLORS),
        "texture": NANO_PATTERNS,
        "addition": list(world.ADDITIONS),
    }
    for nature in ("live", "object"):
        assert {category: list(changes) for category, changes in nano.changes[nature].items()} == expected


@pytest.mark.parametrize("class_name", world.CLASS_NAMES)
def test_nano_prompts_are_captions_of_the_world(nano: Catalog, class_name: str) -> None:
    toy = world.make_toy(class_name, 0)
    part = world.REMOVABLE[class_name]
    for style in NANO_STYLES:
        assert nano.prompt(class_name, "style", style) == world.caption(toy, None, style, detail=False)
    for place in world.BACKGROUNDS:
        assert nano.prompt(class_name, "background", place) == world.caption(toy, place, "photo", detail=False)
    for color in world.COLORS:
        plain = world.recolored(world.with_pattern(toy, "plain"), color)
        assert nano.prompt(class_name, "color", color) == world.caption(plain, None, "photo")
    for addition in world.ADDITIONS:
        expected = world.caption(toy, None, "photo", detail=False, addition=addition)
        assert nano.prompt(class_name, "addition", addition) == expected
    for pattern in NANO_PATTERNS:
        expected = f"a photo of {world.with_article(f'{pattern} {class_name}')}"
        assert nano.prompt(class_name, "texture", pattern) == expected
    assert nano.prompt(class_name, "removal", part) == world.caption(toy, None, "photo", detail=False, removed=part)


def test_nano_draft_prompts_are_captions_of_the_world(nano: Catalog) -> None:
    toy = world.recolored(world.with_pattern(world.make_toy("mug", 0), "striped"), "red")
    place, other = world.BACKGROUNDS[:2]
    told = world.caption(toy, place, "photo")

    def draft(category: str, change: str) -> str:
        return nano.draft_prompt("mug", told, category, change)

    assert draft("style", "cartoon") == world.caption(toy, place, "cartoon")
    assert draft("background", other) == world.caption(toy, other, "photo")
    color = next(color for color in world.COLORS if color not in toy.color_names)
    assert draft("color", color) == world.caption(world.recolored(toy, color), place, "photo")
    assert draft("texture", "dotted") == world.caption(world.with_pattern(toy, "dotted"), place, "photo")
    assert draft("addition", "a red ball") == world.caption(toy, place, "photo", addition="a red ball")
    assert draft("removal", "a handle") == world.caption(toy, place, "photo", removed="a handle")


def test_nano_subject_prompts_are_captions_of_the_world(nano: Catalog) -> None:
    colors, patterns, places = ("|".join(words) for words in (world.COLORS, NANO_PATTERNS, world.BACKGROUNDS))
    names = "|".join(world.CLASS_NAMES)
    grammar = re.compile(rf"a photo of an? ({colors}) (and ({colors}) ({patterns}) )?({names}) ({places})")
    rng = np.random.default_rng(0)
    for entry in nano.classes * 10:
        prompt = nano.subject_prompt(entry.name, rng)
        assert grammar.fullmatch(prompt), prompt


def test_own_file_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(SMALL)
    catalog = load_catalog(str(path))
    assert [(entry.name, entry.removable) for entry in catalog.classes] == [("teapot", ("a lid",)), ("cup", ())]
    assert catalog.choices("cup", "style") == ()
    assert catalog.digest == hashlib.sha256(SMALL.encode()).hexdigest()
    assert load_catalog("nano").digest == hashlib.sha256((FOLDER / "catalogs" / "nano.yaml").read_bytes()).hexdigest()
    assert pickle.loads(pickle.dumps(catalog)).prompt("cup", "background", "on a hill") == "a photo of a cup on a hill"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("changes:", "colours: 1\nchanges:", "colours: unknown key"),
        ("size: [small]", "size: [small, small]", "groups.things.descriptions.size: 'small' is there twice"),
        ("cup]", "teapot]", "groups.things.classes: 'teapot' is there twice"),
        ("cup]", "cup: a lid]", "groups.things.classes.cup"),
        ("cup]", "{cup: [], pan: []}]", "allowed is a name in words, or one name and its value"),
        ("cup]", "12]", "12: allowed is a name in words"),
        ("cup]", "no]", "groups.things.classes.0.[key]: a bare no, off or false is no word in YAML: quote it"),
        ("cup]", "yes: [a lid]]", "groups.things.classes.1.[key]: a bare yes, on or true is no word"),
        ("size: [small]", "size: [on]", "groups.things.descriptions.size.0: a bare yes, on or true is no word"),
        ("  things:", "  off:", "groups.0.[key]: a bare no, off or false is no word"),
        ("changes:", "changes: {}\nchanges:", "line 10: the key 'changes' stands twice"),
        ("cup]", "' cup']", "' cup': allowed is a phrase without braces and without spare spaces"),
        ("[on a beach]", "[]", "changes.all.background"),
        ("background: [on", "weather: [on", "changes.all.weather"),
        ("background: [on a beach]", "removal: [a lid]", "removal: what can be removed belongs to each class"),
        ("{size} {class}", "{size} {size} {class}", "each at most once; needs {class} and {medium}"),
        ("{size} {class}", "{class.__class__}", "allowed are the slots {class}, {medium}, {size}"),
        ("{size} {class}", "{class}", "descriptions.size: no prompt of the group has this slot"),
        ("{size} {class}", "{class", "template"),
        ("{class} with {change}", "{class}", "needs {change} and {class}"),
        ('style: "{change} of a(n) {class}", ', "", "prompts.style: missing"),
        ("removal: [{class: ", "removals: [{class: ", "draft_prompts.removals"),
        (', removal: [{class: "{class} without {change}"}]', "", "draft_prompts.removal: missing"),
        ('{class: "{class} without {change}"}', "", "draft_prompts.removal: missing"),
        (', {class: "{change} {class}"}', "", "draft_prompts.color: the last entry holds for every"),
        ('{medium: "{change}"}', '{medium: "a drawing"}', "draft_prompts.style: the last entry holds for every"),
        ('{medium: "{change}"}', '{medium: "{color}"}', "allowed are the slots {change}, {medium}"),
        ("groups:", "groups: [", "no valid YAML"),
        ("groups:", "groups: !!python/object:os.system", "no valid YAML"),
    ],
)
def test_bad_file_is_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(CatalogError) as caught:
        load_catalog(str(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"catalog {path}: ")
    assert "\n" not in str(caught.value)


def test_every_problem_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        SMALL.replace("[on a beach]", "[on a beach,\n  on a  hill, on a beach]")
        .replace("size: [small]", "size: [small,\n    tiny,\n    no,\n    small]")
        .replace("cup]}", "cup]}\n  more: {prompts: [\n    '{medium} of a {colour} {class}'], classes: [pan]}")
    )
    with pytest.raises(CatalogError) as caught:
        load_catalog(str(path))
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == ["line 10", "line 14", "line 17"]
    assert "changes.all.background" in caught.value.problems[0]
    assert "(and 2 more: jobs/catalog.py check)" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("size: [small]", "size: [small,\n    tiny,\n    small]", 13),
        ("cup]}", "cup]}\n  more: {prompts: ['{medium} of a {class}'], classes: [\n    pan,\n    cup]}", 14),
        ("size: [small]", "\n    size: [small],\n    color: [red]", 13),
        ("[on a beach]", "[on a beach], \n  removal: [a lid]", 10),
        ("groups:", "colors: [red]\ngroups:", 10),
        ("cup]", "\n    yes: [a lid]]", 12),
        ("groups:", '"a\\nb": [red]\ngroups:', 10),
        ('texture: "{class} {change}"', 'texture: "{class}"', 3),
    ],
)
def test_a_problem_is_found_where_it_stands(tmp_path: Path, old: str, new: str, line: int) -> None:
    path = tmp_path / "own.yaml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(CatalogError) as caught:
        load_catalog(str(path))
    (problem,) = caught.value.problems
    assert problem.startswith(f"line {line}: ") and "\n" not in problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the keys prompts, instructions, draft_prompts, changes, groups"),
        (b"- a list", "the keys prompts"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_no_catalog_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=f"own.yaml: .*{message}"):
        load_catalog(str(path))


def test_unknown_names_say_what_is_allowed(nano: Catalog) -> None:
    with pytest.raises(CatalogError, match="catalog 'tofee': No such file.*; allowed are nano, toffee and the path"):
        load_catalog("tofee")
    with pytest.raises(CatalogError, match="category 'pose': allowed are style, background, color"):
        nano.choices("mug", "pose")
    with pytest.raises(CatalogError, match="category 'pose'"):
        nano.prompt("mug", "pose", "sitting")


def test_a_pipe_is_no_catalogue(tmp_path):
    os.mkfifo(tmp_path / "catalog.yaml")
    with pytest.raises(CatalogError, match="catalog.yaml: damaged: no regular file"):
        load_catalog(str(tmp_path / "catalog.yaml"))
