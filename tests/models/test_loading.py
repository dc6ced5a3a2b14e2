import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from toffee_pipeline.config.base import ModelSpec, SegmenterSpec
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.models import loading, weights
from toffee_pipeline.models.grounded_sam import load_sam
from toffee_pipeline.models.tiny import untrained


def test_resolve_takes_path_before_id(tmp_path: Path) -> None:
    assert weights.resolve(ModelSpec(id="a/b", path=tmp_path), "vae") == tmp_path
    assert weights.resolve(ModelSpec(id="a/b"), "vae") == "a/b"


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        weights.resolve(ModelSpec(path=tmp_path / "nowhere"), "vae")
    with pytest.raises(FileNotFoundError, match="'aesthetic'; there are: .*view_generator"):
        weights.resolve(ModelSpec(weights="nano"), "aesthetic")
    with pytest.raises(ValueError, match="built, not read"):
        weights.resolve(ModelSpec(weights="untrained"), "vae")


def test_options_fetch_nothing_for_a_path(tmp_path: Path) -> None:
    assert weights.hub_options(ModelSpec(path=tmp_path)) == {"local_files_only": True}
    spec = ModelSpec(id="a/b", revision="1234", variant="fp16")
    assert weights.hub_options(spec) == {"revision": "1234", "variant": "fp16"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigError, match="device=cuda, but torch sees no GPU here; allowed are cpu and auto"):
        loading.pick_device("cuda")
    assert loading.pick_device("auto") == loading.pick_device("cpu") == torch.device("cpu")


def test_weights_hash_follows_contents_and_names(tmp_path: Path) -> None:
    spec = ModelSpec(path=tmp_path)
    save_file({"w": torch.zeros(2)}, tmp_path / "a.safetensors")
    first = weights.weights_hash(spec, "vae")
    (tmp_path / "config.json").write_text("{}")
    assert weights.weights_hash(spec, "vae") == first
    assert first is not None and len(first) == 16
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    second = weights.weights_hash(spec, "vae")
    (tmp_path / "a.safetensors").rename(tmp_path / "b.safetensors")
    assert len({first, second, weights.weights_hash(spec, "vae")}) == 3
    assert weights.weights_hash(ModelSpec(path=tmp_path / "b.safetensors"), "segmenter") is not None
    assert weights.weights_hash(ModelSpec(id="a/b"), "vae") is None


@pytest.mark.parametrize("beside", [False, True])
def test_weights_hash_follows_pickles_too(tmp_path: Path, beside: bool) -> None:
    """Even beside other files: of a pipeline's folder one part may be of these, another of those."""
    spec, hashes = ModelSpec(path=tmp_path), set()
    if beside:
        save_file({"w": torch.zeros(2)}, tmp_path / "a.safetensors")
    for contents in (b"one", b"two"):
        (tmp_path / "unet").mkdir(exist_ok=True)
        (tmp_path / "unet/diffusion_pytorch_model.bin").write_bytes(contents)
        hashes.add(weights.weights_hash(spec, "clip"))
    assert len(hashes) == 2


def test_what_is_named_as_weights_and_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2)}, tmp_path / "a.safetensors")
    spec, pipe = ModelSpec(path=tmp_path), tmp_path / "x.safetensors"
    alone = weights.weights_hash(spec, "vae")
    (tmp_path / "x.bin").mkdir()
    (tmp_path / "x.bin/round").symlink_to(tmp_path)
    assert weights.weights_hash(spec, "vae") == alone
    os.mkfifo(pipe)
    with pytest.raises(DamagedFile, match="x.safetensors: damaged: no regular file"):
        weights.weights_hash(spec, "vae")
    with pytest.raises(DamagedFile, match="x.safetensors: damaged: no regular file"):
        weights.weights_hash(ModelSpec(path=pipe), "vae")
    with pytest.raises(DamagedFile, match="x.safetensors: damaged: no regular file"):
        weights.require_digest(SegmenterSpec(path=pipe, sha256="0" * 64), pipe)


def test_a_segmenter_is_the_file_whose_digest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    path.write_bytes(b"some weights")
    digest = hashlib.sha256(b"some weights").hexdigest()
    weights.require_digest(SegmenterSpec(path=path, sha256=digest), path)
    weights.require_digest(SegmenterSpec(path=path), path)
    wrong = SegmenterSpec(path=path, sha256="0" * 64)
    with pytest.raises(ConfigError, match=f"sam.pth: its SHA-256 is {digest}, .*says {'0' * 64}; null allows any"):
        weights.require_digest(wrong, path)
    with pytest.raises(ConfigError, match="its SHA-256 is"):
        load_sam(wrong)  # before anything is unpickled


def test_untrained_weights_are_the_same_in_every_process_and_leave_torch_alone() -> None:
    """What each process finds is the number that another found before it."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    vae = untrained.build("vae")
    assert torch.equal(torch.rand(1), expected)
    total = sum(value.double().abs().sum().item() for value in vae.state_dict().values())
    assert total == pytest.approx(29605.947366784, rel=1e-7)


def test_every_untrained_network_is_ready_to_run() -> None:
    for name in untrained.BUILDERS:
        built = untrained.build(name)
        parts = list(built.components.values()) if name == "sdxl" else [built[0] if isinstance(built, tuple) else built]
        modules = [part for part in parts if isinstance(part, torch.nn.Module)]
        assert modules and not any(module.training for module in modules), name
