"""Folders of images as people have them, plain and with metadata: what comes back, and what is refused."""

import io
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from toffee_pipeline.config.train import FolderSource, ImageFolderSource
from toffee_pipeline.errors import DataError, ImageError
from toffee_pipeline.images import MAX_BYTES
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.data.sources.folder import IMAGES_PER_FILE


def png(value, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (8, 6), value).save(buffer, "PNG")
    return buffer.getvalue()


RED = png("red")


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of files: `folder({"a/0.png": RED})`."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "photos"

    return make


def plain(path):
    return make_source(FolderSource(format="folder", path=str(path)))


def with_metadata(path, **settings):
    return make_source(ImageFolderSource(format="imagefolder", path=str(path), **settings))


def records(source):
    return [record for file in source.files() for record in source.read(file)]


def pictures(source):
    """The image of each record, or the error in its place."""
    found = []
    for record in records(source):
        try:
            found.append(record.images["image"]())
        except ImageError as error:
            found.append(str(error))
    return found


class TestFolder:
    def test_every_image_below_it_and_nothing_else(self, folder):
        root = folder(
            {
                "b.png": RED,
                "a/deep/0.PNG": png("blue"),
                "a/0.txt": "a caption",
                "metadata.csv": "file_name,text\nb.png,a cat\n",
                "._b.png": "left by a Mac",
                ".hidden/0.png": RED,
                "__MACOSX/0.png": RED,
                "raw.cr2": "raw",
            }
        )
        found = records(plain(root))
        assert [record.key for record in found] == ["0: a/deep/0.PNG", "1: b.png"]
        assert [record.images["image"]()[0, 0].tolist() for record in found] == [[0, 0, 255], [255, 0, 0]]
        assert {(record.text, record.kind, record.mask, record.depth) for record in found} == {("", "", None, None)}

    def test_a_broken_image_breaks_alone(self, folder):
        root = folder({"0.png": RED, "1.png": RED[:50], "2.jpg": "no picture", "3.png": "", "5.png": RED})
        with (root / "4.png").open("wb") as file:
            file.truncate(MAX_BYTES + 1)
        first, *broken, last = pictures(plain(root))
        np.testing.assert_array_equal(first, last)
        assert [line.partition(" ")[0] for line in broken] == ["1.png:", "2.jpg:", "3.png:", "4.png:"]
        assert "truncated" in broken[0] and "not an image" in broken[1]
        assert "empty" in broken[2] and "too many" in broken[3]

    def test_an_image_that_is_gone_breaks_alone(self, folder):
        root = folder({"0.png": RED, "1.png": RED})
        gone, there = records(plain(root))
        (root / "0.png").unlink()
        with pytest.raises(ImageError, match="^0.png: no such file$"):
            gone.images["image"]()
        assert there.images["image"]().shape == (6, 8, 3)

    def test_transparency_lies_over_white(self, folder):
        (picture,) = pictures(plain(folder({"0.png": png((0, 0, 0, 0), "RGBA")})))
        assert picture.dtype == np.uint8 and (picture == 255).all()

    def test_many_images_are_read_some_at_a_time(self, folder):
        source = plain(folder({f"{number:03d}.png": RED for number in range(IMAGES_PER_FILE + 2)}))
        files = source.files()
        assert [len(list(source.read(file))) for file in files] == [IMAGES_PER_FILE, 2]

    def test_another_image_or_another_size_is_another_file(self, folder):
        root = folder({"0.png": RED})
        before = plain(root).files()
        assert plain(root).files() == before
        folder({"0.png": png("red", "RGBA")})
        replaced = plain(root).files()
        folder({"1.png": RED})
        assert len({*before, *replaced, *plain(root).files()}) == 3

    @pytest.mark.parametrize("files", [{}, {"0.txt": "a caption"}])
    def test_no_image_is_one_line(self, folder, tmp_path, files):
        folder(files)
        with pytest.raises(
            DataError, match=r"photos: no image \(.*\.jpg.*\) there; format=folder is a folder of images"
        ):
            plain(tmp_path / "photos").files()


def parquet(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


ROWS = [
    {"file_name": "a/1.png", "text": " a blue\ncup ", "de": "Tasse"},
    {"file_name": "./0.png", "text": None, "de": "Glas"},
]
METADATA = {
    "metadata.csv": 'file_name,text,de\na/1.png," a blue\ncup ",Tasse\n./0.png,,Glas\n',
    "metadata.jsonl": '{"file_name": "a/1.png", "text": " a blue\\ncup ", "de": "Tasse"}\n'
    '{"file_name": "./0.png", "de": "Glas"}\n',
    "metadata.parquet": parquet(ROWS),
}
IMAGES = {"0.png": RED, "a/1.png": png("blue"), "a/unnamed.png": RED}


class TestImageFolder:
    @pytest.mark.parametrize("name", METADATA)
    def test_the_images_that_metadata_names_with_their_captions(self, folder, name):
        root = folder({**IMAGES, name: METADATA[name]})
        found = records(with_metadata(root))
        assert [(record.key, record.text) for record in found] == [("0: a/1.png", "a blue\ncup"), ("1: 0.png", "")]
        assert [record.images["image"]()[0, 0].tolist() for record in found] == [[0, 0, 255], [255, 0, 0]]
        assert [record.text for record in records(with_metadata(root, caption_column="de"))] == ["Tasse", "Glas"]

    def test_datasets_reads_the_same_rows(self, folder, tmp_path):
        datasets = pytest.importorskip("datasets")
        root = folder({**IMAGES, "metadata.jsonl": METADATA["metadata.jsonl"]})
        files = {"train": [str(path) for path in root.rglob("*") if path.is_file()]}
        loaded = datasets.load_dataset(
            "imagefolder", data_files=files, cache_dir=str(tmp_path / "cache"), split="train"
        )
        names = [
            os.path.relpath(row["image"]["path"], root)
            for row in loaded.cast_column("image", datasets.Image(decode=False))
        ]
        assert names == [record.key.partition(": ")[2] for record in records(with_metadata(root))]

    def test_metadata_in_folders_below_and_several_captions_of_one_image(self, folder):
        root = folder(
            {
                **IMAGES,
                "a/metadata.csv": "file_name,text\n1.png,a cup\n1.png,a blue cup\n",
                "metadata.jsonl": '{"file_name": "0.png", "text": "a glass"}',
                ".cache/metadata.csv": "file_name,text\n1.png,hidden\n",
            }
        )
        found = records(with_metadata(root))
        assert [record.text for record in found] == ["a cup", "a blue cup", "a glass"]
        assert len({record.key for record in found}) == 3

    def test_no_caption_at_all_is_none(self, folder):
        assert [r.text for r in records(with_metadata(folder({**IMAGES, "metadata.csv": "file_name\n0.png\n"})))] == [
            ""
        ]

    def test_what_is_not_there_or_broken_breaks_alone(self, folder):
        names = ["0.png", "nowhere.png", "../up.png", "a/1.png", "a/unnamed.png"]
        root = folder(
            {**IMAGES, "../up.png": RED, "a/1.png": RED[:50], "metadata.csv": "\n".join(["file_name", *names])}
        )
        first, gone, outside, cut, last = pictures(with_metadata(root))
        np.testing.assert_array_equal(first, last)
        assert gone == "nowhere.png: named in the metadata, but no such file"
        assert outside == "../up.png: named in the metadata, but no such file"
        assert cut.startswith("a/1.png: truncated")

    @pytest.mark.parametrize(
        ("files", "settings", "line"),
        [
            ({}, {}, r"none of metadata.csv, metadata.jsonl, metadata.parquet there; format=imagefolder is .*=folder$"),
            ({"metadata.csv": "file_name,text\n"}, {}, "no row in metadata.csv$"),
            (METADATA, {"caption_column": "fr"}, "no column 'fr' in metadata.csv, metadata.jsonl, metadata.parquet .*; "
             "there are file_name, text, de$"),
            ({"metadata.csv": "image,text\n0.png,x\n"}, {}, "metadata.csv, line 2: no file_name$"),
            ({"metadata.parquet": parquet([{"image": "0.png"}])}, {}, "metadata.parquet: no file_name; .* image$"),
            ({"metadata.parquet": parquet([{"file_name": "0.png", "text": 3}])}, {},
             "metadata.parquet, row 1: text is no string, but of type int$"),
            ({"metadata.parquet": b"PAR1, or not"}, {}, "metadata.parquet: not a sound Parquet file: "),
            ({"metadata.jsonl": '{"file_name": "0.png", "label": 3}'}, {"caption_column": "label"},
             "metadata.jsonl, line 1: label is no string, but of type int$"),
            ({"a/metadata.jsonl": '{"file_name": "0.png"}\n{"file'}, {}, "a/metadata.jsonl, line 2: Unterminated"),
        ],
    )  # fmt: skip
    def test_what_is_refused_is_one_line(self, folder, files, settings, line):
        root = folder({**IMAGES, **files})
        with pytest.raises(DataError, match=f"photos: {line}") as caught:
            with_metadata(root, **settings).files()
        assert "\n" not in str(caught.value)
