"""That every process of a job loads the weights that its driver found: a node which joins later fetches them anew."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from typing import TypeVar

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.models.roles import networks_of
from toffee_pipeline.models.weights import sample_of

C = TypeVar("C", bound=DatasetConfig)


def with_samples(config: C, roles: Iterable[str]) -> C:
    """The config, in which the weights of these roles in folders and files know their sample, for `require_same_files`
    elsewhere."""
    samples = {spec.path: sample_of(spec.path) for spec in _specs(config, roles) if spec.path is not None}
    specs = {name: getattr(config.models, name) for name in type(config.models).model_fields}
    known = {
        name: spec.with_sample(samples[spec.path])
        for name, spec in specs.items()
        if isinstance(spec, ModelSpec) and spec.path in samples
    }
    return config.model_copy(update={"models": config.models.model_copy(update=known)})


def require_same_files(config: DatasetConfig, roles: Iterable[str]) -> None:
    """Raises RunMismatch where weights of these roles on this machine are not those whose sample the config knows."""
    for path, sample in {spec.path: spec.sample for spec in _specs(config, roles)}.items():
        if path is not None and sample is not None and sample_of(path) != sample:
            raise RunMismatch(
                f"{path} on {platform.node()}: other weights than where the job began, so that the run would "
                "mix two models: put the first ones back, or begin a run with the new ones in another --output"
            )


def _specs(config: DatasetConfig, roles: Iterable[str]) -> Iterator[ModelSpec]:
    return (spec for role in dict.fromkeys(roles) for _, spec, _ in networks_of(role, config))
