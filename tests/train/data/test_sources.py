"""Every format of training data, from real files and from a real S3 server: what comes back, and what breaks."""

import gzip
import io
import itertools
import json
import pickle
import tarfile
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.banks import make_bank
from tests.helpers.s3 import CREDENTIALS, s3_server
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import DataConfig, ToffeeNetTraining
from toffee_pipeline.errors import BrokenFile, DataError, ImageError, StorageError
from toffee_pipeline.images import MAX_BYTES, decode, decode_depth, decode_mask, encode, encode_png
from toffee_pipeline.nano.world import BACKGROUNDS, View, make_toy, render
from toffee_pipeline.nano.world_samples import NUM_HELD_OUT, draw_views
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.data.task_examples import refiner_examples, toffeenet_examples

pytestmark = pytest.mark.slow

PHOTOS = [render(make_toy("teapot", 5), View(0.5 * n, 0.2), BACKGROUNDS[n]).rgb for n in range(5)]
PNGS = [encode_png(photo) for photo in PHOTOS]


def source(format, path=None, **settings):
    where = {} if path is None else {"path": str(path)}
    (config,) = DataConfig(sources=[{"format": format, **where, **settings}]).sources
    return make_source(config)


def records(source):
    return [record for file in source.files() for record in source.read(file)]


def seen(source):
    """All that a source gives, its images decoded."""
    return [
        (record.key, record.text, record.class_name, record.kind, {n: i().tobytes() for n, i in record.images.items()})
        for record in records(source)
    ]


def tar(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def begun(count):
    """A tar of so many pictures, without its end."""
    blocks = sum(1 + -(-len(png) // 512) for png in PNGS[:count])
    return tar(*((f"{n}.png", png) for n, png in enumerate(PNGS[:count])))[: 512 * blocks]


def read_until_broken(source, file="0.tar"):
    """The records of a file, and the line that it ends with (None: it is sound)."""
    found = []
    try:
        for record in source.read(file):
            found.append(record)
    except BrokenFile as error:
        return found, str(error)
    return found, None


@pytest.fixture
def one_tar(tmp_path):
    def make(data):
        (tmp_path / "0.tar").write_bytes(data)
        return source("webdataset", tmp_path)

    return make


@pytest.fixture(scope="module")
def to_s3():
    """Copies a folder to S3: `to_s3(folder)` gives the path and endpoint_url of the copy."""
    with s3_server() as url, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        boto3.session.Session().client("s3", endpoint_url=url).create_bucket(Bucket="data")

        def copy(folder):
            uri = f"s3://data/{folder.parent.name}/{folder.name}"
            local, remote = open_storage(str(folder)), open_storage(uri, url)
            for key, _ in local.list():
                remote.put(key, local.get(key))
            return {"path": uri, "endpoint_url": url}

        yield copy


@pytest.fixture
def run_dir(pairs):
    return pairs


class TestWebDataset:
    def test_captions_and_pictures_come_back(self, tmp_path):
        metadata = {"caption": " from json\n", "status": "success", "key": "2"}
        first = tar(
            ("000000001.png", PNGS[0]),
            ("000000001.txt", "a teapot, thé\n".encode()),
            ("000000001.json", b"not read where there is a .txt"),
            ("000000002.json", json.dumps(metadata).encode()),
            ("000000002.PNG", PNGS[1]),
            ("deep/x.png", PNGS[2]),
            ("deep/x.json", b'{"caption": null, "text": "from text"}'),
            ("deep/x.seg.png", b"another extension"),
        )
        second = tar(("y.webp", encode(PHOTOS[3], "webp")), ("z.jpeg", encode(PHOTOS[4], "jpeg")))
        (tmp_path / "b.tar").write_bytes(second)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "0.tar").write_bytes(first)
        (tmp_path / "a" / "0_stats.json").write_text("{}")
        shards = source("webdataset", tmp_path)
        assert shards.files() == ["a/0.tar", "b.tar"]
        found = records(shards)
        assert [(record.key, record.text) for record in found] == [
            ("000000001", "a teapot, thé"),
            ("000000002", "from json"),
            ("deep/x", "from text"),
            ("y", ""),
            ("z", ""),
        ]
        pictures = [record.images["image"]() for record in found]
        for picture, photo in zip(pictures[:3], PHOTOS[:3], strict=True):
            np.testing.assert_array_equal(picture, photo)
        for picture, photo in zip(pictures[3:], PHOTOS[3:], strict=True):
            assert np.abs(picture.astype(int) - photo).mean() < 8
        assert all(record.mask is None and record.depth is None for record in found)

    def test_files_of_a_sample_need_not_lie_together(self, one_tar):
        names = ["a", "b", "c"]
        pictures = [(f"{name}.png", png) for name, png in zip(names, PNGS, strict=False)]
        found = records(one_tar(tar(*pictures, *((f"{name}.txt", name.encode()) for name in names))))
        assert [(record.key, record.text) for record in found] == [("a", "a"), ("b", "b"), ("c", "c")]

    def test_a_broken_sample_breaks_alone(self, one_tar):
        bad = {
            "cut": [("png", PNGS[1][:500])],
            "none": [("txt", b"a caption without image")],
            "odd": [("png", PNGS[1]), ("json", b'{"caption": 5}')],
            "list": [("png", PNGS[1]), ("json", b"[]")],
            "nested": [("png", PNGS[1]), ("json", b"[" * 100_000)],
            "latin": [("png", PNGS[1]), ("txt", "thé".encode("latin-1"))],
            "long": [("png", PNGS[1]), ("txt", b"x" * 2_000_000)],
            "large": [("png", bytes(MAX_BYTES + 2))],
        }
        members = [(f"{key}.{extension}", data) for key, files in bad.items() for extension, data in files]
        failed = ("failed.json", b'{"status": "failed_to_download", "caption": "x"}')
        found = records(one_tar(tar(("good.png", PNGS[0]), *members, failed, ("last.png", PNGS[4]))))
        assert [record.key for record in found] == ["good", *bad, "last"]
        messages = {}
        for record in found[1:-1]:
            with pytest.raises(ImageError, match=f"^0.tar: {record.key}: ") as caught:
                record.images["image"]()
            messages[record.key] = str(caught.value)
        assert not any("\n" in message for message in messages.values())
        assert "truncated" in messages["cut"]
        assert "no image; allowed are jpg, jpeg, png, webp" in messages["none"]
        assert "caption is int" in messages["odd"]
        assert "too many" in messages["large"] and "too many" in messages["long"]
        np.testing.assert_array_equal(found[0].images["image"](), PHOTOS[0])
        np.testing.assert_array_equal(found[-1].images["image"](), PHOTOS[4])

    def test_wherever_a_tar_is_cut_the_samples_before_it_are_whole(self, one_tar):
        whole = tar(*((f"{n}.{ext}", data) for n in range(4) for ext, data in (("png", PNGS[n]), ("txt", b"%d" % n))))
        end = len(whole.rstrip(b"\0"))
        counts = []
        for cut in (*range(0, end, 512), *range(100, end, 1999)):
            found, problem = read_until_broken(one_tar(whole[:cut]))
            assert problem and "0.tar: not a sound tar: " in problem and "\n" not in problem
            assert [(record.key, record.text) for record in found] == [(str(n), str(n)) for n in range(len(found))]
            for photo, record in zip(PHOTOS, found, strict=False):
                np.testing.assert_array_equal(record.images["image"](), photo)
            counts.append((cut, len(found)))
        assert [number for _, number in sorted(counts)] == sorted(number for _, number in counts)
        assert {number for _, number in counts} == {0, 1, 2, 3}
        assert read_until_broken(one_tar(whole))[1] is None

    def test_a_damaged_tar_gives_the_samples_before_the_damage(self, one_tar):
        whole = tar(*((f"{n}.png", png) for n, png in enumerate(PNGS)))
        header = whole.index(b"3.png")
        damaged = [
            whole[:header] + b"\xff" * 64 + whole[header + 64 :],
            whole[:header] + bytes(4096) + whole[header + 4096 :],
            whole[:header] + whole[header:].replace(b"3.png", b"3.pnX", 1),
        ]
        for data in damaged:  # the third sample may go on in what is damaged
            found, problem = read_until_broken(one_tar(data))
            assert [record.key for record in found] == ["0", "1"] and problem
        for data in (b"", b"no tar" * 1000, gzip.compress(whole)):
            found, problem = read_until_broken(one_tar(data))
            assert found == [] and "0.tar: " in problem
        assert read_until_broken(one_tar(tar())) == ([], None)

    def test_headers_made_to_confuse_end_the_tar(self, one_tar):
        whole = tar(("0.png", PNGS[0]), ("1.png", PNGS[1]))
        start = whole.index(b"1.png")
        header = bytearray(whole[start : start + 512])
        header[124:136] = b"\xff" + (2**88 - 512).to_bytes(11, "big")  # -512: the next header is this one
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        assert "damaged header" in read_until_broken(one_tar(whole[:start] + header + whole[start + 512 :]))[1]
        long_name = tar(("x" * 300 + ".png", b""))[:1536]  # a header whose name comes in further headers
        found, problem = read_until_broken(one_tar(whole[:start] + long_name[:1024] * 2000))
        assert found == [] and "not a sound tar" in problem

    @pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
    def test_a_name_of_300_mib_ends_the_tar_unread(self, one_tar, kind, tmp_path):
        header = tarfile.TarInfo("name")
        header.type, header.size = kind, 300 * 2**20
        source = one_tar(begun(2) + header.tobuf())
        with (tmp_path / "0.tar").open("r+b") as file:
            file.truncate(301 * 2**20)
        found, problem = read_until_broken(source)
        assert [record.key for record in found] == ["0"]  # the one before the damage may be cut off
        assert "a header of more than 1048576 bytes" in problem

    def test_a_member_of_20_gib_breaks_alone_and_is_not_read(self, one_tar, tmp_path):
        header = tarfile.TarInfo("1.png")
        header.size = 20 * 2**30
        source = one_tar(begun(1) + header.tobuf())
        with (tmp_path / "0.tar").open("r+b") as file:
            file.truncate(file.seek(0, io.SEEK_END) + 20 * 2**30 + 1024)
        good, large = records(source)
        assert np.array_equal(good.images["image"](), PHOTOS[0])
        with pytest.raises(ImageError, match="0.tar: 1: .*bytes"):
            large.images["image"]()

    def test_random_damage_raises_nothing_else(self, one_tar):
        rng = np.random.default_rng(0)
        long = ("x" * 300 + ".png", PNGS[1])  # has headers of its own
        whole = tar(("0.png", PNGS[0]), long, ("2.png", PNGS[2]), ("2.json", b'{"caption": "x"}'))
        heads = [number for number in range(0, len(whole), 512) if whole[number + 257 : number + 262] == b"ustar"]
        for _ in range(150):
            data = bytearray(whole)
            for start in rng.choice(heads, 2):
                data[start + rng.integers(512)] = rng.integers(256)
                header = data[start : start + 512]
                header[148:156] = b" " * 8
                data[start + 148 : start + 156] = b"%06o\0 " % sum(header)  # else no damage comes past the checksum
            for record in read_until_broken(one_tar(bytes(data)))[0]:
                try:
                    record.images["image"]()
                except ImageError as error:
                    assert "\n" not in str(error)

    def test_names_are_only_names(self, tmp_path, one_tar):
        names = ["../../up.png", "/etc/passwd.png", "new\nline.png", "._hidden.png", ".png", "noextension"]
        buffer = io.BytesIO(tar(*((name, PNGS[0]) for name in names)))
        with tarfile.open(fileobj=buffer, mode="a") as file:
            for type, name in (
                (tarfile.SYMTYPE, "link.png"),
                (tarfile.DIRTYPE, "dir.png"),
                (tarfile.FIFOTYPE, "f.png"),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = type, "/etc/passwd"
                file.addfile(info)
        found = records(one_tar(buffer.getvalue()))
        assert [record.key for record in found] == ["../../up", "/etc/passwd", r"'new\nline'"]
        assert [path.name for path in tmp_path.iterdir()] == ["0.tar"]
        np.testing.assert_array_equal(found[2].images["image"](), PHOTOS[0])

    @pytest.mark.parametrize("folder", ["", "nowhere"])
    def test_no_tar_is_one_line(self, tmp_path, folder):
        (tmp_path / "x.tar.gz").write_bytes(b"")
        with pytest.raises(DataError, match=r"no \*.tar there; format=webdataset is a folder of tar shards$"):
            source("webdataset", tmp_path / folder).files()


class TestRun:
    def test_pairs_come_back_as_they_were_written(self, run_dir):
        rows = [row for path in data_files(open_storage(str(run_dir))) for row in pq.read_table(path).to_pylist()]
        found = records(source("run", run_dir))
        assert len(found) == 8 and {record.kind for record in found} == {"edit", "generation"}
        for record, row in zip(found, rows, strict=True):
            assert (record.key, record.text) == (row["pair_id"], row["prompt"])
            assert (record.class_name, record.kind) == (row["class_name"], row["kind"])
            for name in ("input", "target"):
                np.testing.assert_array_equal(record.images[name](), decode(row[f"{name}_image"]["bytes"]))
            np.testing.assert_array_equal(record.depth(), decode_depth(row["depth"]["bytes"]))

    def test_masks_belong_to_edit_pairs(self, run_dir):
        rows = [row for path in data_files(open_storage(str(run_dir))) for row in pq.read_table(path).to_pylist()]
        stored = {row["pair_id"]: decode_mask(row["mask"]["bytes"]) for row in rows}
        whole = {row["pair_id"] for row in rows if row["category"] == "style"}
        for record in records(source("run", run_dir)):
            if record.kind == "generation":
                assert record.mask is None and "masked" not in record.images
                continue
            mask, masked, given = record.mask(), record.images["masked"](), record.images["input"]()
            np.testing.assert_array_equal(mask, stored[record.key])
            assert mask.dtype == bool and mask.any() and mask.all() == (record.key in whole)
            assert not masked[mask].any()
            np.testing.assert_array_equal(masked[~mask], given[~mask])
            np.testing.assert_array_equal(given[~mask], record.images["target"]()[~mask])

    def test_each_subject_counts_once(self, run_dir):
        pairs = source("run", run_dir)
        assert len(pairs.files()) == 2
        for file in pairs.files():
            assert ["subject" in record.images for record in pairs.read(file)] == [True, False, False, False]
        rows = pq.read_table(data_files(open_storage(str(run_dir)))[0]).to_pylist()
        first = next(pairs.read(pairs.files()[0]))
        np.testing.assert_array_equal(first.images["subject"](), decode(rows[0]["subject_image"]["bytes"]))

    def rewritten(self, run_dir, tmp_path, change):
        """A copy of a shard of the run as one file, changed."""
        folder = tmp_path / "copy"
        storage, copy = open_storage(str(run_dir)), open_storage(str(folder))
        for key in ("run.json", *(key for key, _ in storage.list("_manifests/"))):
            copy.put(key, storage.get(key))
        keys = source("run", folder).files()[0].splitlines()
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(pq.read_table(storage.path_for(key)) for key in keys), buffer)
        copy.put(keys[0], change(buffer.getvalue()))
        return source("run", folder).read(keys[0])

    def test_a_broken_image_breaks_alone(self, run_dir, tmp_path):
        def change(data):
            table = pq.read_table(pa.BufferReader(data))
            rows = table.to_pylist()
            rows[0]["target_image"]["bytes"] = b"no image"
            rows[1]["input_image"] = None
            rows[2]["kind"], rows[2]["mask"]["bytes"] = "edit", rows[2]["target_image"]["bytes"]
            rows[3]["depth"] = None
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), buffer)
            return buffer.getvalue()

        found = list(self.rewritten(run_dir, tmp_path, change))
        broken = [(0, "target"), (1, "input"), (2, "masked")]
        for number, record in enumerate(found):
            for name, image in record.images.items():
                if (number, name) in broken or (number, name) == (1, "masked"):
                    with pytest.raises(ImageError, match=rf"^data/\S+\.parquet: {record.key} "):
                        image()
                else:
                    assert image().shape == (64, 64, 3)
        assert found[3].depth is None

    def test_what_is_no_shard(self, run_dir, tmp_path):
        for change in (
            lambda _: b"no parquet",
            lambda data: data[: len(data) // 2],
            lambda data: data[:-30] + data[:30],
        ):
            with pytest.raises(BrokenFile, match=r"data/generation-000000-.*\.parquet: not a sound Parquet file"):
                list(self.rewritten(run_dir, tmp_path, change))

        def without_columns(data):
            buffer = io.BytesIO()
            pq.write_table(pq.read_table(pa.BufferReader(data)).drop_columns(["mask", "prompt"]), buffer)
            return buffer.getvalue()

        with pytest.raises(DataError, match="missing or of another type than in a run: mask, prompt$"):
            list(self.rewritten(run_dir, tmp_path, without_columns))

    def test_no_pairs_is_one_line(self, tmp_path):
        with pytest.raises(
            DataError, match=r"nowhere: no run.json, data/\*.parquet or \*.parquet there; format=run is"
        ):
            source("run", tmp_path / "nowhere").files()
        config = load_config("nano")
        claim(open_storage(str(tmp_path / "run")), GenerationRun.of(config, Plan(config), {}))
        with pytest.raises(DataError, match="no committed shard with accepted rows; format=run is the output of"):
            source("run", tmp_path / "run").files()


def test_a_bank_gives_each_of_its_subjects_once_and_no_pairs(tmp_path):
    make_bank(str(tmp_path / "bank"))
    rows = [row for path in data_files(open_storage(str(tmp_path / "bank"))) for row in pq.read_table(path).to_pylist()]
    found = records(source("run", tmp_path / "bank"))
    assert len(found) == len(rows) == 6
    rng = np.random.default_rng(0)
    for record, row in zip(found, rows, strict=True):
        assert (record.key, record.text, record.class_name) == (row["subject_id"], row["prompt"], row["class_name"])
        assert list(record.images) == ["subject"] and record.mask is None
        np.testing.assert_array_equal(record.images["subject"](), decode(row["image"]["bytes"]))
        np.testing.assert_array_equal(record.depth(), decode_depth(row["depth"]["bytes"]))
        assert [example.images for example in refiner_examples(record, rng)] == [{"target": "subject"}]
    toffeenet = load_config("nano", ("data.sources=[{format: run, path: bank}]",), ToffeeNetTraining)
    with pytest.raises(DataError, match="s00000001 is a subject of a bank; ToffeeNet learns from pairs"):
        list(toffeenet_examples(toffeenet, found[0], rng))


@pytest.fixture
def objects(tmp_path):
    folder = tmp_path / "mvimgnet"
    for name, views in {"7/a": "012", "7/a-b": "01", "12/c": "3", "12/d": "43"}.items():
        (folder / name / "images").mkdir(parents=True)
        (folder / name / "sparse").mkdir()
        (folder / name / "sparse/0.png").write_bytes(PNGS[0])
        (folder / name / "images/._9.jpg").write_bytes(b"left by a Mac")
        for view in views:
            (folder / name / f"images/00{view}.png").write_bytes(PNGS[int(view)])
    (folder / "12/d/images/004.JPG").write_bytes(PNGS[4][:300])
    (folder / "images").mkdir()
    (folder / "images/1.jpg").write_bytes(b"of no object")
    return folder


class TestMVImgNet:
    def test_objects_and_their_views(self, objects):
        found = records(source("mvimgnet", objects))
        assert sorted(record.key for record in found) == ["12/d", "7/a", "7/a-b"]  # 12/c has one view only
        by_key = {record.key: record for record in found}
        assert (by_key["7/a"].class_name, by_key["7/a"].text) == ("7", "")
        assert list(by_key["7/a"].images) == ["000.png", "001.png", "002.png"]
        for number, image in enumerate(by_key["7/a"].images.values()):
            np.testing.assert_array_equal(image(), PHOTOS[number])

    def test_a_broken_view_breaks_alone(self, objects):
        (record,) = source("mvimgnet", objects).read("12/d")
        assert list(record.images) == ["003.png", "004.JPG", "004.png"]
        with pytest.raises(ImageError, match="^12/d/images/004.JPG: truncated"):
            record.images["004.JPG"]()
        np.testing.assert_array_equal(record.images["004.png"](), PHOTOS[4])

    def test_an_image_that_is_too_large(self, objects):
        with (objects / "7/a/images/000.png").open("wb") as file:
            file.truncate(MAX_BYTES + 1)
        (record,) = source("mvimgnet", objects).read("7/a")
        with pytest.raises(ImageError, match=f"^7/a/images/000.png: {MAX_BYTES + 1} bytes are too many"):
            record.images["000.png"]()

    def test_an_object_that_is_gone_and_a_folder_without_any(self, objects, tmp_path):
        (objects / "7/a-b/images/000.png").unlink()
        with pytest.raises(BrokenFile, match="7/a-b: 1 views; an object needs 2$"):
            list(source("mvimgnet", objects).read("7/a-b"))
        with pytest.raises(
            DataError, match=r"no object with 2 views; .* category/object/images/\*.jpg \(or png, webp\)$"
        ):
            source("mvimgnet", tmp_path / "nowhere").files()

    def test_webp_is_a_view_and_a_view_without_its_background_is_none(self, objects):
        (objects / "12/c/images/001.webp").write_bytes(encode(PHOTOS[1], "webp"))
        for name in ("003_bg_removed.png", "001_bg_removed.PNG"):
            (objects / "12/c/images" / name).write_bytes(PNGS[2])
        (objects / "7/e/images").mkdir(parents=True)
        (objects / "7/e/images/0.png").write_bytes(PNGS[0])
        (objects / "7/e/images/0_bg_removed.png").write_bytes(PNGS[0])
        views = source("mvimgnet", objects)
        assert "7/e" not in views.files()
        (record,) = views.read("12/c")
        assert list(record.images) == ["001.webp", "003.png"]
        assert np.abs(record.images["001.webp"]().astype(int) - PHOTOS[1]).mean() < 8

    def test_a_view_that_is_gone_breaks_alone(self, objects):
        (record,) = source("mvimgnet", objects).read("7/a")
        (objects / "7/a/images/001.png").unlink()
        with pytest.raises(ImageError, match="^7/a/images/001.png: no such file$"):
            record.images["001.png"]()
        np.testing.assert_array_equal(record.images["002.png"](), PHOTOS[2])


class TestWorld:
    def test_views_are_those_that_the_nano_networks_learned_from(self):
        captions = [[view.caption for view in itertools.islice(draw_views(index), 3)] for index in (0, 2)]
        assert captions == [
            [
                "a green and yellow striped mug without a handle",
                "a watercolor painting of a mug in outer space",
                "a photo of a mug without a handle on a wooden floor",
            ],
            ["a lamp in outer space", "a lamp", "a cartoon of a lamp"],
        ]
        for record, index in zip(source("world").read("00000-00002"), range(3), strict=True):
            assert (record.key, record.text) == (f"{index:05d}", "")
            views = list(itertools.islice(draw_views(index), 4))
            assert list(record.images) == ["0", "1", "2", "3"]
            assert record.class_name == views[0].subject.class_name
            for image, view in zip(record.images.values(), views, strict=True):
                np.testing.assert_array_equal(image(), view.rendering.rgb)

    def test_more_views_leave_the_first_as_they_are(self):
        few, many = (next(source("world", views_per_subject=views).read("00003-00003")).images for views in (2, 9))
        assert len(few) == 2 and len(many) == 9
        for name, image in few.items():
            np.testing.assert_array_equal(image(), many[name]())
        assert len({image().tobytes() for image in many.values()}) == 9

    def test_who_writes_into_a_view_spoils_no_other_reader(self):
        image = next(source("world").read("00000-00000")).images["0"]
        before = image().copy()
        image()[:] = 0
        np.testing.assert_array_equal(image(), before)

    def test_only_photos_leaves_out_styles_additions_and_removals(self) -> None:
        record = next(source("world", only_photos=True).read("00004-00004"))
        drawn = list(itertools.islice(draw_views(4), 60))
        plain = [v for v in drawn if v.style == "photo" and v.addition is None and v.removed is None][:4]
        assert len(plain) == 4 and plain != drawn[:4]
        for image, view in zip(record.images.values(), plain, strict=True):
            assert np.array_equal(image(), view.rendering.rgb)

    def test_held_out_subjects_are_never_read(self):
        assert source("world", num_subjects=NUM_HELD_OUT + 18).files() == ["00000-00007", "00008-00015", "00016-00017"]
        assert source("world").files()[-1] == f"11792-{12_000 - NUM_HELD_OUT - 1}"
        keys = [record.key for record in records(source("world", num_subjects=NUM_HELD_OUT + 18))]
        assert keys == [f"{index:05d}" for index in range(18)]
        with pytest.raises(DataError, match="num_subjects=200: the last 200 are held out; allowed is 201 or more"):
            source("world", num_subjects=NUM_HELD_OUT).files()


def test_s3_gives_the_same_and_so_does_a_pickled_source(tmp_path, run_dir, objects, to_s3):
    tars = tmp_path / "tars"
    tars.mkdir()
    for number, png in enumerate(PNGS):
        (tars / f"{number}.tar").write_bytes(tar((f"{number}.png", png), (f"{number}.txt", b"a teapot")))
    (objects / "12/d/images/004.JPG").unlink()
    alone, photos = tmp_path / "alone", tmp_path / "photos"
    for folder in (alone, photos):
        folder.mkdir()
    for number, file in enumerate(data_files(open_storage(str(run_dir)))):
        (alone / f"{number}.parquet").write_bytes(Path(file).read_bytes())
    for number, png in enumerate(PNGS):
        (photos / f"{number}.png").write_bytes(png)
    (photos / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "a teapot"}\n' * 3)
    for format, folder in (
        ("webdataset", tars),
        ("run", run_dir),
        ("run", alone),
        ("mvimgnet", objects),
        ("folder", photos),
        ("imagefolder", photos),
    ):
        local = source(format, folder)
        expected = seen(local)
        assert seen(local) == expected and len(expected) > 2
        remote = source(format, **to_s3(folder))
        assert seen(remote) == expected
        pickled = pickle.dumps(remote)
        assert len(pickled) < 500
        assert pickle.loads(pickled).files() == local.files()
    copy = to_s3(alone)
    single = source("run", **copy | {"path": f"{copy['path']}/1.parquet"})
    assert seen(single) == seen(source("run", alone / "1.parquet"))


def test_a_bucket_that_is_not_there_is_the_storages_error(to_s3, tmp_path):
    endpoint_url = to_s3(tmp_path)["endpoint_url"]
    for format in ("webdataset", "run", "mvimgnet", "folder", "imagefolder"):
        with pytest.raises(StorageError, match="s3://no-such-bucket.*NoSuchBucket"):
            source(format, "s3://no-such-bucket/x", endpoint_url=endpoint_url).files()
