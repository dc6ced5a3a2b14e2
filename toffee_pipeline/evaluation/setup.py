"""What the command line of an evaluation adds to its config: who draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from toffee_pipeline.config.evaluate import EvaluationConfig, TrainedModel
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.evaluation.files import require_pictures
from toffee_pipeline.evaluation.training_data import datasets_of
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.rundir.layout import CONTAMINATION
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.rundir.trained import find_toffeenet
from toffee_pipeline.storage import Storage


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
        say(require_pictures(EvaluationPlan(config)))
    return config


def find_contamination(config: EvaluationConfig, training: str, storage: Storage, dry_run: bool) -> Iterator[str]:
    """Lines about what of the benchmark a training has seen; all of it stands in contamination.json."""
    datasets, unchecked = datasets_of(training, config.output.endpoint_url)
    if dry_run:
        yield f"would read {', '.join(dataset.uri for dataset in datasets) or 'nothing'}"
        yield from (f"not checked: {what}" for what in unchecked)
        return
    from toffee_pipeline.evaluation.contamination import check_contamination, lines  # loads torch

    found = check_contamination(config, training)
    write(storage, CONTAMINATION, found)
    yield from lines(found)
    yield f"written: {storage.path_for(CONTAMINATION)}"
