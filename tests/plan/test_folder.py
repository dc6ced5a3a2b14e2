"""The user's own images: which are found, what they are called, and how a change of them is seen."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.plan.folder import (
    FolderImage,
    class_words,
    first_difference,
    from_bytes,
    list_folder,
    to_bytes,
)
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.subjects import FolderSubjects

IMAGE = FolderImage("dog/0.jpg", "dog", 3411, 1_767_312_000_123_456_789)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of empty files: `folder("dog/0.jpg", ...)`."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "photos"

    return make


def plan(folder, *overrides, source=None):
    config = load_config("nano", ("subjects.source=folder", f"subjects.path={folder}", "pairs.count=20", *overrides))
    return Plan(config, source)


def found(root):
    images, notes = list_folder(root)
    return {image.path: image.class_name for image in images}, list(notes)


def test_images_in_order_and_odd_names_their_words(folder):
    root = folder("fancy_boot/00.jpg", "fancy_boot/01.JPG", "dog2/a b.png", "überrest/ö.webp", "notes.txt")
    made = plan(root, "pairs.per_subject=2", "subjects_per_shard=10")
    subjects, pairs = made.shard(0)
    assert [subject.path for subject in subjects[:5]] == [
        "dog2/a b.png", "fancy_boot/00.jpg", "fancy_boot/01.JPG", "überrest/ö.webp", "dog2/a b.png",
    ]  # fmt: skip
    assert [subject.class_name for subject in subjects[:4]] == ["dog", "fancy boot", "fancy boot", "überrest"]
    assert "removal" not in {pair.category for pair in pairs}  # nothing is known that could be removed
    assert subjects[0].seed != subjects[4].seed
    assert made.source.notes == ()


def test_the_folder_below_the_root_names_the_class(folder):
    root = folder("dog/images/0.jpg", "cat/2024-05-01/a/0.jpg", "1.jpg")
    assert found(root)[0] == {"dog/images/0.jpg": "dog", "cat/2024-05-01/a/0.jpg": "cat", "1.jpg": "photos"}


def test_class_words():
    names = ("rc_car", "dog8", "poop-emoji", "2023", "a" * 200, "my very own " + "and dearest " * 20 + "dog")
    words = [class_words(name) for name in names]
    assert words[:4] == ["rc car", "dog", "poop emoji", "object"]
    assert words[4] == "a" * 60
    assert words[5] == "my very own and dearest and dearest and dearest and dearest"


def test_hidden_and_system_files_are_left_out_and_counted(folder):
    root = folder(
        "dog/0.jpg", "dog/._00.jpg", "__MACOSX/dog/0.jpg", ".thumbnails/0.jpg", "dog/.ipynb_checkpoints/0.jpg",
        "Thumbs.db", "dog/.DS_Store",
    )  # fmt: skip
    images, notes = found(root)
    assert images == {"dog/0.jpg": "dog"}
    assert notes == [
        "subjects.path: 6 left out (hidden, or the system's own): .thumbnails, Thumbs.db, __MACOSX and 3 more"
    ]


def test_a_root_below_a_hidden_folder_is_none_of_the_hidden(folder):
    assert found(folder(".cache/mine/0.jpg") / ".cache")[0] == {"mine/0.jpg": "mine"}


def test_names_that_are_not_utf_8_are_left_out_and_named(folder):
    root = folder("dog/0.jpg", "dog/notes.txt")
    for name in (b"dog/b\xff.jpg", b"dog/b\xff.txt"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(b"")
    other = Path(os.fsdecode(os.fsencode(root) + b"/c\xe4t"))
    other.mkdir()
    (other / "0.jpg").write_bytes(b"")
    images, notes = found(root)
    assert images == {"dog/0.jpg": "dog"}
    assert notes == [r"subjects.path: 2 left out (names that are not UTF-8): c\xe4t, dog/b\xff.jpg"]
    assert len(plan(root).hash) == 16
    with pytest.raises(PlanError, match=r"c\\xe4t: its name is not UTF-8"):
        list_folder(other)


def test_links_to_folders_are_followed_and_loops_found(folder, tmp_path):
    root = folder("fox/0.jpg")
    elsewhere = tmp_path / "elsewhere"
    for name in ("dogs/0.jpg", "cats/deep/1.jpg"):
        (elsewhere / name).parent.mkdir(parents=True)
        (elsewhere / name).write_bytes(b"")
    (root / "dog").symlink_to(elsewhere / "dogs")
    (root / "cat").symlink_to(elsewhere / "cats")
    (root / "again").symlink_to(root / "fox")  # the folder itself counts and not the link, though that is first by name
    (elsewhere / "cats" / "up").symlink_to(root)
    (elsewhere / "cats" / "self").symlink_to(elsewhere / "cats")
    (root / "fox" / "link.jpg").symlink_to(elsewhere / "dogs" / "0.jpg")
    (root / "fox" / "gone.jpg").symlink_to(elsewhere / "no.jpg")
    images, notes = found(root)
    assert images == {"fox/0.jpg": "fox", "fox/link.jpg": "fox", "dog/0.jpg": "dog", "cat/deep/1.jpg": "cat"}
    assert notes == [
        "subjects.path: 3 left out (links to a folder that is listed already): again, cat/self, cat/up",
        "subjects.path: 1 left out (cannot be opened): fox/gone.jpg",
    ]


def test_suffixes(folder):
    root = folder(*(f"dog/{number}{suffix.upper()}" for number, suffix in enumerate(sorted(SUFFIXES))))
    assert len(found(root)[0]) == len(SUFFIXES) >= 11
    images, notes = found(folder("dog/a.heic", "dog/b.CR2", "dog/readme.md"))
    assert len(images) == len(SUFFIXES)
    assert notes == ["subjects.path: 2 left out (formats that are not read): dog/a.heic, dog/b.CR2"]


def test_a_folder_without_images_or_no_folder_is_one_clear_line(folder, tmp_path):
    with pytest.raises(PlanError, match="photos is not a folder"):
        plan(tmp_path / "photos")
    with pytest.raises(PlanError, match=r"no image \(.*\.jpg.*\) below .*photos; .* 1 left out .*: a.heic") as caught:
        plan(folder("a.heic"))
    assert "\n" not in str(caught.value)


def test_size_and_time_of_each_file_are_part_of_the_plan(folder):
    root = folder("dog/0.jpg", "cat/0.jpg")
    path = root / "dog/0.jpg"
    os.utime(path, ns=(0, 10))
    first = plan(root)
    assert plan(root).hash == first.hash
    os.utime(path, ns=(0, 11))
    assert plan(root).hash != first.hash
    os.utime(path, ns=(0, 10))
    assert plan(root).hash == first.hash
    path.write_bytes(b"x")
    os.utime(path, ns=(0, 10))
    assert plan(root).hash != first.hash
    assert plan(folder("dog/1.jpg")).hash != first.hash


def test_a_plan_from_a_list_does_not_look_at_the_folder(folder):
    root = folder("dog/0.jpg", "cat/0.jpg")
    first = plan(root)
    for name in ("dog/0.jpg", "cat/0.jpg"):
        (root / name).unlink()
    again = plan(root, source=FolderSubjects.stored(first.source.to_bytes(), "images"))
    assert again.hash == first.hash
    assert [again.shard(index) for index in range(len(again))] == [first.shard(index) for index in range(len(first))]


def test_a_list_comes_back_as_it_was_and_the_same_list_gives_the_same_bytes():
    odd = [IMAGE, replace(IMAGE, path="dog/\u2028 \n.jpg"), replace(IMAGE, path="ö/0.jpg", class_name="ö", mtime_ns=-1)]
    data = to_bytes(odd)
    assert from_bytes(data, "images") == tuple(odd)
    assert to_bytes(odd) == data
    for damaged in (data[:-9], b"x", data[:20] + b"xx" + data[22:], to_bytes([])[:5]):
        with pytest.raises(PlanError, match="^run/images: damaged"):
            from_bytes(damaged, "run/images")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ([IMAGE], [IMAGE], None),
        ([IMAGE], [], "dog/0.jpg: not there any more"),
        ([], [IMAGE], "dog/0.jpg: new"),
        (
            [IMAGE],
            [replace(IMAGE, size_bytes=12, mtime_ns=1_767_312_001_000_000_000)],
            "dog/0.jpg: was 3,411 bytes of 2026-01-02 00:00:00.123 UTC, now 12 bytes of 2026-01-02 00:00:01.000 UTC",
        ),
        ([IMAGE], [replace(IMAGE, class_name="wolf")], "dog/0.jpg: was of class 'dog', now of 'wolf'"),
        ([IMAGE], [replace(IMAGE, path="a\nb.jpg"), IMAGE], r"a\nb.jpg: new"),
        ([replace(IMAGE, path="z.jpg")], [replace(IMAGE, path="b.jpg")], "b.jpg: new"),
    ],
)
def test_the_first_file_that_differs_is_named(old, new, line):
    assert first_difference(old, new) == line


def test_the_notes_are_one_line_each(folder):
    root = folder("dog/0.jpg", "dog/.a\nb.jpg", "dog/c\nd.heic")
    for note in found(root)[1]:
        assert re.fullmatch(r".*\\n.*", note)
