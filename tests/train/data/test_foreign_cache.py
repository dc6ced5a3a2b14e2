"""A cache that somebody else wrote: what is broken is left out with a line, whatever it is."""

import struct

import pyarrow as pa
import pytest

from tests.helpers.training import make_config
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.storage import LocalStorage
from toffee_pipeline.train.data.cache import Cache, CachedSource
from toffee_pipeline.train.data.cached_file import SCHEMA
from toffee_pipeline.train.data.examples import Reader
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.data.task_examples import columns_of, refiner_examples

SHAPES = ((2, 2, 2), (3, 2))
TEXT = "a" * 0x1234
ROW = dict.fromkeys(("class_name", "kind"), "") | {"key": "a", "text": TEXT, "name": "image"}
ROW |= {"latents": bytes(16), "latents_shape": [2, 2, 2], "tokens": bytes(12), "tokens_shape": [3, 2], "side_px": 64}


def arrow(*rows, schema=SCHEMA, **options) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(list(rows), schema=schema))
    return sink.getvalue().to_pybytes()


SOUND = arrow(ROW)
OTHER = pa.schema([*list(SCHEMA)[1:], pa.field("key", pa.large_string())])
FILES = {
    "empty": b"",
    "text": b"no Arrow file",
    "cut short": SOUND[:-40],
    "cut in a message": SOUND[:2000] + SOUND[-6:],
    "without messages": SOUND[:8] + SOUND[-6:],
    "of other columns": arrow(ROW, schema=OTHER),
    "compressed": arrow(ROW | {"latents": bytes(2**24)}, compression="zstd"),
    "of an older version": arrow(ROW, metadata_version=pa.ipc.MetadataVersion.V4),
    "of texts that end elsewhere": SOUND.replace(struct.pack("<ii", 0, 0x1234), struct.pack("<ii", 0, 0x71234)),
    "of no text": SOUND.replace(TEXT.encode(), b"\xff" * len(TEXT)),
    "of too much text": arrow(*([ROW | {"text": "a" * 2**20}] * 65)),
    "of a row without a text": arrow(ROW | {"text": None}),
}
IMAGES = {
    "more numbers": {"latents_shape": [2, 2, 3]},
    "negative sizes": {"latents_shape": [-2, -2, 2]},
    "a size that is none": {"latents_shape": [2, 2, None]},
    "fewer dimensions": {"tokens_shape": [6]},
    "none": {"tokens_shape": None},
    "no bytes": {"tokens": None},
    "no side": {"side_px": None},
    "a side that is none": {"side_px": -64},
    "another than the first": {"latents": bytes(32), "latents_shape": [4, 2, 2]},
}


@pytest.fixture
def put(tmp_path):
    """Puts the bytes into a cache, for the file of this name, and gives what reads it."""
    config = make_config()
    source, cache = make_source(config.data.sources[0]), Cache(LocalStorage(str(tmp_path)), "key")

    def put(data: bytes, name: str = "file") -> Reader:
        path = tmp_path / cache.key_of("source", name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        cached = CachedSource("source", source, cache, SHAPES)
        columns = columns_of(config, SHAPES)
        return Reader((cached,), ((0, name),), 1, refiner_examples, columns, config.size_px, 0, "an image")

    return put


def shapes(reader: Reader, *names: str):
    (source,) = reader.sources
    return source.cache.shapes(source.cache.key_of("source", name) for name in names)


def test_one_that_is_sound_is_read(put):
    reader = put(SOUND)
    (block,) = reader.blocks(0)
    assert list(block["error"]) == [""] and block["target_latents"].shape == (1, *SHAPES[0])
    assert shapes(reader, "file") == SHAPES


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_no_cache_wrote_is_one_broken_sample(put, what):
    reader = put(FILES[what])
    (block,) = reader.blocks(0)
    (error,) = block["error"]
    assert reader.sources[0].cache.key_of("source", "file") in error and "\n" not in error
    if "without a text" not in what:
        with pytest.raises(DataError, match="no image of data.sources is usable; the first error: .*delete it"):
            shapes(reader, "file")
    put(SOUND, "next")
    assert shapes(reader, "file", "next") == SHAPES


@pytest.mark.parametrize("what", IMAGES)
def test_of_an_image_whose_numbers_do_not_fit_the_others_go_on(put, what):
    (block,) = put(arrow(ROW | IMAGES[what], ROW | {"key": "b"})).blocks(0)
    (error,) = (error for error in block["error"] if error)
    assert error.startswith("a") and "cached" in error and "\n" not in error


def test_whichever_byte_is_changed(put):
    sound = arrow(ROW | {"text": "a"})
    for position in range(0, len(sound), 13):
        reader = put(sound[:position] + bytes([sound[position] ^ 0x55]) + sound[position + 1 :])
        try:
            for record in reader.sources[0].read("file"):
                for image in record.images.values():
                    image()
        except (BrokenFile, ImageError) as error:
            assert len(str(error).splitlines()) == 1
