"""CLIP as its users bring it: open_clip's files, folders and repositories, with tiny untrained weights."""

import io
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from tests.helpers.foreign_code import CODE, add, place_code
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.models.clip import load_clip, preprocessing_of
from toffee_pipeline.models.scores import ClipScorer
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.models.tiny.architectures import build_clip_config

PROMPTS = ["a red mug", "a toy car on a beach", "a cat"]
WORDS = ("[PAD]", "[UNK]", *sorted({word for prompt in PROMPTS for word in prompt.split()}))
TINY = "toffee-tiny"
CONTEXT_LENGTH = 16


def write_siglip(folder: Path, **text: Any) -> Path:
    """SigLIP's classes, small, in the layout of its repositories: a timm tower, no causal mask, its own tokenizer."""
    vision = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"}
    tower = {"width": 32, "heads": 2, "layers": 2, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    text = {"context_length": CONTEXT_LENGTH, "vocab_size": len(WORDS), "hf_tokenizer_name": "a/b", **tower, **text}
    config = {"embed_dim": 64, "init_logit_bias": -10, "vision_cfg": vision, "text_cfg": text}
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config | {"custom_text": True}, "preprocess_cfg": preprocessing})
    )
    torch.manual_seed(0)
    save_file(open_clip.CustomTextCLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    words = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> ClipSpec:
    """Weights in a file, for an architecture that open_clip is told of."""
    folder = tmp_path_factory.mktemp("clip")
    vocab_size = open_clip.SimpleTokenizer().vocab_size
    (folder / f"{TINY}.json").write_text(json.dumps(build_clip_config(vocab_size)))
    open_clip.add_model_config(folder / f"{TINY}.json")
    torch.save({"state_dict": untrained.build("clip").state_dict()}, folder / "clip.pt")
    return ClipSpec(path=folder / "clip.pt").model_copy(update={"architecture": TINY})


def test_weights_in_a_file_score_as_in_memory(
    clip_file: ClipSpec, device: torch.device, images: list[np.ndarray]
) -> None:
    scorer = ClipScorer(clip_file, device)
    model, tokenizer = untrained.build("clip"), open_clip.SimpleTokenizer(context_length=24)
    preprocess = open_clip.image_transform(64, is_train=False)
    with torch.inference_mode():
        pixels = torch.stack([preprocess(Image.fromarray(image)) for image in images])
        encoded = model.encode_image(pixels)
        expected = F.cosine_similarity(encoded, model.encode_text(tokenizer(PROMPTS)))
    assert scorer.score(images, PROMPTS) == pytest.approx(expected.tolist(), abs=1e-5)
    assert torch.allclose(scorer.encode_images(images), encoded, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_siglip_from_a_folder(siglip: Path, device: torch.device, images: list[np.ndarray], dtype: str) -> None:
    scorer = ClipScorer(ClipSpec(path=siglip, dtype=dtype), device)
    scores = scorer.score(images, PROMPTS)
    assert len(set(scores)) == 3 and all(math.isfinite(score) and -1 <= score <= 1 for score in scores)
    assert scorer.score(images[::-1], PROMPTS[::-1])[1] == scores[1]
    encoded = scorer.encode_images(images)
    assert encoded.shape == (3, 64) and encoded.dtype == torch.float32 and encoded.isfinite().all()


def test_a_folder_brings_its_tokenizer_and_what_it_wants_done_to_images(siglip: Path) -> None:
    clip = load_clip(ClipSpec(path=siglip))
    ids = clip.tokenizer(["a red mug", "a blue mug"])
    assert ids.shape == (2, CONTEXT_LENGTH)
    assert ids[0, :3].tolist() == [WORDS.index(word) for word in ("a", "red", "mug")]
    assert ids[1, 1] == WORDS.index("[UNK]")
    white = clip.preprocess(Image.new("RGB", (200, 100), (255, 255, 255)))
    assert white.shape == (3, 160, 160) and torch.allclose(white, torch.ones(1))


def test_a_repository_of_the_hub(
    siglip: Path, tmp_path: Path, device: torch.device, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = "0" * 40
    cached = tmp_path / "models--a--siglip" / "snapshots" / revision
    cached.parent.mkdir(parents=True)
    cached.symlink_to(siglip)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub = ClipScorer(ClipSpec(architecture="hf-hub:a/siglip", revision=revision), device)
    assert hub.score(images, PROMPTS) == ClipScorer(ClipSpec(path=siglip), device).score(images, PROMPTS)


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    write_siglip(tmp_path, tokenizer_kwargs={"trust_remote_code": True})
    with pytest.raises(ConfigError, match="code of its own"):
        load_clip(ClipSpec(path=tmp_path))


def test_weights_that_do_not_fit_their_architecture_are_one_line(clip_file: ClipSpec) -> None:
    with pytest.raises(ConfigError, match="models.clip.id=webli: allowed for ViT-B-32 are ORG/NAME and openai, "):
        load_clip(ClipSpec(id="webli", architecture="ViT-B-32"))
    with pytest.raises(ConfigError, match="clip.pt is a file: models.clip.architecture must be a plain name"):
        load_clip(clip_file.model_copy(update={"architecture": "hf-hub:a/b"}))


def test_images_are_prepared_as_the_weights_were_trained() -> None:
    siglip = preprocessing_of("ViT-B-16-SigLIP", None)
    assert (siglip["image_mean"], siglip["image_resize_mode"]) == ((0.5, 0.5, 0.5), "squash")
    laion = preprocessing_of("ViT-L-14", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K")
    assert laion["image_mean"] == (0.5, 0.5, 0.5) != preprocessing_of("ViT-L-14", None)["image_mean"]


@pytest.mark.parametrize("where", ["tokenizer", "text tower"])
def test_code_that_lies_with_a_clip_is_never_run(
    siglip: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 10))
    folder = Path(shutil.copytree(siglip, tmp_path / "clip"))
    mark = place_code(folder)
    if where == "tokenizer":
        add(folder / "tokenizer_config.json", tokenizer_class="S", auto_map={"AutoTokenizer": [None, CODE]})
    else:
        add(folder / "config.json", model_type="stranger", auto_map={"AutoConfig": CODE, "AutoModel": CODE})
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["text_cfg"] |= {"hf_model_name": str(folder)}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="asks for code of its own"):
        load_clip(ClipSpec(path=folder))
    assert not mark.exists()


def test_a_pipe_or_nonsense_in_the_place_of_a_folders_config_is_one_line(tmp_path: Path) -> None:
    spec, path = ClipSpec(path=tmp_path), tmp_path / "open_clip_config.json"
    os.mkfifo(path)
    with pytest.raises(DamagedFile, match="open_clip_config.json: damaged: no regular file$"):
        load_clip(spec)
    path.unlink()
    for content in ("", "{", "[]", "{}", '{"model_cfg": {"embed_dim": "x", "vision_cfg": 3, "text_cfg": []}}'):
        path.write_text(content)
        with pytest.raises(ConfigError) as refused:
            load_clip(spec)
        assert str(refused.value).startswith(f"{tmp_path}: cannot be loaded: ") and "\n" not in str(refused.value)
