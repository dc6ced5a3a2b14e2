"""CLIP's weights: any model that open_clip knows."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import field_validator, model_validator

from toffee_pipeline.config.base import ModelSpec

HUB = "hf-hub:"


class ClipSpec(ModelSpec):
    """CLIP's weights, for open_clip. `path` may also be a folder in open_clip's layout, which tells its own
    architecture and brings its tokenizer."""

    architecture: str = "ViT-B-32-quickgelu"
    """Of pretrained weights: a name of `open_clip.list_models()`, SigLIP's among them; or hf-hub:ORG/NAME, a repository
    in open_clip's layout, which then is the `id` too."""

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: str) -> str:
        if re.fullmatch(rf"{HUB}[\w.-]+/[\w.-]+", architecture) or architecture in architectures():
            return architecture
        close = get_close_matches(architecture, architectures()) or ["ViT-L-14", "ViT-B-16-SigLIP"]
        raise ValueError(
            f"open_clip has no model {architecture!r}; allowed are its {len(architectures())} names, such as "
            f"{', '.join(close)}, and {HUB}ORG/NAME"
        )

    @model_validator(mode="before")
    @classmethod
    def _hub_model_is_one_repository(cls, data: Any) -> Any:
        if isinstance(data, dict) and str(data.get("architecture")).startswith(HUB):
            return data | {"id": data["architecture"].removeprefix(HUB)}
        return data


@cache
def architectures() -> tuple[str, ...]:
    """The names of `open_clip.list_models()`, read from its files: importing it would load torch."""
    package = find_spec("open_clip")
    assert package is not None and package.origin is not None
    return tuple(sorted(path.stem for path in Path(package.origin).parent.glob("model_configs/*.json")))
