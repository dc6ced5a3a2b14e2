import numpy as np
import pytest

from toffee_pipeline.config.base import Category
from toffee_pipeline.errors import SampleError
from toffee_pipeline.nano import world
from toffee_pipeline.nano.renderer import RendererDraft, Scene, changed, drafted, scene, turned
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

CLASSES = ("mug", "toy car", "chair", "cat")


def planned(class_name: str, prompt: str = "", seed: int = 7) -> Subject:
    return Subject("s", class_name, prompt, seed)


def pair(category: Category, change: str, seed: int = 3) -> Pair:
    return Pair("p", "s", "edit", category, change, "", "", seed)


def overlap(first: Scene, second: Scene) -> float:
    a, b = first.render(64).mask, second.render(64).mask
    return (a & b).sum() / (a | b).sum()


def difference(first: Scene, second: Scene) -> float:
    """Mean grey levels between two scenes, on the first one's subject."""
    a, b = first.render(64), second.render(64)
    return float(np.abs(a.rgb.astype(int) - b.rgb)[a.mask].mean())


def test_a_scene_is_a_pure_function_of_its_subject() -> None:
    assert scene(planned("mug")) == scene(planned("mug"))
    assert scene(planned("mug")) != scene(planned("mug", seed=8))
    assert scene(planned("mug", seed=2**63 - 1)).render(64).mask.any()


def test_an_unknown_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="unicorn"):
        scene(planned("unicorn"))


def test_a_scene_shows_what_its_prompt_says() -> None:
    shown = scene(planned("toy car", "a photo of a red and blue striped toy car on the grass"))
    assert world.caption(shown.subject, shown.background, shown.style) == (
        "a photo of a red and blue striped toy car on the grass"
    )
    plain = scene(planned("toy car", "a photo of an orange toy car in front of a brick wall"))
    assert world.caption(plain.subject, plain.background, "photo") == (
        "a photo of an orange toy car in front of a brick wall"
    )
    assert plain.view == shown.view


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("category, change", [("background", "on a beach"), ("color", "teal"), ("texture", "dotted")])
def test_a_draft_keeps_the_silhouette_and_changes_colours(class_name: str, category: Category, change: str) -> None:
    subject = planned(class_name)
    original, draft = scene(subject), drafted(pair(category, change), subject)
    assert overlap(original, draft) > 0.9
    assert difference(original, draft) > 10
    assert draft.subject.color_names[0] != original.subject.color_names[0]


def test_a_draft_applies_the_change_of_its_pair() -> None:
    subject = planned("mug")
    original = scene(subject)
    assert drafted(pair("background", "in the snow"), subject).background == "in the snow"
    styled = drafted(pair("style", "cartoon"), subject)
    assert (styled.style, styled.background) == ("cartoon", original.background)
    assert drafted(pair("color", "pink"), subject).subject.color_names[0] == "pink"
    assert drafted(pair("texture", "banded"), subject).subject.pattern == "banded"
    with_hat = drafted(pair("addition", "a party hat"), subject).render(64).mask
    without_handle = drafted(pair("removal", "a handle"), subject).render(64).mask
    assert without_handle.sum() < original.render(64).mask.sum() < with_hat.sum()


@pytest.mark.parametrize(
    "category, change",
    [
        ("background", "in the snow"),
        ("style", "cartoon"),
        ("color", "pink"),
        ("texture", "banded"),
        ("addition", "a gift box"),
        ("removal", "a handle"),
    ],
)
def test_the_truth_of_a_pair_is_its_subject_with_the_change_and_nothing_else(category: Category, change: str) -> None:
    subject = planned("mug", "a photo of a red mug on the grass")
    original, truth, draft = (
        scene(subject),
        changed(pair(category, change), subject),
        drafted(pair(category, change), subject),
    )
    assert truth != original
    assert (truth.view, truth.seed) == (original.view, original.seed)
    assert (truth.background, truth.style) == (draft.background, draft.style)
    if category in ("background", "style"):
        assert truth.subject == original.subject
    elif category == "color":
        assert truth.subject == world.recolored(original.subject, "pink")
    else:
        assert (truth.subject.palette, truth.subject.primitives) == (original.subject.palette, draft.subject.primitives)


def test_another_pair_drafts_another_toy() -> None:
    subject = planned("mug")
    first, second = (drafted(pair("background", "in the snow", seed), subject) for seed in (1, 2))
    assert first.subject.palette != second.subject.palette


def test_a_change_that_the_world_does_not_know_is_an_error() -> None:
    for category, change in (("color", "mauve"), ("removal", "a wheel"), ("background", "on Mars")):
        for of_pair in (changed, drafted):
            with pytest.raises(ValueError, match=change):
                of_pair(pair(category, change), planned("mug"))


def test_a_draft_of_a_change_that_the_world_does_not_know_fails_alone() -> None:
    """A prompt bank has such changes; `changed` and `drafted` themselves raise."""
    pairs = [pair("background", "on a chessboard"), pair("background", "in the snow")]
    unknown, drawn = RendererDraft(64).draft(pairs, [planned("mug")] * 2, [], [], [])
    assert isinstance(unknown, SampleError) and "on a chessboard" in str(unknown)
    assert isinstance(drawn, np.ndarray) and drawn.shape == (64, 64, 3)


def test_a_view_turns_the_same_toy() -> None:
    subject, turns = planned("toy car"), []
    for seed in range(20):
        view = turned(subject, seed)
        assert view.subject == scene(subject).subject and view.style == "photo"
        turns.append(view.view.azimuth - scene(subject).view.azimuth)
    assert all(0.4 <= abs(turn) <= 1.2 for turn in turns)
    assert min(turns) < 0 < max(turns)
    assert turned(subject, 1) == turned(subject, 1) != turned(subject, 2)
