"""What the filter's encoders learn from: pictures are what they are called, and facts and prompts are true of them."""

import numpy as np
import pytest

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.models.tokenizers import nano_tokenizer
from toffee_pipeline.nano import world
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.recipe.pairs import COLUMN, FIRST_UNSEEN, PICTURES, draw_pictures, facts_of, render_subjects
from toffee_pipeline.recipe.prompts import UNDONE, caption, pair_prompts

pytestmark = pytest.mark.slow

CATALOG = load_catalog("nano")
SEEDS = range(FIRST_UNSEEN, FIRST_UNSEEN + 40)


def facts(seed):
    return np.array([facts_of(picture) for picture in draw_pictures(seed, CATALOG)], np.int8)


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_pictures_are_what_they_are_called(seed):
    shown = dict(zip(PICTURES, draw_pictures(seed, CATALOG), strict=True))
    subject, scenes = shown["subject"].scene, {name: picture.scene for name, picture in shown.items()}
    toy = subject.subject
    assert scenes["view"].subject == toy and scenes["view"].view != subject.view
    assert scenes["background"].background != subject.background and scenes["background"].subject == toy
    assert scenes["color"].subject.color_names[0] != toy.color_names[0]
    assert scenes["texture"].subject.pattern != toy.pattern and scenes["texture"].subject.palette == toy.palette
    assert len(scenes["addition"].subject.primitives) > len(toy.primitives) > len(scenes["removal"].subject.primitives)
    other = scenes["other"].subject
    assert other.class_name == toy.class_name and other.primitives != toy.primitives
    assert (scenes["same palette"].subject.primitives, scenes["same palette"].subject.palette) == (
        other.primitives,
        toy.palette,
    )
    assert (scenes["same shape"].subject.primitives, scenes["same shape"].subject.palette) == (
        toy.primitives,
        other.palette,
    )
    assert draw_pictures(seed, CATALOG) == list(shown.values())


def test_the_part_that_is_missed_is_one_that_could_be_seen():
    data = render_subjects(SEEDS[:12])
    removal = PICTURES.index("removal")
    differs = (data.rgb[:, removal] != data.rgb[:, 0]).any(-1).sum((1, 2))
    assert np.array_equal(data.seen[:, removal], differs >= 20)
    assert np.array_equal(data.facts[:, removal, COLUMN["removed"]] == 1, data.seen[:, removal])


def test_the_prompt_of_a_pair_holds_for_its_target_and_not_for_the_subject():
    kinds = set()
    for seed in SEEDS:
        told = facts(seed)
        for own, another in pair_prompts(told, CATALOG, np.random.default_rng(seed)):
            kinds.add(own.kind)
            target = PICTURES.index("addition" if own.kind == UNDONE else own.kind)
            assert own.holds(told)[[0, target]].tolist() == ([True, False] if own.kind == UNDONE else [False, True])
            assert another is None or not another.holds(told).any()
    assert kinds == {*CATEGORIES, UNDONE}


def test_prompts_are_worded_as_a_plan_words_them_and_clip_reads_all_of_them():
    tokenizer, found = nano_tokenizer(), set()
    for seed in SEEDS:
        told, rng = facts(seed), np.random.default_rng(seed)
        name = world.CLASS_NAMES[told[0, COLUMN["class"]]]
        added = world.ADDITIONS[told[PICTURES.index("addition"), COLUMN["addition"]]]
        words = {own.kind: own.words for own, _ in pair_prompts(told, CATALOG, rng)}
        assert words["removal"] == CATALOG.prompt(name, "removal", world.REMOVABLE[name])
        assert words["addition"].endswith(f"with {added}") and words[UNDONE].endswith(f"without {added}")
        found |= {*words.values(), *(caption(row, rng).words for row in told)}
    assert all(len(tokenizer(words).input_ids) <= 24 for words in found)
    vocabulary = {word for words in found for word in words.split()}
    assert all(len(tokenizer(word).input_ids) == 3 for word in vocabulary)  # one id between start and end


def test_captions_are_the_worlds():
    for seed in SEEDS[:8]:
        picture = draw_pictures(seed, CATALOG)[0]
        said = caption(np.array(facts_of(picture)), np.random.default_rng(3))  # says the place
        assert said.words == world.caption(picture.scene.subject, picture.scene.background, "photo")
        assert said.holds(facts(seed))[[0, PICTURES.index("background")]].tolist() == [True, False]
