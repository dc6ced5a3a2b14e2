"""What the three jobs train: one `Task` each."""

from toffee_pipeline.config.train import (
    RefinerTraining,
    ToffeeNetTraining,
    TrainingConfig,
    ViewGeneratorTraining,
)
from toffee_pipeline.train.tasks.base import Task
from toffee_pipeline.train.tasks.refiner import RefinerTask
from toffee_pipeline.train.tasks.toffeenet import ToffeeNetTask
from toffee_pipeline.train.tasks.view_generator import ViewGeneratorTask

TASKS: dict[type[TrainingConfig], type[Task]] = {
    RefinerTraining: RefinerTask,
    ViewGeneratorTraining: ViewGeneratorTask,
    ToffeeNetTraining: ToffeeNetTask,
}


def make_task(config: TrainingConfig) -> Task:
    """The task that a config describes."""
    return TASKS[type(config)](config)
