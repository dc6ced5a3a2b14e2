"""What the command line of an evaluation adds to its config: who draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toffee_pipeline.config.evaluate import EvaluationConfig, TrainedModel
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.evaluation.files import require_pictures
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.rundir.trained import find_toffeenet


def prepare(
    config: EvaluationConfig, model: str | None, images: Path | None, say: Callable[[str], None]
) -> EvaluationConfig:
    """The config with --model and --images in it.

    Raises:
        ConfigError: both are given, or not one picture is there.
        NoRun: the model is no finished training of ToffeeNet on this machine.
    """
    if model is not None and images is not None:
        raise ConfigError("--model and --images: allowed is one of them")
    if model is not None:
        trained = find_toffeenet(model)
        drawer = TrainedModel(**dict(trained.weights), training=trained.config)
        config = config.model_copy(update={"models": config.models.model_copy(update={"toffeenet": drawer})})
    if images is not None:
        config = config.model_copy(update={"images": images.absolute()})
    if config.images is not None:
        plan = EvaluationPlan(config)
        names = [row["source"] for index in range(len(plan)) for row in plan.rows(index) if row["kind"] == "drawn"]
        say(require_pictures(config.images, names))
    return config
