"""What is read of other people's pairs, in each format, with odd ones among them: all are listed, in order, by name."""

import csv
import json
import os
import tarfile
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.pair_sets import WRITERS, add, noise, refinement, texts, write_parquet, write_tar
from tests.helpers.repeated import in_every_row, packed
from toffee_pipeline.errors import DamagedFile, ImageError, PlanError
from toffee_pipeline.images import encode_png
from toffee_pipeline.pairsets.pairset import PairSet, files_of, reader_of, write_list
from toffee_pipeline.storage import open_storage

LOSSLESS = {"imagefolder", "parquet"}


def listed(config):
    return list(reader_of(config.source).pairs())


def problems(config):
    return {pair.name: pair.problem for pair in listed(config) if pair.problem is not None}


def images(config, pairs):
    return [load() for load in reader_of(config.source).images([pair.place for pair in pairs])]


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_gives_all_pairs_in_their_order_with_their_texts_and_images(form, tmp_path):
    WRITERS[form](tmp_path, 6)
    config = refinement(form, tmp_path)
    pairs = listed(config)
    assert len({pair.name for pair in pairs}) == 6 and not any(pair.problem for pair in pairs)
    for number, (pair, (given, edited)) in enumerate(zip(pairs, images(config, pairs), strict=True)):
        assert pair.instruction == texts(number // 2 * 2 if form == "instructpix2pix" else number)["instruction"]
        for image, seed in ((given, number), (edited, 1000 + number)):
            difference = np.abs(image.astype(int) - noise(seed)).mean()
            assert difference == 0 if form in LOSSLESS else difference < 15
    some = images(config, [pairs[4], pairs[5]])
    assert [np.array_equal(a, b) for a, b in zip(some[0], images(config, pairs)[4], strict=True)] == [True, True]


def test_columns_give_class_category_and_words_and_the_rest_is_kept(tmp_path):
    write_parquet(tmp_path, 2)
    swap, env = listed(refinement("parquet", tmp_path, more=", category: texture"))
    assert (swap.prompt, swap.instruction, swap.input_prompt) == ("make it red 0", "make it red 0", "")
    assert (swap.class_name, swap.category, env.category) == ("cup", "texture", "background")
    assert json.loads(env.source) == {
        "task": "env",
        "edited_prompt_list": ["make it red 1", "longer"],
        "o_score": 1.0,
        "about": {"item": "cup"},
    }


def test_one_picture_may_hold_both(tmp_path):
    """As of Subjects200K: each half has a border."""
    halves = [np.pad(noise(seed), ((8, 8), (8, 8), (0, 0)), constant_values=255) for seed in (0, 1)]
    row = {"image": {"bytes": encode_png(np.concatenate(halves, 1))}, "description": {"description_1": "a cup"}}
    tiny = {**row, "image": {"bytes": encode_png(noise(0, 8, 8))}}
    pq.write_table(pa.Table.from_pylist([row, tiny]), tmp_path / "a.parquet")
    columns = "input: image, edited: image, padding_px: 8, prompt: description.description_1, "
    others = "input_prompt: null, instruction: null, class_name: null, category: null"
    config = refinement(
        "parquet", tmp_path, f"source={{format: parquet, path: {tmp_path}, columns: {{{columns}{others}}}}}"
    )
    pairs = listed(config)
    good, bad = reader_of(config.source).images([pair.place for pair in pairs])
    assert [np.array_equal(half, noise(seed)) for half, seed in zip(good(), (0, 1), strict=True)] == [True, True]
    with pytest.raises(ImageError, match="8 x 8 px: not two pictures"):
        bad()


def test_an_instructpix2pix_folder_with_holes(tmp_path):
    WRITERS["instructpix2pix"](tmp_path, 6)
    (tmp_path / "0000000/1_1.jpg").unlink()
    (tmp_path / "0000002/prompt.json").write_text("{")
    (tmp_path / "0000004/prompt.json").unlink()
    seeds = json.loads((tmp_path / "seeds.json").read_text())
    (tmp_path / "seeds.json").write_text(json.dumps([*seeds, ["../..", ["0"]]]))
    config = refinement("instructpix2pix", tmp_path)
    pairs, found = listed(config), problems(config)
    assert len(pairs) == 7
    assert list(found) == ["0000002/2", "0000002/3", "0000004/4", "0000004/5", "../../0"]
    assert found["0000004/4"] == "no prompt.json" and "prompt.json" in found["0000002/2"]
    (load,) = reader_of(config.source).images([pairs[1].place])
    with pytest.raises(ImageError, match=r"0000000/1_1\.jpg: no such file"):
        load()


def test_metadata_with_broken_lines(tmp_path):
    WRITERS["imagefolder"](tmp_path, 2)
    path = tmp_path / "metadata.jsonl"
    odd = ["[1]", '{"file_name": "a.png"}', '{"file_name": "../a.png", "input_file_name": "b.png"}', "{", "\xff"]
    words = json.dumps({"file_name": "a.png", "input_file_name": "b.png", "prompt": "", "instruction": 3})
    path.write_bytes(path.read_bytes() + "\n".join(["", *odd, words]).encode("latin-1"))
    found = problems(refinement("imagefolder", tmp_path))
    assert list(found) == [f"metadata.jsonl, line {number}" for number in range(3, 9)]
    said = list(found.values())
    assert said[0] == "not a JSON object" and said[1] == "no input_file_name" and "no path below" in said[2]
    assert "instruction is no text, but of type int" in said[5]


def test_a_line_of_metadata_that_is_too_long_is_one_broken_pair(tmp_path):
    WRITERS["imagefolder"](tmp_path, 2)
    path = tmp_path / "metadata.jsonl"
    before = path.read_bytes()
    path.write_bytes(before)
    os.truncate(path, len(before) + (1 << 30))
    with path.open("ab") as file:
        file.write(b"\n" + before)
    tracemalloc.start()
    try:
        found = problems(refinement("imagefolder", tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert list(found.values()) == ["longer than 1,048,576 bytes"]


def test_metadata_as_csv(tmp_path):
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["input_file_name", "file_name", "prompt"])
        table.writerow(["a.png", "b.png", "a cup,\nred"])
        table.writerow(["a.png", "b.png", "a cup", "too much"])
    columns = ", columns: {input_prompt: null, instruction: null, class_name: null, category: null}"
    first, second = listed(refinement("imagefolder", tmp_path, more=columns))
    assert first.prompt == "a cup, red" and first.class_name == "object"
    assert "more fields than columns" in second.problem


def test_damaged_parquet(tmp_path):
    write_parquet(tmp_path, 8)
    (tmp_path / "train-00001.parquet").write_bytes(b"PAR1 and no more")
    path = tmp_path / "train-00000.parquet"
    data, chunk = bytearray(path.read_bytes()), pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 64] = bytes(64)
    path.write_bytes(bytes(data))
    config = refinement("parquet", tmp_path)
    pairs = listed(config)
    assert [pair.problem is None for pair in pairs] == [True] * 8 + [False]
    assert pairs[8].name == "train-00001.parquet" and "not a sound Parquet file" in pairs[8].problem
    loads = reader_of(config.source).images([pair.place for pair in pairs[2:6]])
    assert len(loads[0]()) == len(loads[1]()) == 2
    for load in loads[2:]:
        with pytest.raises(ImageError, match="train-00000.parquet, row group 1, row"):
            load()


def test_a_null_image_is_said_by_name(tmp_path):
    write_parquet(tmp_path, 2)
    table = pq.read_table(tmp_path / "train-00000.parquet").to_pylist()
    table[1]["edited_img"] = None
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "train-00000.parquet")
    config = refinement("parquet", tmp_path)
    _, load = reader_of(config.source).images([pair.place for pair in listed(config)])
    with pytest.raises(ImageError, match="row 1: edited_img: no image"):
        load()


def test_a_cut_tar_and_a_sample_without_its_partner(tmp_path):
    write_tar(tmp_path, 4)
    with tarfile.open(tmp_path / "00001.tar", "w") as tar:
        add(tar, "a.input_image.png", encode_png(noise(0)))
        add(tar, "a.json", b"{}")
        add(tar, "b.json", b"[")
    data = (tmp_path / "00000.tar").read_bytes()
    (tmp_path / "00000.tar").write_bytes(data[: 3 * len(data) // 4])
    pairs = listed(refinement("webdataset", tmp_path))
    names = [pair.name for pair in pairs]
    assert names[:2] == ["00000.tar: 00000", "00000.tar: 00001"] and names[-3:] == [
        "00000.tar",
        "00001.tar: a",
        "00001.tar: b",
    ]
    assert "not a sound tar" in pairs[-3].problem
    assert pairs[-2].problem == "no file target_image; there are input_image.png, json"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("instructpix2pix", "seeds.json: no such file"),
        ("imagefolder", "none of metadata.csv"),
        ("parquet", r"no \*.parquet there"),
        ("webdataset", r"no \*.tar there"),
    ],
)
def test_a_folder_of_something_else_is_said_in_a_line(form, message, tmp_path):
    with pytest.raises(PlanError, match=message):
        listed(refinement(form, tmp_path))


def test_a_column_that_is_not_there_is_said_with_those_that_are(tmp_path):
    write_parquet(tmp_path / "a", 1)
    WRITERS["imagefolder"](tmp_path / "b", 1)
    with pytest.raises(
        PlanError, match=r"source.columns.edited: no column 'target_image' .* there are src_img, edited_img"
    ):
        listed(
            refinement(
                "parquet",
                tmp_path / "a",
                f"source={{format: parquet, path: {tmp_path / 'a'}, columns: {{input: src_img}}}}",
            )
        )
    with pytest.raises(PlanError, match=r"source.columns.prompt: no column 'words' in metadata.jsonl"):
        listed(refinement("imagefolder", tmp_path / "b", more=", columns: {prompt: words}"))


def test_a_list_is_read_by_number_and_knows_its_files(tmp_path):
    write_tar(tmp_path / "set", 5)
    config = refinement("webdataset", tmp_path / "set")
    files = files_of(config.source)
    write_list(config.source, files, tmp_path / "list")
    pairs = PairSet(open_storage(str(tmp_path)), "list")
    assert len(pairs) == 5 and pairs.files == files and pairs.pairs(range(1, 4)) == listed(config)[1:4]
    write_tar(tmp_path / "set", 6)
    write_list(config.source, files_of(config.source), tmp_path / "other")
    other = PairSet(open_storage(str(tmp_path)), "other")
    assert other.digest != pairs.digest and "1 files" in other.change(pairs) and pairs.change(pairs) is None


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "place", ["null", "", "{}", "[1, 2, 3]", '["a"]', '["a", -1, 0]', '["a", [[0, 1], [0]]]', "[" * 9999]
)
def test_a_place_that_is_none_is_one_line(form, place, tmp_path):
    """The list of a run may be anybody's."""
    WRITERS[form](tmp_path, 2)
    with pytest.raises(DamagedFile, match="the run's list of pairs: damaged: .* is no place of a pair$"):
        reader_of(refinement(form, tmp_path).source).images([place])


def test_a_row_group_in_any_order_and_one_that_is_not_there(tmp_path):
    WRITERS["parquet"](tmp_path, 6)
    config = refinement("parquet", tmp_path)
    pairs = listed(config)
    turned = images(config, pairs[::-1])
    assert [np.array_equal(a[0], b[0]) for a, b in zip(turned[::-1], images(config, pairs), strict=True)] == [True] * 6
    key, group, row = json.loads(pairs[0].place)
    for place in ([key, 10**12, row], [key, group, 10**12]):
        (load,) = reader_of(config.source).images([json.dumps(place)])
        with pytest.raises(ImageError):
            load()


def test_a_long_text_in_every_row_costs_its_row_group_and_no_memory(tmp_path):
    """1 GiB in some kB."""
    (tmp_path / "set").mkdir()
    write_parquet(tmp_path / "set", 2)
    (path,) = (tmp_path / "set").glob("*.parquet")
    rows = pq.read_table(path)
    many = rows.take(pa.array(np.zeros(1024, np.int64))).append_column("long", in_every_row("x" * (1 << 20), 1024))
    path.write_bytes(packed(many))
    before = pa.default_memory_pool().max_memory()
    found = listed(refinement("parquet", tmp_path / "set"))
    assert len(found) == 1024
    assert "more than 16384 bytes for a row of texts" in found[-1].problem
    assert pa.default_memory_pool().max_memory() <= max(before, 512 << 20)


def test_a_large_prompt_file_costs_its_own_pairs(tmp_path):
    WRITERS["instructpix2pix"](tmp_path, 4)
    path = min(tmp_path.rglob("prompt.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "more": "x" * 2**20}))
    found = problems(refinement("instructpix2pix", tmp_path))
    assert len(found) == 2 and all("allowed are 1048576" in problem for problem in found.values())
