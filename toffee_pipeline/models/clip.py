"""Loads CLIP: any model of open_clip, from a file, a folder or the hub; never with code from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from huggingface_hub import hf_hub_download, snapshot_download
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig

from toffee_pipeline.config.clip import HUB, ClipSpec
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.loading import build_untrained, dtype_of
from toffee_pipeline.models.tensors import HALF
from toffee_pipeline.models.weights import load_pretrained, loading_from, resolve

HUB_FILES = ("open_clip*", "*.json", "*.txt", "*.model")
"""Config, tokenizer and weights, whose names open_clip gives."""


class Clip(NamedTuple):
    """A model on the CPU in eval mode, and what its inputs need.

    preprocess: an image to pixels (3, h, w). tokenizer: prompts to ids (b, n) of the model's context length.
    """

    model: Any
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Callable[[Sequence[str]], Tensor]


def load_clip(spec: ClipSpec) -> Clip:
    """CLIP, SigLIP or another model of open_clip, in the dtype of the spec.

    Raises:
        FileNotFoundError: the weights are missing.
        ConfigError: they cannot be used with the architecture that is given, or ask for code of their own.
    """
    if spec.weights == "random":
        return _load_random(spec)
    if spec.weights != "pretrained":
        return _load_untrained() if spec.weights == "untrained" else load_nano_clip(Path(resolve(spec, "filter_clip")))
    source = resolve(spec, "filter_clip")
    with loading_from(source):
        name, weights, preprocessing = _find(spec, source)
        _refuse_code(name)
        model, preprocess = open_clip.create_model_from_pretrained(name, weights, precision="fp32", **preprocessing)
        return Clip(model.to(dtype_of(spec)).eval(), preprocess, _tokenizer(name))


def _refuse_code(name: str) -> None:
    """open_clip would run the code of a text tower or a tokenizer, or ask on the terminal whether to."""
    text = open_clip.get_model_config(name)["text_cfg"]
    if text.get("tokenizer_kwargs", {}).get("trust_remote_code"):
        raise ConfigError(f"models.clip: {name} asks for code of its own, which is never run")
    if tower := text.get("hf_model_name"):
        load_pretrained(AutoConfig, tower)


def _tokenizer(name: str) -> Callable[[Sequence[str]], Tensor]:
    if not open_clip.get_model_config(name)["text_cfg"].get("hf_tokenizer_name"):
        return open_clip.get_tokenizer(name)
    with loading_from(name):
        return open_clip.get_tokenizer(name, trust_remote_code=False)


def _find(spec: ClipSpec, source: Path | str) -> tuple[str, str | None, dict[str, Any]]:
    """What open_clip should load: the model's name for it, its weights as a file or a tag, and how images are prepared.

    A folder, or a repository of the hub, brings all of it.
    """
    name = spec.architecture
    if isinstance(source, Path) and source.is_dir():
        return f"local-dir:{source}", None, {}
    if isinstance(source, Path):
        if name.startswith(HUB):
            raise ConfigError(f"models.clip.path={source} is a file: models.clip.architecture must be a plain name")
        return name, str(source), preprocessing_of(name, None)
    if name.startswith(HUB):
        folder = snapshot_download(source, revision=spec.revision, allow_patterns=list(HUB_FILES))
        return f"local-dir:{folder}", None, {}
    if "/" in source:
        file = hf_hub_download(source, spec.variant or "open_clip_model.safetensors", revision=spec.revision)
        return name, file, preprocessing_of(name, source)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if source not in tags:
        raise ConfigError(f"models.clip.id={source}: allowed for {name} are ORG/NAME and {', '.join(tags)}")
    return name, source, {}


def preprocessing_of(name: str, repository: str | None) -> dict[str, Any]:
    """How images are prepared for weights in a file, which does not say it: as open_clip's entry for this repository
    does, or else its first for this model."""
    entries = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    entries = [entry for entry in entries if entry.get("hf_hub", "").strip("/") == repository] or entries[:1]
    keys = ("mean", "std", "interpolation", "resize_mode")
    return {f"image_{key}": entry[key] for entry in entries[:1] for key in keys if key in entry}


def _load_random(spec: ClipSpec) -> Clip:
    name = spec.architecture
    _refuse_code(name)
    model, _, preprocess = open_clip.create_model_and_transforms(name, **preprocessing_of(name, None))
    return Clip(model.to(dtype_of(spec)).eval(), preprocess, _tokenizer(name))


def _load_untrained() -> Clip:
    model = build_untrained("clip")
    return _tiny(model, open_clip.SimpleTokenizer(context_length=model.context_length))


def load_nano_clip(folder: Path) -> Clip:
    """One of the package's: its weights in float32, and the small world's own vocabulary."""
    model = open_clip.CLIP(**json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"])
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    bpe = str(folder / "bpe.txt.gz")
    return _tiny(model, open_clip.SimpleTokenizer(bpe_path=bpe, context_length=model.context_length))


def _tiny(model: open_clip.CLIP, tokenizer: open_clip.SimpleTokenizer) -> Clip:
    preprocess = open_clip.image_transform(model.visual.image_size, is_train=False, mean=HALF, std=HALF)
    return Clip(model.eval(), preprocess, tokenizer)
