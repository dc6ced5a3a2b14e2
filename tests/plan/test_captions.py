"""Captions beside the user's own images: which image has which, what stays of it, and what is refused."""

import io
import json
import os
import tracemalloc
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.repeated import in_every_row, packed
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.folder import (
    MAX_CAPTION_LENGTH,
    FolderImage,
    caption_words,
    first_difference,
    from_bytes,
    list_folder,
    to_bytes,
    to_lines,
)
from toffee_pipeline.plan.plan import Plan

IMAGE = FolderImage("dog/0.jpg", "dog", 3411, 1_767_312_000_123_456_789)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of files, of which all but a few are empty images: `folder(**{"dog/0.jpg": b""})`."""

    def make(images, files=()):
        for name, content in {**dict.fromkeys(images, ""), **dict(files)}.items():
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "photos"

    return make


def captions(root):
    images, notes = list_folder(root)
    return {image.path: image.caption for image in images}, list(notes)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A photo of a fluffy corgi, sitting.", "fluffy corgi, sitting"),
        ("an image of the old BMW", "old BMW"),
        ("A red mug", "red mug"),
        ("aardvark", "aardvark"),
        ("painting of a dog, with a photo of a cat", "painting of a dog, with a photo of a cat"),
        ("a" * 200, "a" * MAX_CAPTION_LENGTH),
        ("A photo of a dog, " + "very " * 40, "dog, " + "very " * 19 + "very"),
    ],
)
def test_the_words_of_a_caption(caption, words):
    assert caption_words(caption) == words == caption_words(words)


def test_a_text_file_with_the_name_of_an_image(folder):
    texts = {
        "dog/0.txt": "\ufeffA photo of a fluffy corgi, sitting.\r\nA second line.",
        "dog/1.TXT": "  the\told \x1b[31m dog \n",
        "dog/2.b.txt": "dog named Ömer",
        "dog/README.txt": b"\xff of no image",
    }
    found, notes = captions(folder(["dog/0.jpg", "dog/0.png", "dog/1.jpg", "dog/2.b.jpg"], texts.items()))
    assert found == {
        "dog/0.jpg": "fluffy corgi, sitting",
        "dog/0.png": "fluffy corgi, sitting",
        "dog/1.jpg": "old [31m dog",
        "dog/2.b.jpg": "dog named Ömer",
    }
    assert notes == []


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


METADATA = {
    "metadata.csv": 'file_name,text,label\ndog/0.jpg,"A corgi, sitting",3\n./1.jpg,A cat,4\ndog/2.jpg,,5\n',
    "metadata.jsonl": '{"file_name": "dog/0.jpg", "text": "A corgi, sitting", "label": 3}\n\n'
    '{"file_name": "./1.jpg", "text": "A cat"}\n{"file_name": "dog/2.jpg", "text": null}\n',
    "metadata.parquet": parquet(
        file_name=["dog/0.jpg", "./1.jpg", "dog/2.jpg"], text=["A corgi, sitting", "A cat", None], label=[3, 4, 5]
    ),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_the_whole_folder_and_of_one_below(folder, name):
    root = folder(["dog/0.jpg", "dog/2.jpg", "1.jpg"], [(name, METADATA[name])])
    expected = {"1.jpg": "cat", "dog/0.jpg": "corgi, sitting", "dog/2.jpg": None}
    assert captions(root) == (expected, ["subjects.path: 1 without a caption: dog/2.jpg"])
    (root / name).rename(root / "dog" / name)
    folder(["dog/dog/0.jpg", "dog/1.jpg"])
    assert captions(root)[0] == {
        "1.jpg": None, "dog/0.jpg": None, "dog/1.jpg": "cat", "dog/2.jpg": None, "dog/dog/0.jpg": "corgi, sitting",
    }  # fmt: skip


def test_datasets_reads_the_same_captions(folder, tmp_path):
    """The metadata is that of `load_dataset("imagefolder")`."""
    datasets = pytest.importorskip("datasets")
    root = folder(["dog/0.jpg", "dog/2.jpg", "1.jpg"], [("metadata.csv", METADATA["metadata.csv"])])
    files = {"train": [str(path) for path in root.rglob("*") if path.is_file()]}
    loaded = datasets.load_dataset("imagefolder", data_files=files, cache_dir=str(tmp_path / "cache"), split="train")
    rows = loaded.cast_column("image", datasets.Image(decode=False))
    assert {os.path.relpath(row["image"]["path"], root): row["text"] for row in rows} == {
        "dog/0.jpg": "A corgi, sitting", "1.jpg": "A cat", "dog/2.jpg": None,
    }  # fmt: skip


def test_a_text_file_goes_before_metadata(folder):
    files = {"metadata.jsonl": '{"file_name": "0.jpg", "text": "a dog"}', "0.txt": "a corgi", "1.txt": " \n"}
    assert captions(folder(["0.jpg"], files.items()))[0] == {"0.jpg": "corgi"}
    files = {"metadata.jsonl": '{"file_name": "1.jpg", "text": "a cat"}', "1.txt": " \n"}
    assert captions(folder(["1.jpg"], files.items()))[0]["1.jpg"] == "cat"  # an empty text says nothing


def test_what_is_of_no_use_is_said(folder):
    files = {
        "metadata.csv": "file_name,label\n0.jpg,3\n",
        "dog/metadata.jsonl": '{"file_name": "9.jpg", "text": "a dog"}\n{"file_name": "../../b.jpg", "text": "a dog"}',
        "0.txt": "a dog on the grass " * 20,
    }
    assert captions(folder(["0.jpg"], files.items()))[1] == [
        "subjects.path: no caption in metadata.csv: no row has a text",
        "subjects.path: 2 captions without their image: ../b.jpg, dog/9.jpg",
        "subjects.path: 1 captions cut at 120 characters: 0.jpg",
    ]


LINE = '{"file_name": "0.jpg", "text": "a dog"}\n'


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("0.txt", "größer".encode("latin-1"), "0.txt: not UTF-8"),
        ("metadata.csv", "file_name,text\n0.jpg,größer\n".encode("latin-1"), "metadata.csv, line 2: 'utf-8' codec"),
        ("metadata.csv", 'file_name,text\n0.jpg,"a\ndog"\n1.jpg,"a\n', "metadata.csv, line 4: unexpected end of data"),
        ("metadata.csv", "file_name,text\n0.jpg,a dog, sitting\n", "metadata.csv, line 2: more fields than columns: "),
        ("metadata.csv", "image,text\n0.jpg,a dog\n", "metadata.csv, line 2: no file_name"),
        ("metadata.csv", "file_name,text\n0.jpg,a\n./0.jpg,b\n", "metadata.csv, line 3: 0.jpg has a row already"),
        ("metadata.jsonl", LINE + '{"file_name": "1.jpg", "te', "metadata.jsonl, line 2: Unterminated string"),
        ("metadata.jsonl", LINE + "\n[1]", "metadata.jsonl, line 3: not a JSON object"),
        ("metadata.parquet", b"no parquet", "metadata.parquet: not a sound Parquet file: "),
        ("metadata.parquet", parquet(image=["0.jpg"]), "metadata.parquet: no file_name; its columns are image"),
        ("metadata.parquet", parquet(file_name=["0.jpg"], text=[3]), "metadata.parquet, row 1: text is no string, but"),
        ("metadata.jsonl", "[" * 100_000, "metadata.jsonl, line 1: maximum recursion depth exceeded"),
        (
            "metadata.jsonl",
            '{"file_name": "0.jpg", "text": ["a"]}',
            "metadata.jsonl, line 1: text is no string, but of",
        ),
        (
            "metadata.jsonl",
            '{"file_name": "\\ud800", "text": ""}',
            "metadata.jsonl, line 1: 'utf-8' codec can't encode",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(folder, name, content, line):
    root = folder(["0.jpg"], [(name, content)])
    with pytest.raises(PlanError) as caught:
        list_folder(root)
    assert str(caught.value).startswith(f"subjects.path: {line}") and "\n" not in str(caught.value)


def test_a_long_caption_in_every_row_takes_no_memory(folder):
    """1 GiB in some kB."""
    rows = pa.table({"file_name": ["0.jpg"] * 1024, "text": in_every_row("x" * (1 << 20), 1024)})
    root = folder(["0.jpg"], [("metadata.parquet", packed(rows))])
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(PlanError, match="metadata.parquet: not a sound Parquet file: row group 0 holds more"):
        list_folder(root)
    assert pa.default_memory_pool().max_memory() <= max(before, 512 << 20)


def test_two_metadata_files_that_name_one_image_are_refused(folder):
    root = folder(["dog/0.jpg"], [("metadata.csv", "file_name,text\ndog/0.jpg,a\n"), ("dog/metadata.jsonl", LINE)])
    with pytest.raises(PlanError, match=r"metadata.csv, line 2: dog/0.jpg has a row already"):
        list_folder(root)


def test_what_is_no_regular_file_is_not_opened(folder):
    root = folder(["0.jpg"])
    os.mkfifo(root / "0.txt")  # opening it would wait for ever
    (root / "metadata.csv").symlink_to(root / "nowhere")
    assert captions(root) == (
        {"0.jpg": None},
        ["subjects.path: 2 left out (cannot be opened): 0.txt, metadata.csv"],
    )


def test_a_caption_belongs_to_the_plan(folder):
    def plan():
        return Plan(load_config("nano", ("subjects.source=folder", f"subjects.path={root}", "pairs.count=4")))

    root = folder(["dog/0.jpg"])
    without = plan()
    folder([], [("dog/0.txt", "a corgi")])
    first = plan()
    assert len({without.hash, first.hash}) == 2
    assert plan().hash == first.hash
    folder([], [("dog/0.txt", "The corgi.\nThe same words.")])
    assert plan().hash == first.hash
    folder([], [("dog/0.txt", "a poodle")])
    assert plan().hash != first.hash
    assert from_bytes(to_bytes(first.source.images), "images") == first.source.images
    assert "caption" not in json.loads(to_lines(without.source.images))


def test_a_caption_that_differs_is_named():
    corgi, poodle = replace(IMAGE, caption="corgi"), replace(IMAGE, caption="poodle")
    assert first_difference([corgi], [poodle]) == "dog/0.jpg: its caption was 'corgi', now 'poodle'"
    assert first_difference([IMAGE], [poodle]) == "dog/0.jpg: its caption was None, now 'poodle'"


def test_captions_of_other_languages_are_refused_or_passed_and_counted(folder):
    root = folder(["dog/0.jpg", "dog/1.jpg"], {"dog/0.txt": "ein Hund auf einer Wiese", "dog/1.txt": "a dog"}.items())
    refused, notes = list_folder(root)
    assert [image.caption for image in refused] == [None, "dog"]
    assert notes[0] == "subjects.path: 1 captions that are not English are left out: dog/0.jpg"
    passed, notes = list_folder(root, "pass")
    assert passed[0].caption == "ein Hund auf einer Wiese"
    assert notes == ("subjects.path: 1 captions that are not English are kept: dog/0.jpg",)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_metadata_without_a_line_break_is_said_and_not_held(name, folder):
    root = folder(["0.jpg"], {name: b""})
    os.truncate(root / name, 20 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(PlanError, match=rf"^subjects.path: {name}(, line 1)?: longer than 1,048,576 bytes$"):
            list_folder(root)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_row_of_csv_that_never_ends_is_said_and_empty_lines_are_none(folder):
    endless = "file_name,text\n" + '"x\n",' * (1 << 19)
    with pytest.raises(PlanError, match="^subjects.path: metadata.csv, line [0-9]+: longer than 1,048,576 bytes$"):
        list_folder(folder(["0.jpg"], {"metadata.csv": endless}))
    root = folder(["0.jpg"], {"metadata.csv": "file_name,text\n" + "\n" * (2 << 20) + "0.jpg,a red mug\n"})
    assert captions(root)[0] == {"0.jpg": "red mug"}
