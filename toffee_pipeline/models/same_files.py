"""That every process of a job loads the weights that its driver found: a node which joins later fetches them anew."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import TypeVar

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.models.roles import networks_of
from toffee_pipeline.models.weights import sample_of

C = TypeVar("C", bound=DatasetConfig)


def with_samples(config: C) -> C:
    """The config, whose weights in folders and files know their sample, for `require_same_files` elsewhere."""
    specs = {name: getattr(config.models, name) for name in type(config.models).model_fields}
    known = {
        name: spec.with_sample(sample_of(spec.path))
        for name, spec in specs.items()
        if isinstance(spec, ModelSpec) and spec.weights == "pretrained" and spec.path is not None and spec.path.exists()
    }
    return config.model_copy(update={"models": config.models.model_copy(update=known)})


def require_same_files(config: DatasetConfig, roles: Iterable[str]) -> None:
    """Raises RunMismatch where weights of these roles on this machine are not those whose sample the config knows."""
    for role in dict.fromkeys(roles):
        for _, spec, _ in networks_of(role, config):
            if spec.sample is not None and spec.path is not None and sample_of(spec.path) != spec.sample:
                raise RunMismatch(
                    f"{spec.path} on {platform.node()}: other weights than where the job began, so that the run would "
                    "mix two models: put the first ones back, or begin a run with the new ones in another --output"
                )
