"""What is seen of a training: curves and sample grids, in the run directory and where else the config asks for."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch.utils.tensorboard import SummaryWriter

from toffee_pipeline.config.train import TrackingConfig
from toffee_pipeline.errors import MissingKey, TrackerError
from toffee_pipeline.images import encode_png
from toffee_pipeline.rundir.layout import TENSORBOARD, TRACKING
from toffee_pipeline.rundir.run_file import RunFile, read, write
from toffee_pipeline.storage import Storage
from toffee_pipeline.train.tracking_services import SERVICES, Service

__all__ = ["Tracker", "TrackerError"]

EVENT_FILE = re.compile(TENSORBOARD + r"/events\.out\.tfevents\.(\d+)")
MAX_FILE_BYTES = 16 * 2**20
"""An event file above this is closed: object stores cannot append, so each flush copies the whole open file."""


class TrackingIds(RunFile):
    """Ids of the runs at the services, so that a resumed training continues them."""

    wandb: str | None = None
    mlflow: str | None = None


class Tracker:
    """Curves and pictures of one training; rank 0 has the only one.

    TensorBoard event files lie in the run directory below `tensorboard/`, on local disk as on S3, up to the last
    `flush`. Weights & Biases and MLflow come on top of that where `config` says so.

    Args:
        run_name: what the services call the run; they continue one that `tracking.json` names.
        settings: the config as JSON values, shown beside the curves.
        start_step: the steps that are done. What a killed try logged beyond is not shown twice: TensorBoard shows the
            new values, W&B and MLflow keep the old ones.

    Raises:
        TrackerError: a service's package is missing, or the service refuses.
        StorageError: the run directory cannot be read or written.
    """

    def __init__(
        self, config: TrackingConfig, storage: Storage, run_name: str, settings: dict[str, Any], start_step: int
    ) -> None:
        self._storage = storage
        self._services = _open_services(config, storage, run_name, settings)
        self._curves = _TensorBoard(storage, settings, start_step)

    def log(self, step: int, values: dict[str, float]) -> None:
        """One point of every curve in `values`."""
        numbers = {name: float(value) for name, value in values.items()}
        self._curves.log(step, numbers)
        for service in self._services:
            service.log(step, numbers)

    def images(self, step: int, name: str, image: np.ndarray) -> None:
        """A uint8 picture (H, W, 3), which is also put as PNG under the key `NAME/step-00001000.png`."""
        self._storage.put(f"{name}/step-{step:08d}.png", encode_png(image, level=6))
        self._curves.images(step, name, image)
        for service in self._services:
            service.images(step, name, image)

    def flush(self) -> None:
        """Copies what TensorBoard shows into the run directory. Raises StorageError."""
        self._curves.flush()

    def close(self, failed: bool = False) -> None:
        """Flushes and ends; `failed` is what the services show as the run's end."""
        try:
            self._curves.close()
        finally:
            for service in self._services:
                service.close(failed)


def _open_services(config: TrackingConfig, storage: Storage, run_name: str, settings: dict[str, Any]) -> list[Service]:
    try:
        ids = read(storage, TRACKING, TrackingIds)
    except MissingKey:
        ids = TrackingIds()
    services: list[Service] = []
    for name in (name for name in SERVICES if getattr(config, name)):
        known = getattr(ids, name)
        service = SERVICES[name](config.project, run_name, settings, known)
        services.append(service)
        if service.id != known:
            ids = ids.model_copy(update={name: service.id})
            write(storage, TRACKING, ids)
    return services


class _TensorBoard:
    """Event files, written in a temporary folder one after the other, each put under a name of its own.

    Their numbers give the order in which TensorBoard reads them, whatever the clocks of the machines say.
    """

    def __init__(self, storage: Storage, settings: dict[str, Any], start_step: int) -> None:
        self._storage = storage
        self._folder = tempfile.TemporaryDirectory(prefix="toffee-tensorboard-")
        known = (EVENT_FILE.fullmatch(key) for key, _ in storage.list(f"{TENSORBOARD}/"))
        self._number = max((int(name[1]) for name in known if name), default=0)
        # From this step on, TensorBoard forgets what earlier files say.
        self._open(purge_step=start_step + 1 if start_step else 0)
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        self._writer.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()), start_step)

    def _open(self, purge_step: int | None = None) -> None:
        self._number += 1
        folder = Path(self._folder.name, str(self._number))
        self._writer = SummaryWriter(str(folder), purge_step=purge_step)
        (self._path,) = folder.iterdir()
        self._copied_bytes = 0

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def images(self, step: int, name: str, image: np.ndarray) -> None:
        self._writer.add_image(name, image, step, dataformats="HWC")

    def flush(self) -> None:
        self._writer.flush()
        num_bytes = self._path.stat().st_size
        if num_bytes == self._copied_bytes:
            return
        self._storage.put_file(f"{TENSORBOARD}/events.out.tfevents.{self._number:06d}", self._path)
        self._copied_bytes = num_bytes
        if num_bytes > MAX_FILE_BYTES:
            self._writer.close()
            self._path.unlink()
            self._open()

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._writer.close()
            self._folder.cleanup()
