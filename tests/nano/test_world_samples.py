"""The subjects that nano networks learn from: what the two sets of photos tell."""

from toffee_pipeline.nano import world
from toffee_pipeline.nano.world_samples import draw_photo, draw_told_photo

NUM_DRAWN = 400


def test_told_photos_name_colours_patterns_and_additions_as_drafts_do():
    told = [draw_told_photo(index) for index in range(NUM_DRAWN)]
    captions = [photo.caption for photo in told]
    additions = sum(photo.addition is not None for photo in told)
    assert additions == sum(any(f"with {a}" in caption for a in world.ADDITIONS) for caption in captions)
    assert 0.3 < additions / NUM_DRAWN < 0.4
    colored = [any(f" {color} " in caption for color in world.COLORS) for caption in captions]
    assert 0.8 < sum(colored) / NUM_DRAWN < 0.95
    patterned = [
        (photo, caption) for photo, caption in zip(told, captions, strict=True) if photo.subject.pattern in caption
    ]
    both = [photo for photo, caption in patterned if f" and {photo.subject.color_names[3]} " in caption]
    assert (
        0.6 < len(both) / len(patterned) < 0.8
    )  # a texture's prompt does not name the second colour of a plain subject


def test_the_sets_share_no_subject():
    assert draw_told_photo(0).subject != draw_photo(0).subject
    assert draw_told_photo(0) == draw_told_photo(0)
