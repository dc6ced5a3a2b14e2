"""Training from a cache is the same training."""

import io
import tarfile

import numpy as np
import pytest
import torch

from tests.helpers.training import make_config
from toffee_pipeline.config.train import (
    RefinerTraining,
    RunSource,
    ToffeeNetTraining,
    ViewGeneratorTraining,
    WorldSource,
)
from toffee_pipeline.errors import BrokenFile, DataError, ImageError
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.nano.world import BACKGROUNDS, View, make_toy, render
from toffee_pipeline.train.data.cache import Cache, CachedSource, cache_key, fill, source_name
from toffee_pipeline.train.data.encode import FrozenEncoders
from toffee_pipeline.train.data.examples import first_rows
from toffee_pipeline.train.data.records import Record
from toffee_pipeline.train.data.sources import make_source
from toffee_pipeline.train.job import build_reader
from toffee_pipeline.train.tasks import make_task

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
PHOTO = render(make_toy("teapot", 5), View(0.5, 0.2), BACKGROUNDS[0])


def write_tar(path, *members):
    with tarfile.open(path, "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("config_class", [RefinerTraining, ViewGeneratorTraining])
def test_the_loss_is_the_same_with_and_without_a_cache(config_class, tmp_path):
    losses = []
    for overrides in ((), (f"data.cache={tmp_path}",)):
        config = make_config(config_class, "data.sources=[{format: world, num_subjects: 208}]", *overrides)
        sources = [make_source(source) for source in config.data.sources]
        files = [(0, file) for file in sources[0].files()]
        task = make_task(config)
        task.use(CPU)
        torch.manual_seed(0)
        network = task.build().eval()
        rows = first_rows(build_reader(config, sources, files), 8)
        assert any(name.endswith("_latents") for name in rows) == bool(overrides)
        with torch.no_grad():
            losses.append(task.loss(network, rows, torch.Generator().manual_seed(7)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_encoders_compute_in_a_training_step_as_for_a_cache():
    encoders = FrozenEncoders(make_config(RefinerTraining), CPU)
    alone = encoders.latents([PHOTO.rgb]), encoders.tokens([PHOTO.rgb], [""])
    with torch.autocast("cpu", torch.bfloat16):
        inside = encoders.latents([PHOTO.rgb]), encoders.tokens([PHOTO.rgb], [""])
    assert all(map(torch.equal, alone, inside))


def test_what_is_broken_stays_broken_and_the_rest_comes_back(tmp_path):
    good = encode_png(PHOTO.rgb)
    write_tar(tmp_path / "0.tar", ("a.png", good), ("a.txt", b"a teapot"), ("b.png", b"no picture"), ("c.png", good))
    data = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(data[: data.index(b"c.png") + 700])
    config = make_config(
        RefinerTraining, f"data.sources=[{{format: webdataset, path: '{tmp_path}'}}]", f"data.cache={tmp_path / 'c'}"
    )
    (source,) = (make_source(each) for each in config.data.sources)
    cache, encoders = Cache.open(config), FrozenEncoders(config, CPU)
    assert cache.known() == set()
    fill(cache, "photos", source, "0.tar", encoders, 64)
    assert cache.known() == {cache.key_of("photos", "0.tar")}
    shapes = cache.shapes(cache.known())
    records = CachedSource("photos", source, cache, shapes).read("0.tar")
    first, second = next(records), next(records)
    assert (first.key, first.text) == ("a", "a teapot")
    encoded = first.images["image"]()
    expected = encoders.latents([PHOTO.rgb])[0].numpy()
    np.testing.assert_allclose(encoded.latents, expected, atol=2e-3)
    assert shapes == (encoded.latents.shape, encoded.tokens.shape)
    with pytest.raises(ImageError, match="not an image"):
        second.images["image"]()
    with pytest.raises(BrokenFile, match="0.tar"):
        next(records)


def test_a_cache_without_one_image_names_the_first_error(tmp_path):
    write_tar(tmp_path / "0.tar", ("a.png", b"no picture"), ("b.png", b""))
    config = make_config(
        RefinerTraining, f"data.sources=[{{format: webdataset, path: '{tmp_path}'}}]", f"data.cache={tmp_path / 'c'}"
    )
    with pytest.raises(DataError, match="is usable; the first error: 0.tar: a: not an image"):
        build_reader(config, [make_source(config.data.sources[0])], [(0, "0.tar")])


def test_small_images_are_told_from_broken_ones_with_and_without_a_cache(tmp_path):
    images = {"a": encode_png(PHOTO.rgb), "b": encode_png(PHOTO.rgb[:48]), "c": b"no picture"}
    write_tar(tmp_path / "0.tar", *((f"{name}.png", data) for name, data in images.items()))
    sides = {}
    for name, overrides in (("as it is", ()), ("cached", (f"data.cache={tmp_path / 'c'}",))):
        for least in (48, 49):
            settings = f"data.sources=[{{format: webdataset, path: '{tmp_path}'}}]", f"data.min_side_px={least}"
            config = make_config(RefinerTraining, *settings, *overrides)
            reader = build_reader(config, [make_source(config.data.sources[0])], [(0, "0.tar")])
            (block,) = reader.blocks(0)
            usable = block["error"] == ""
            sides[name, least] = sorted(block["target_side_px"][usable]), list(block["error"][block["too_small"]])
            assert sum(usable) + sum(block["too_small"]) == 2
    assert sides["as it is", 48] == sides["cached", 48] == ([48, 64], [])
    line = "b: its central square has 48 px, less than data.min_side_px=49"
    assert sides["as it is", 49] == sides["cached", 49] == ([64], [line])


class OnePair:
    """A source of one edit pair."""

    def files(self):
        return ["only"]

    def read(self, file):
        images = {name: lambda: PHOTO.rgb for name in ("input", "target", "masked")}
        yield Record("p", images, "red", lambda: PHOTO.mask, lambda: PHOTO.inverse_depth, "teapot", "edit")


def test_masks_and_depth_travel_with_the_encoded_images(tmp_path):
    config = make_config(
        ToffeeNetTraining, f"data.sources=[{{format: run, path: '{tmp_path}'}}]", f"data.cache={tmp_path}"
    )
    cache = Cache.open(config)
    fill(cache, "pair", OnePair(), "only", FrozenEncoders(config, CPU), 64)
    (record,) = CachedSource("pair", OnePair(), cache, cache.shapes(cache.known())).read("only")
    np.testing.assert_array_equal(record.mask(), PHOTO.mask)
    np.testing.assert_allclose(record.depth(), PHOTO.inverse_depth, atol=1 / 65535)
    assert (record.kind, record.class_name, set(record.images)) == ("edit", "teapot", {"input", "target", "masked"})
    assert encode_mask(record.mask()) == encode_mask(PHOTO.mask)
    assert len(encode_depth(record.depth())) > 0


def test_the_key_changes_with_what_decides_the_numbers():
    keys = {
        cache_key(make_config(RefinerTraining, *overrides))
        for overrides in (
            (),
            ("models.dino.weights=untrained",),
            ("models.vae.weights=untrained",),
            ("size_px=128",),
            ("data.min_side_px=32",),
        )
    }
    assert len(keys) == 5
    assert cache_key(make_config(RefinerTraining)) == cache_key(make_config(ViewGeneratorTraining))


def test_an_option_that_comes_later_leaves_what_is_cached():
    class LaterWorld(WorldSource):
        fog: bool = False

    known = WorldSource(format="world", views_per_subject=3)
    assert source_name(LaterWorld(format="world", views_per_subject=3, fog=False)) == source_name(known)
    others = [
        LaterWorld(format="world", views_per_subject=3, fog=True),
        WorldSource(format="world"),
        RunSource(format="run", path="a"),
        RunSource(format="run", path="b"),
    ]
    assert len({source_name(source) for source in (known, *others)}) == 5
