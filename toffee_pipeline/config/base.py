"""What all settings share: frozen models, bounded numbers, and which of them decide what comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

Category = Literal["style", "background", "color", "texture", "addition", "removal"]
"""The taxonomy of changes of the paper (Fig. 6)."""
CATEGORIES: tuple[Category, ...] = ("style", "background", "color", "texture", "addition", "removal")
Kind = Literal["generation", "edit"]
"""Of a pair."""
EditRegion = Literal["subject", "around", "background", "everywhere"]
"""What an edit may change. subject: the dilated subject; around: its bounding box with a margin, less the subject;
background: all but the subject."""
OUTSIDE: tuple[EditRegion, ...] = ("background", "around")
"""Regions without the subject: there is nothing of it to refine."""

Positive = Annotated[int, Field(gt=0, le=10**9)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Seconds = Annotated[float, Field(ge=0, le=1e7)]
MAX_LEASE_S = 600.0
LeaseSeconds = Annotated[float, Field(ge=0, le=MAX_LEASE_S)]
"""Nobody waits longer than this for a driver that died."""
Amount = Annotated[float, Field(ge=0, le=1e4)]
"""Of CPUs, GPUs or GiB."""


def make_absolute(path: Path) -> Path:
    """Workers may run elsewhere. Only a leading "~/" is the home folder: "~x" may be a name."""
    return Path(path.expanduser() if path.parts[:1] == ("~",) else path).absolute()


def make_uri_absolute(uri: str) -> str:
    """A local path made absolute; s3://bucket/prefix and file:///path stay. Raises ValueError for any other, which may
    hold a password."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", uri):
        return str(make_absolute(Path(uri)))
    if not re.fullmatch(r"s3://[^/@:?#]+(/[^?#]*)?|file:/.*", uri, re.IGNORECASE | re.DOTALL):
        raise ValueError("allowed are a local path, file:///path and s3://bucket/prefix, without user or password")
    return uri


AbsolutePath = Annotated[Path, AfterValidator(make_absolute)]
AbsoluteUri = Annotated[str, AfterValidator(make_uri_absolute)]


class NotContent:
    """Marks a field, and all below it, that decides where, when and whether work is done and not what comes out: a run
    goes on under another value of it."""


NOT_CONTENT = NotContent()


class Model(BaseModel):
    """Base of all settings: frozen, an unknown key is an error, and so is a number that is not finite."""

    # every process imports the settings of all jobs, and builds those that it uses
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def differing_content(old: Model, new: Model) -> list[str]:
    """Dotted keys of the settings in which two configs differ, but for those that are `NOT_CONTENT`. A key that came
    later differs from nothing: the older config has its default."""
    if type(old) is not type(new):
        return ["job"]
    return sorted(_differing(old, new))


def _differing(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(old, Model) and type(old) is type(new):
        for name, field in type(old).model_fields.items():
            if not any(isinstance(mark, NotContent) for mark in field.metadata):
                yield from _differing(getattr(old, name), getattr(new, name), f"{prefix}{name}.")
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differing(old.get(key), new.get(key), f"{prefix}{key}.")
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        if any(True for pair in zip(old, new, strict=True) for _ in _differing(*pair)):
            yield prefix.removesuffix(".")
    elif old != new:
        yield prefix.removesuffix(".")


class ModelSpec(Model):
    """One set of weights. `path` goes before `id`, and both are for pretrained ones alone."""

    weights: Literal["pretrained", "nano", "untrained", "random"] = "pretrained"
    """pretrained: a hub id or local path; nano: trained on the small world, in the package;
    untrained: the same tiny architecture with seeded random weights; random: the published architecture with such, for
    the cost of a run (jobs/measure.py)."""
    id: str | None = None
    revision: str | None = None
    path: AbsolutePath | None = None
    """Local folder or file: nothing is fetched."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    variant: str | None = None
    _sample: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.weights == "pretrained" and self.id is None and self.path is None:
            raise ValueError("pretrained weights need an id or a path")
        if self.weights == "nano" and self.path is not None:
            raise ValueError("nano weights lie in the package: with a path say weights=pretrained, else path=null")
        return self

    @property
    def has_files(self) -> bool:
        """Whether the weights are read; else they are made."""
        return self.weights in ("pretrained", "nano")

    @property
    def sample(self) -> str | None:
        """Of the files at `path` (`models.weights.sample_of`), as the job's driver found them. No setting: it goes with
        the spec to the job's processes, and into no file."""
        return self._sample

    def with_sample(self, sample: str) -> Self:
        known = self.model_copy()
        known._sample = sample
        return known

    @property
    def is_published(self) -> bool:
        """Whether the network has its published architecture, and not a tiny one."""
        return self.weights in ("pretrained", "random")


class VaeSpec(ModelSpec):
    """An AutoencoderKL. Only one that is named by itself may compute in half precision: what lies in the folder of
    another model computes in float32, whatever that model's dtype."""

    dtype: Literal["float32", "float16"] = "float32"
    """float16: of a VAE that was made for it, such as madebyollin/sdxl-vae-fp16-fix; SDXL's own gives black images in
    it. bfloat16 would cost several grey levels."""


class DistilledSpec(ModelSpec):
    """A UNet of few steps: LCM's, Lightning's, DMD2's. `path` or `id` is a folder as diffusers writes it, or one
    safetensors file, which `variant` names in the repository of an id. It computes in the dtype of `models.sdxl`."""

    weights: Literal["pretrained", "random"] = "pretrained"


class SegmenterSpec(ModelSpec):
    """Segment Anything's weights."""

    type: Literal["vit_h", "vit_l", "vit_b"] = "vit_h"
    """Of pretrained weights; the nano one has a shape of its own."""
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    """Of the `.pth` file, which is loaded only if it has it. null: any file is."""

    @model_validator(mode="after")
    def _file_of_the_repository(self) -> Self:
        if self.weights == "pretrained" and self.path is None and self.variant is None:
            raise ValueError("a hub id needs `variant`, the name of the .pth file in its repository")
        return self


LCM_STEPS = 50
"""Of the schedule from which a consistency model is distilled (Luo et al. 2023)."""


class SamplingConfig(Model):
    """How a diffusion model is sampled."""

    scheduler: Literal["ddim", "dpm++", "euler", "lcm"] = "dpm++"
    """dpm++: the second-order multistep solver on Karras sigmas, but for a network whose noise schedule ends in pure
    noise (`rescale_betas_zero_snr`). euler and lcm are what distilled networks ask for."""
    timestep_spacing: Literal["leading", "linspace", "trailing"] | None = None
    """null: as the network was trained. trailing: what Lightning and Hyper ask for, and under lcm the steps of DMD2."""
    num_inference_steps: Annotated[int, Field(gt=0, le=1000)] = 25
    guidance_scale: Annotated[float, Field(ge=1, le=100)] = 3.0
    """1: no guidance, a single pass of the network per step."""

    @model_validator(mode="after")
    def _steps_that_lcm_knows(self) -> Self:
        if self.scheduler == "lcm" and self.timestep_spacing != "trailing" and self.num_inference_steps > LCM_STEPS:
            raise ValueError(f"num_inference_steps={self.num_inference_steps}: scheduler=lcm takes up to {LCM_STEPS}")
        return self


class GroundingConfig(Model):
    """What counts as found by the detector of Grounded-SAM."""

    box_threshold: Fraction = 0.3
    text_threshold: Fraction = 0.25
