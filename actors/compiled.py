"""What torch.compile made, kept in the run directory by the first actor for those that start after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from actors.shard_writer import storage_of
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.speed import SpeedConfig
from toffee_pipeline.errors import DamagedFile, MissingKey
from toffee_pipeline.rundir.layout import compiled_key
from toffee_pipeline.storage.base import MAX_BYTES, Storage


@contextmanager
def compiled_shared(
    config: DatasetConfig, stages: Sequence[str], output: str, tell: Callable[[str], object]
) -> Iterator[None]:
    """Meanwhile the stages load their models. Before, what another actor compiled of them is loaded; afterwards what
    they compiled is kept, unless another one's is. Nothing of it where the run does not ask for it.

    tell: gets a line where the store fails, which costs the time to compile and nothing else.
    """
    models = [name for name in stages if name in config.model_stages]
    compiled = [name for name in models if _speed_of(config, name).compile == "inductor"]
    if not config.output.share_compiled or not compiled:
        yield
        return
    import torch  # seconds that the driver and stages without models need not spend

    storage = storage_of(output, config.output.endpoint_url)
    key = compiled_key(compiled, _digest(config, compiled))
    found = False
    with _without_the_store(tell, "compiling anew"):
        found = _load(storage, key)
    yield
    if not found and (made := torch.compiler.save_cache_artifacts()) is not None and len(made[0]) <= MAX_BYTES:
        with _without_the_store(tell, "what was compiled is not shared"):
            storage.put_if_absent(key, made[0])  # of actors that start together the first one's stays


@contextmanager
def _without_the_store(tell: Callable[[str], object], what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        tell(f"{what}: {error}")


def _load(storage: Storage, key: str) -> bool:
    """Whether there was something that torch could read. It fits or does not: torch looks for each graph."""
    import torch

    try:
        return torch.compiler.load_cache_artifacts(storage.get(key)) is not None
    except (MissingKey, DamagedFile):
        return False


def _speed_of(config: DatasetConfig, stage: str) -> SpeedConfig:
    """`edit` paints with the networks of `refine`."""
    settings = config.stage("refine" if stage == "edit" else stage)
    return getattr(settings, "speed", SpeedConfig())


def _digest(config: DatasetConfig, stages: Sequence[str]) -> str:
    """Of the libraries, the device and the settings that decide what is compiled."""
    from toffee_pipeline.models.loading import describe_device, pick_device

    parts = [describe_device(pick_device(config.device)), config.models.model_dump_json()]
    parts += [f"{name} {version(name)}" for name in ("torch", "diffusers")]
    parts += [f"{name} {config.stage(name).batch_size} {_speed_of(config, name)}" for name in stages]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
