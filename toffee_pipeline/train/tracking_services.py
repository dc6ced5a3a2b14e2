"""Weights & Biases and MLflow. Their servers, keys and folders come from their own environment variables."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from toffee_pipeline.config.train import TrackingConfig
from toffee_pipeline.errors import TrackerError

logger = logging.getLogger(__name__)
MLFLOW_BATCH = 100
"""Parameters of one request."""


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


class Service(Protocol):
    """Where curves and images are sent besides the run directory. `id` finds the run again after a resume."""

    id: str

    def log(self, step: int, values: dict[str, float]) -> None: ...

    def images(self, step: int, name: str, image: np.ndarray) -> None: ...

    def close(self, failed: bool) -> None: ...


def _load(package: str, extra: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise TrackerError(
            f"tracking.{extra}=true needs a package that is not installed: pip install -e '.[{extra}]'"
        ) from error


def check_installed(config: TrackingConfig) -> None:
    """Raises TrackerError where the package of a service that `config` asks for is missing."""
    for extra in (name for name in ("wandb", "mlflow") if getattr(config, name)):
        _load(extra, extra)


def _line(error: Exception) -> str:
    """One line, without the user and password that a server's URL may hold."""
    return re.sub(r"//[^/@\s]+@", "//", " ".join(str(error).split())) or type(error).__name__


class WeightsAndBiases:
    """A run of a W&B project. W&B sends in the background, and ignores steps before the last one that it has."""

    def __init__(self, project: str, run_name: str, settings: dict[str, Any], id: str | None) -> None:
        self._wandb = _load("wandb", "wandb")
        try:
            self._run = self._wandb.init(
                project=project,
                name=run_name,
                id=id,
                resume="allow",
                config=settings,
                settings=self._wandb.Settings(console="off"),  # Ray reads the workers' output already
            )
        except self._wandb.Error as error:
            raise TrackerError(f"W&B: {_line(error)}") from error
        self.id: str = self._run.id

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def images(self, step: int, name: str, image: np.ndarray) -> None:
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class MLflow:
    """A run of an MLflow experiment, by the client alone: no state of the process changes.

    A server that fails while training runs costs points of its curves and a warning, not the training.
    """

    def __init__(self, experiment: str, run_name: str, settings: dict[str, Any], id: str | None) -> None:
        self._mlflow = _load("mlflow", "mlflow")
        try:
            self._client = self._mlflow.MlflowClient()
            self.id, self._last_step = id or "", -1
            if id is None:
                self.id = self._start(experiment, run_name, settings)
            else:
                self._last_step = self._continue()
        except self._mlflow.MlflowException as error:
            raise TrackerError(f"MLflow: {_line(error)}") from error

    def _start(self, experiment: str, run_name: str, settings: dict[str, Any]) -> str:
        known = self._client.get_experiment_by_name(experiment)
        experiment_id = known.experiment_id if known else self._client.create_experiment(experiment)
        run_id: str = self._client.create_run(experiment_id, run_name=run_name).info.run_id
        limit = self._mlflow.utils.validation.MAX_PARAM_VAL_LENGTH
        params = [self._mlflow.entities.Param(key, str(value)[:limit]) for key, value in _flatten(settings).items()]
        for start in range(0, len(params), MLFLOW_BATCH):
            self._client.log_batch(run_id, params=params[start : start + MLFLOW_BATCH])
        return run_id

    def _continue(self) -> int:
        """The last step that a killed try has sent: MLflow would show a step that comes again twice."""
        metrics = self._client.get_run(self.id).data.metrics
        self._client.update_run(self.id, status="RUNNING")
        return max(
            (point.step for name in metrics for point in self._client.get_metric_history(self.id, name)), default=-1
        )

    def log(self, step: int, values: dict[str, float]) -> None:
        if step <= self._last_step:
            return
        now_ms = int(time.time() * 1000)
        metrics = [self._mlflow.entities.Metric(name, value, now_ms, step) for name, value in values.items()]
        with self._or_warning():
            self._client.log_batch(self.id, metrics=metrics)

    def images(self, step: int, name: str, image: np.ndarray) -> None:
        with self._or_warning():
            self._client.log_image(self.id, image, artifact_file=f"{name}/step-{step:08d}.png")

    def close(self, failed: bool) -> None:
        with self._or_warning():
            self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")

    @contextmanager
    def _or_warning(self) -> Iterator[None]:
        try:
            yield
        except self._mlflow.MlflowException as error:
            logger.warning("MLflow: %s; training goes on", _line(error))


SERVICES: dict[str, Callable[[str, str, dict[str, Any], str | None], Service]] = {
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}
"""By their switch in the config. Arguments: project, run name, settings, and the id of the run to continue."""
