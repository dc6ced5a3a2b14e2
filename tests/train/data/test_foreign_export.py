"""Exports that were handed over: broken rows are one line, and a small file takes little memory."""

import io
import json
import subprocess
import tarfile

import pyarrow as pa
import pytest
from lance.file import LanceFileWriter

from toffee_pipeline.config.train import ExportSource
from toffee_pipeline.errors import BrokenFile
from toffee_pipeline.train.data.sources import lance_rows, make_source
from toffee_pipeline.train.data.sources.exported import TEXTS
from toffee_pipeline.train.data.sources.run import IMAGES

pytestmark = pytest.mark.slow

BYTES, TEXT = pa.binary(), pa.string()
ROW = {"pair_id": "p0", "subject_id": "s0", "kind": "generation", "class_name": "cup", "prompt": "a cup"}


def read(folder):
    source = make_source(ExportSource(format="export", path=str(folder)))
    return [record for file in source.files() for record in source.read(file)]


def write_tar(folder, content):
    path = folder / "train" / "generation-00000.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name, data in (("p0.json", content), ("p0.input_image.png", b"x")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_lance(folder, schema, *tables, version=None):
    path = folder / "train.lance" / "data" / "generation-00000.lance"
    path.parent.mkdir(parents=True)
    with LanceFileWriter(str(path), schema, version=version) as writer:
        for table in tables:
            writer.write_batch(pa.table(table, schema=schema))
    return path


def lance_schema(image=BYTES, text=TEXT, **metadata):
    named = {f"lance-encoding:{key}": value for key, value in metadata.items()}
    return pa.schema(
        [pa.field(name, image, metadata=named) for name in IMAGES]
        + [pa.field(name, text, metadata=named) for name in TEXTS]
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "'p0': no .json of a pair: not a JSON object"),
        ('"x"', "'p0': no .json of a pair: not a JSON object"),
        ("null", "'p0': no .json of a pair: not a JSON object"),
        ("{}", "row 1: pair_id: Field required"),
        (json.dumps(ROW | {"pair_id": [1]}), "row 1: pair_id: Input should be a valid string"),
        (json.dumps(ROW | {"pair_id": "\x1b[2J"}), "row 1: pair_id: Value error, Input should be printable"),
        (json.dumps(ROW | {"prompt": 7}), "row 1: prompt: Input should be a valid string"),
        (json.dumps(ROW | {"kind": "other"}), "row 1: kind: Input should be 'generation' or 'edit'"),
    ],
)
def test_a_row_of_a_tar_that_is_none_is_one_line(content, problem, tmp_path):
    write_tar(tmp_path, content.encode())
    with pytest.raises(BrokenFile) as caught:
        read(tmp_path)
    assert str(caught.value).endswith(problem)


def test_images_of_a_tar_are_its_members_and_never_its_json(tmp_path):
    write_tar(tmp_path, json.dumps(ROW | {"target_image": "str", "depth": 3, "mask": {"bytes": 5}}).encode())
    (record,) = read(tmp_path)
    assert (record.key, record.text, record.kind, record.depth) == ("p0", "a cup", "generation", None)
    with pytest.raises(ValueError, match="target: there is none in its row"):
        record.images["target"]()


@pytest.mark.parametrize(
    ("schema", "row", "problem"),
    [
        (lance_schema(image=pa.string()), {}, "00000.lance: column input_image holds string and no bytes"),
        (lance_schema(text=pa.binary()), {}, "row 1: pair_id: Input should be a valid string"),
        (lance_schema(), {"kind": "other"}, "row 1: kind: Input should be 'generation' or 'edit'"),
        (lance_schema().remove(0), {}, "input_image"),
    ],
)
def test_a_row_of_lance_that_is_none_is_one_line(schema, row, problem, tmp_path):
    row = {name: [value] for name, value in ({**dict.fromkeys(IMAGES, "x"), **ROW} | row).items()}
    write_lance(tmp_path, schema, {name: row[name] for name in schema.names})
    with pytest.raises(BrokenFile, match=problem) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_lance_is_one_line(tmp_path):
    write_lance(tmp_path, lance_schema()).write_bytes(b"no Lance")
    with pytest.raises(BrokenFile, match="generation-00000.lance: not a sound Lance file: .*metadata") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_compressed_lance_takes_the_memory_of_a_row(version, tmp_path):
    """4 rows of 60 MiB each in a few kB."""
    schema = lance_schema(pa.large_binary(), compression="zstd")
    row = {**dict.fromkeys(IMAGES, [b"x"]), **{name: [text] for name, text in ROW.items()}}
    path = write_lance(tmp_path, schema, *[row | {"input_image": [bytes(60 << 20)]}] * 4, version=version)
    assert path.stat().st_size < 100_000
    before = pa.default_memory_pool().max_memory()
    assert len(read(tmp_path)) == 4
    assert pa.default_memory_pool().max_memory() <= max(before, 160 << 20)


@pytest.mark.parametrize(
    ("mib", "mib_allowed", "problem"),
    [(600, 2048, "a row of more than 536870912 bytes"), (400, 300, "damaged, or more than 300 MiB in memory")],
)
def test_a_row_of_lance_that_is_too_large_ends_its_reader_alone(mib, mib_allowed, problem, tmp_path, monkeypatch):
    monkeypatch.setattr(lance_rows, "MAX_MEMORY_BYTES", mib_allowed << 20)
    schema = lance_schema(pa.large_binary(), compression="zstd")
    row = {**dict.fromkeys(IMAGES, [b"x"]), **{name: [text] for name, text in ROW.items()}}
    path = write_lance(tmp_path, schema, row | {"input_image": [bytes(mib << 20)]}, version="2.1")
    assert path.stat().st_size < 100_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(BrokenFile, match=problem):
        read(tmp_path)
    assert pa.default_memory_pool().max_memory() == before


def test_a_reader_that_is_left_ends(tmp_path, monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[0]
    )
    row = {**dict.fromkeys(IMAGES, [bytes(1 << 20)]), **{name: [text] for name, text in ROW.items()}}
    write_lance(tmp_path, lance_schema(), *[row] * 16)
    source = make_source(ExportSource(format="export", path=str(tmp_path)))
    records = source.read(*source.files())
    assert next(records).key == "p0" and started[0].poll() is None
    records.close()
    assert len(started) == 1 and started[0].returncode is not None
