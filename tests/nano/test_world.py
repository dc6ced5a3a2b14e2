"""The small world means what it says: pictures, masks, depths, coordinates and captions agree with each other."""

import numpy as np
import pytest

from toffee_pipeline.nano.world import (
    ADDITIONS,
    BACKGROUNDS,
    CLASS_NAMES,
    COLORS,
    PATTERNS,
    REMOVABLE,
    STYLE_PHRASES,
    STYLES,
    Rendering,
    Toy,
    View,
    caption,
    make_toy,
    place_inverse_depth,
    recolored,
    render,
    with_addition,
    with_identity_of,
    with_pattern,
    without_part,
)

pytestmark = pytest.mark.slow

TABLE = "on a white table"
SIDE = View(azimuth=0.7, elevation=0.17)
AZIMUTHS = (0.0, 1.3, 2.6, 3.9, 5.2)


def mean_color(subject: Toy) -> np.ndarray:
    picture = render(subject, SIDE, TABLE)
    return picture.rgb[picture.mask].mean(0) / 255


def touches_border(mask: np.ndarray) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def inside(mask: np.ndarray) -> np.ndarray:
    """The mask without its outermost pixels, where subject and place blend."""
    inner = mask.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    return inner


def matched_colors(first: Rendering, second: Rendering) -> np.ndarray:
    """Colour differences (N,) in 0..1 of pixels in two views that show the same surface point."""
    rows, columns = np.nonzero(inside(first.mask))
    others = second.coordinates[inside(second.mask)]
    gap = np.linalg.norm(first.coordinates[rows, columns][:, None] - others[None], axis=-1)
    same = gap.min(1) < 0.02
    colors = second.rgb[inside(second.mask)][gap.argmin(1)].astype(float)
    return np.abs(first.rgb[rows, columns] - colors).mean(1)[same] / 255


def test_same_arguments_give_the_same_subject_and_the_same_pixels() -> None:
    assert make_toy("cat", 4) == make_toy("cat", 4)
    assert make_toy("cat", 4) != make_toy("cat", 5)
    for style in STYLES:
        first = render(make_toy("cat", 4), SIDE, "in a forest", style, seed=9)
        second = render(make_toy("cat", 4), SIDE, "in a forest", style, seed=9)
        assert np.array_equal(first.rgb, second.rgb)
    other = render(make_toy("cat", 4), SIDE, "in a forest", seed=10)
    assert not np.array_equal(render(make_toy("cat", 4), SIDE, "in a forest", seed=9).rgb, other.rgb)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_a_subject_fills_the_picture_without_touching_its_border(class_name: str) -> None:
    for seed, elevation in ((1, 0.06), (2, 0.28)):
        subject = make_toy(class_name, seed)
        masks = [render(subject, View(azimuth, elevation), TABLE).mask for azimuth in AZIMUTHS]
        assert not any(map(touches_border, masks))
        covered = [mask.mean() for mask in masks]
        assert min(covered) > 0.07
        assert max(covered) < 0.6
        assert np.mean(covered) > 0.1


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_recoloring_moves_the_mean_color_towards_the_color(class_name: str) -> None:
    subject = with_pattern(make_toy(class_name, 3), "plain")
    color = next(c for c in ("red", "blue", "green", "yellow", "white") if c not in subject.color_names)
    changed = recolored(subject, color)
    assert changed.color_names[0] == color
    target = np.array(COLORS[color])
    before, after = (np.linalg.norm(mean_color(s) - target) for s in (subject, changed))
    assert after < before - 0.01


def test_recoloring_with_a_taken_color_keeps_the_colors_distinct() -> None:
    subject = make_toy("mug", 1)
    swapped = recolored(subject, subject.color_names[3])
    assert len(set(swapped.color_names)) == 4
    assert swapped.pattern_color == subject.palette[0]


def test_the_four_colors_of_a_subject_are_distinct() -> None:
    for seed in range(50):
        names = make_toy("vase", seed).color_names
        colors = np.array([COLORS[name] for name in names])
        gaps = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + np.eye(4)
        assert len(names) == 4
        assert gaps.min() > 0.3


def test_the_place_changes_nothing_inside_the_mask() -> None:
    subject = make_toy("teapot", 2)
    reference = render(subject, SIDE, TABLE, seed=5)
    inner = inside(reference.mask)
    for background in set(BACKGROUNDS) - {"under a night sky", "in outer space"}:
        picture = render(subject, SIDE, background, seed=5)
        assert np.array_equal(picture.mask, reference.mask)
        assert (picture.rgb[inner] != reference.rgb[inner]).mean() < 0.01


def test_places_differ_from_each_other() -> None:
    subject = make_toy("lamp", 2)
    for elevation in (0.06, 0.28):
        pictures = [render(subject, View(0.3, elevation), b, seed=1).rgb.astype(float) for b in BACKGROUNDS]
        for i, first in enumerate(pictures):
            for second in pictures[:i]:
                assert np.abs(first - second).mean() > 8


@pytest.mark.parametrize("class_name", ["mug", "cat", "house", "fish"])
def test_a_surface_point_has_one_color_in_two_views(class_name: str) -> None:
    subject = make_toy(class_name, 6)
    first = render(subject, View(0.5, 0.15), TABLE, seed=3)
    second = render(subject, View(0.75, 0.2), TABLE, seed=3)
    differences = matched_colors(first, second)
    assert len(differences) > 60
    assert np.median(differences) < 0.03
    shuffled = np.random.default_rng(0).permutation(first.rgb[first.mask])
    assert np.mean(differences) < 0.6 * np.abs(shuffled - first.rgb[first.mask].astype(float)).mean() / 255


def test_coordinates_are_defined_on_the_subject_only() -> None:
    picture = render(make_toy("robot", 3), SIDE, TABLE)
    assert np.array_equal(np.isfinite(picture.coordinates).all(-1), picture.mask)
    points = picture.coordinates[picture.mask]
    assert points[:, 2].min() > -0.02
    assert points[:, 2].max() <= make_toy("robot", 3).height + 0.02


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_removing_the_part_changes_what_is_seen(class_name: str) -> None:
    subject = make_toy(class_name, 4)
    bare = without_part(subject)
    changed = 0
    for azimuth in AZIMUTHS:
        whole, rest = (render(s, View(azimuth, 0.15), TABLE) for s in (subject, bare))
        assert not (rest.mask & ~whole.mask).any()
        changed += (np.abs(whole.rgb.astype(int) - rest.rgb).max(-1) > 30).sum()
    assert changed / len(AZIMUTHS) > 15


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_additions_enlarge_the_mask_and_stay_inside_the_picture(class_name: str) -> None:
    subject = make_toy(class_name, 4)
    for number, (addition, azimuth) in enumerate(zip(ADDITIONS, AZIMUTHS, strict=False)):
        view = View(azimuth, (0.06, 0.28)[number % 2])
        before = render(subject, view, TABLE).mask
        after = render(with_addition(subject, addition), view, TABLE).mask
        assert not (before & ~after).any()
        assert (after & ~before).sum() >= 8
        assert not touches_border(after)


def test_identity_transfers_between_classes() -> None:
    cat, mug = make_toy("cat", 1), make_toy("mug", 2)
    painted = with_identity_of(cat, mug)
    assert painted.primitives == cat.primitives
    assert (painted.palette, painted.color_names, painted.pattern) == (mug.palette, mug.color_names, mug.pattern)
    assert np.array_equal(render(painted, SIDE, TABLE).mask, render(cat, SIDE, TABLE).mask)


def test_patterns_show_both_colors() -> None:
    subject = recolored(make_toy("mug", 1), "gray")
    plain = render(with_pattern(subject, "plain"), SIDE, TABLE)
    for pattern in set(PATTERNS) - {"plain"}:
        picture = render(with_pattern(subject, pattern), SIDE, TABLE)
        differs = (picture.rgb != plain.rgb).any(-1)[plain.mask].mean()
        assert 0.05 < differs < 0.95


def test_styles_differ_and_keep_the_geometry() -> None:
    subject = with_pattern(recolored(make_toy("rocket", 1), "red"), "banded")
    photo = render(subject, SIDE, "on the grass", seed=2)
    for style in set(STYLES) - {"photo"}:
        picture = render(subject, SIDE, "on the grass", style, seed=2)
        assert np.abs(picture.rgb.astype(float) - photo.rgb).mean() > 5
        assert np.array_equal(picture.mask, photo.mask)
        assert np.array_equal(picture.inverse_depth, photo.inverse_depth)


@pytest.mark.parametrize("style", sorted(set(STYLES) - {"pencil sketch"}))
def test_colored_styles_keep_the_palette(style: str) -> None:
    plain = with_pattern(make_toy("mushroom", 1), "plain")
    red, blue = (render(recolored(plain, c), SIDE, TABLE, style) for c in ("red", "blue"))
    gap = red.rgb[red.mask].mean(0) - blue.rgb[blue.mask].mean(0)
    assert gap[0] > 20
    assert gap[2] < -20


def test_a_sketch_keeps_hints_of_the_pattern() -> None:
    subject = make_toy("vase", 1)
    plain, banded = (
        render(with_pattern(subject, p), SIDE, TABLE, "pencil sketch").rgb.astype(float) for p in ("plain", "banded")
    )
    assert np.abs(plain - banded).mean() > 2


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_subject_is_nearer_than_the_place_behind_it(background: str) -> None:
    subject = make_toy("toy duck", 2)
    with_subject = render(subject, SIDE, background)
    empty = render(Toy(**{**vars(subject), "primitives": ()}), SIDE, background)
    assert not empty.mask.any()
    assert (with_subject.inverse_depth - empty.inverse_depth)[with_subject.mask].min() > -1e-3
    assert (with_subject.inverse_depth - empty.inverse_depth)[with_subject.mask].mean() > 0.1
    assert 0 <= with_subject.inverse_depth.min() < with_subject.inverse_depth.max() <= 1
    alone = place_inverse_depth(subject, SIDE, background)
    assert np.abs(alone - with_subject.inverse_depth)[~with_subject.mask].max() < 0.02


def test_a_larger_picture_shows_the_same() -> None:
    subject = make_toy("cake", 2)
    small, large = (render(subject, SIDE, TABLE, size_px=size, seed=1) for size in (48, 96))
    assert small.rgb.shape == (48, 48, 3)
    halved = large.rgb.reshape(48, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(halved - small.rgb).mean() < 4


def test_captions_read_well() -> None:
    mug = make_toy("mug", 1)
    mug = Toy(**{**vars(mug), "color_names": ("red", "blue", "teal", "white"), "pattern": "striped"})
    assert caption(mug, "on a beach", "photo") == "a photo of a red and white striped mug on a beach"
    assert caption(mug, None, "photo", pattern_color=False) == "a photo of a red striped mug"
    plain = with_pattern(recolored(mug, "orange"), "plain")
    assert caption(plain, "in the snow", "pixel art") == "a pixel art picture of an orange mug in the snow"
    assert caption(plain, "in the snow", "cartoon", detail=False) == "a cartoon of a mug in the snow"
    assert (
        caption(plain, "in the snow", "neon art", addition="a red ball", removed="a handle")
        == "a neon art picture of an orange mug without a handle with a red ball in the snow"
    )
    plane = make_toy("airplane", 1)
    assert caption(plane, "under water", "photo", detail=False) == "a photo of an airplane under water"


def test_vocabularies_are_complete() -> None:
    assert set(REMOVABLE) == set(CLASS_NAMES)
    assert set(STYLE_PHRASES) == set(STYLES)
    assert (len(CLASS_NAMES), len(BACKGROUNDS), len(STYLES), len(PATTERNS), len(COLORS)) == (18, 12, 7, 6, 12)


def test_unknown_words_are_refused() -> None:
    subject = make_toy("mug", 1)
    for call in (
        lambda: make_toy("unicorn", 1),
        lambda: render(subject, SIDE, "on the moon"),
        lambda: render(subject, SIDE, TABLE, "fresco"),
        lambda: with_addition(subject, "a hat"),
        lambda: with_pattern(subject, "tartan"),
        lambda: recolored(subject, "beige"),
    ):
        with pytest.raises((ValueError, KeyError)):
            call()
