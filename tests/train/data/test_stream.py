"""The order of training data: every file once per epoch, the same order every time, and a place that is found again."""

import dataclasses
import io
import re
import tarfile

import numpy as np
import pytest

from tests.helpers.banks import make_bank
from tests.helpers.training import make_config, make_reader
from toffee_pipeline.config.train import RefinerTraining, ViewGeneratorTraining
from toffee_pipeline.errors import DataError
from toffee_pipeline.images import encode_png
from toffee_pipeline.train.data import examples, stream
from toffee_pipeline.train.data.examples import first_rows
from toffee_pipeline.train.data.stream import MAX_NAMED, Batches, Position, read_here, resume

START = Position(0, 0)


def batches(reader, position=START, world=1, size=10, max_broken_fraction=0.5):
    return Batches(read_here(reader), position, world, size, max_broken_fraction)


def write_tar(path, images):
    """images: name -> bytes of an image."""
    with tarfile.open(path, "w") as file:
        for name, data in images.items():
            for member, content in ((f"{name}.png", data), (f"{name}.txt", b"a photo")):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))


def of_tars(folder, *overrides):
    """A reader of the tars in a folder."""
    return make_reader(
        make_config(RefinerTraining, f"data.sources=[{{format: webdataset, path: '{folder}'}}]", *overrides)
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Eight files of 32 images, all different."""
    folder = tmp_path_factory.mktemp("tars")
    for tar in range(8):
        images = {f"{n:03d}": encode_png(np.full((64, 64, 3), (tar, n, 9), np.uint8)) for n in range(32)}
        write_tar(folder / f"{tar}.tar", images)
    return of_tars(folder, "data.files_per_read=2")


def test_an_epoch_visits_every_file_once_and_the_next_in_another_order(reader):
    epochs = [
        [file for read in range(n * reader.reads_per_epoch, (n + 1) * reader.reads_per_epoch)
         for file in reader.files_of(read)]
        for n in range(2)
    ]  # fmt: skip
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(reader.files)
    assert epochs[0] != epochs[1]
    other = dataclasses.replace(reader, seed=1)
    assert [other.files_of(0), other.files_of(1)] != [reader.files_of(0), reader.files_of(1)]


def test_a_read_mixes_its_files(reader):
    (block, *_) = reader.blocks(0)
    rows = np.concatenate([part["target"] for part in reader.blocks(0)])
    assert len(rows) == 2 * 32
    again = np.concatenate([part["target"] for part in reader.blocks(0)])
    assert np.array_equal(rows, again)
    per_file = dataclasses.replace(reader, files_per_read=1)
    first = {row.tobytes() for part in per_file.blocks(0) for row in part["target"]}
    from_first = [row.tobytes() in first for row in block["target"]]
    assert 0 < sum(from_first) < len(from_first)


@pytest.mark.parametrize("taken", [0, 1, 6, 7])
def test_a_stream_goes_on_where_it_was_left(reader, taken):
    whole, left = batches(reader), batches(reader)
    expected = [whole.next()["target"] for _ in range(taken + 3)]
    for _ in range(taken):
        left.next()
    again = batches(reader, left.position)
    for batch in expected[taken:]:
        assert np.array_equal(again.next()["target"], batch)


def test_workers_share_the_reads(reader):
    seen = [batches(reader, resume([], rank, 2), world=2, size=64).next() for rank in range(2)]
    assert {int(number) for number in seen[0]["read"]} == {0}
    assert {int(number) for number in seen[1]["read"]} == {1}


def test_another_number_of_workers_starts_at_the_first_unfinished_read():
    positions = [Position(6, 3), Position(9, 1)]
    assert [resume(positions, rank, 2) for rank in range(2)] == positions
    assert [resume(positions, rank, 3) for rank in range(3)] == [Position(6, 0), Position(7, 0), Position(8, 0)]
    assert resume(positions, 0, 1) == Position(6, 0)


def test_views_of_one_object_are_paired_with_another_view():
    config = make_config(ViewGeneratorTraining)
    reader = make_reader(config)
    rows = first_rows(reader, 32)
    assert len({row.tobytes() for row in rows["target"]}) == 32  # every view is a target once
    assert {row.tobytes() for row in rows["input"]} <= {row.tobytes() for row in rows["target"]}
    assert not any(np.array_equal(a, b) for a, b in zip(rows["input"], rows["target"], strict=True))
    later = next(reader.blocks(reader.reads_per_epoch))  # other partners in the next epoch
    assert len(later["target"]) == 16


def photo_tar(folder, broken, count=60):
    photo, images = np.full((64, 64, 3), 200, np.uint8), {}
    for number in range(count):
        photo[0, 0] = number
        images[f"{number:03d}"] = b"no picture" if number % 10 < broken else encode_png(photo)
    write_tar(folder / "0.tar", images)
    return of_tars(folder)


def test_broken_samples_are_counted_and_skipped(tmp_path):
    stream = batches(photo_tar(tmp_path, broken=1), size=27)
    seen = [int(row[0, 0, 0]) for _ in range(2) for row in stream.next()["target"]]
    assert sorted(seen) == [number for number in range(60) if number % 10]
    assert (stream.seen, stream.broken) == (60, 6) or (stream.seen, stream.broken) == (59, 5)
    assert len(stream.errors) == 6
    assert all(re.fullmatch(r"0.tar: 0\d0: not an image.*", line) for line in stream.errors)


def test_what_is_broken_is_named_once_and_the_first_of_it_only(tmp_path):
    stream = batches(photo_tar(tmp_path, broken=5), size=30, max_broken_fraction=0.9)
    for _ in range(3):
        stream.next()
    assert stream.broken > 2 * 30 - 5  # in three epochs
    assert len(stream.errors) == len(set(stream.errors)) == MAX_NAMED


def test_too_many_broken_samples_end_the_training(tmp_path):
    stream = batches(photo_tar(tmp_path, broken=2), size=24, max_broken_fraction=0.1)
    with pytest.raises(DataError, match=r"of \d+ training samples are broken.*max_broken_fraction.*not an image"):
        for _ in range(10):
            stream.next()


def test_no_usable_sample_is_one_line_with_the_first_error(tmp_path):
    words = (
        r"^no usable sample in data.sources; needed is an image that can be read; the first error: 0.tar: \d+: not an"
    )
    with pytest.raises(DataError, match=words):
        first_rows(photo_tar(tmp_path, broken=10), 4)


def mixed_tar(folder, *overrides):
    """Of ten images each two have a central square of 32 px, one cannot be read, and the rest have 48."""
    images = {f"{n:03d}": encode_png(np.full((48 - 16 * (n % 10 < 2), 70, 3), n, np.uint8)) for n in range(60)}
    images |= {name: b"no picture" for name in images if name.endswith("9")}
    write_tar(folder / "0.tar", images)
    return of_tars(folder, *overrides)


def test_small_images_are_left_out_and_are_not_broken(tmp_path):
    stream = batches(mixed_tar(tmp_path, "data.min_side_px=48"), size=42, max_broken_fraction=0.13)
    for _ in range(4):  # a fifth of 240 rows is small, an eighth of the others broken
        rows = stream.next()
        assert sorted(row[0, 0, 0] for row in rows["target"]) == [n for n in range(60) if 2 <= n % 10 < 9]
        assert set(rows["target_side_px"]) == {48}
    assert stream.too_small in (47, 48)
    assert all("not an image" in line for line in stream.errors)


def test_a_row_says_how_large_its_image_was(tmp_path):
    rows = first_rows(mixed_tar(tmp_path), 54)
    small = [int(row[0, 0, 0]) % 10 < 2 for row in rows["target"]]
    assert sum(small) == 12
    assert list(rows["target_side_px"]) == [32 if each else 48 for each in small]


def test_where_all_images_are_small_not_all_are_tried(reader, monkeypatch):
    large = dataclasses.replace(reader, min_side_px=65)
    words = (
        r"; needed is an image that can be read; the first error: \d+: its .* has 64 px, less than data.min_side_px=65$"
    )
    with pytest.raises(DataError, match=f"^no usable sample in data.sources{words}"):
        first_rows(large, 4)
    monkeypatch.setattr(examples, "MAX_TRIED", 30)
    with pytest.raises(DataError, match=f"^no usable sample among the first 32 of data.sources{words}"):
        first_rows(large, 4)
    assert len(first_rows(reader, 64)["target"]) == 32


def test_a_stream_of_small_images_ends_with_a_line(reader, monkeypatch):
    monkeypatch.setattr(stream, "MANY", 30)
    small = batches(dataclasses.replace(reader, min_side_px=65))
    with pytest.raises(DataError, match=r"^(\d+) of \1 training samples are smaller than data.min_side_px: lower it"):
        small.next()


def of_objects(format, path):
    return make_reader(make_config(ViewGeneratorTraining, f"data.sources=[{{format: {format}, path: '{path}'}}]"))


def test_no_usable_sample_says_how_many_views_an_object_needs(tmp_path):
    (tmp_path / "a/b/images").mkdir(parents=True)
    for name in ("0.png", "1.png"):
        (tmp_path / "a/b/images" / name).write_bytes(b"no picture")
    words = r"needed is an object with 2 views that can be read; the first error: a/b/images/\d.png: not an image"
    with pytest.raises(DataError, match=words):
        first_rows(of_objects("mvimgnet", tmp_path), 4)


def test_sound_images_of_no_use_are_told_from_broken_ones(tmp_path):
    make_bank(str(tmp_path))
    with pytest.raises(DataError, match="needed is an object with 2 views that can be read; nothing was broken$"):
        first_rows(of_objects("run", tmp_path), 4)
