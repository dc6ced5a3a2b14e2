"""The settings that a calibration turns: where each stands, what a pair feels of it, and what is written of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from toffee_pipeline.config.base import OUTSIDE, Category, Model
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.schema.pairs import Pair

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True)
class Knob:
    """name: its field of `SweepsConfig`. path: its key below `stages`. of: its value for the pairs of a category;
    edited: as in `Pair`. by_category: a category has a value of its own, in a mapping under `path`.
    """

    name: str
    label: str
    path: tuple[str, ...]
    of: Callable[[RunConfig, Category, Category | None], float]
    by_category: bool = False

    @property
    def stage(self) -> Literal["draft", "refine"]:
        return "draft" if self.path[0] == "draft" else "refine"

    def turned(self, config: C, values: Mapping[Category, float]) -> C:
        """The config with these values. One that has no value per category takes the only one that is given."""
        new: Any = dict(values)
        if not self.by_category:
            (new,) = set(values.values())
        changed: C = _with(config, ("stages", *self.path), new)
        return changed

    def settings(self, values: Mapping[Category, float]) -> dict[str, Any]:
        """What a config file has of it, from its top."""
        found: Any = dict(values) if self.by_category else next(iter(values.values()))
        for key in reversed(("stages", *self.path)):
            found = {key: found}
        return found


def _with(model: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of nested models with one field changed; a mapping is laid over the one that is there."""
    name, *rest = path
    old = getattr(model, name)
    if rest:
        value = _with(old, rest, value)
    elif isinstance(value, dict):
        value = old | value
    assert isinstance(model, Model)
    return model.model_copy(update={name: value})


KNOBS: tuple[Knob, ...] = (
    Knob(
        "draft_guidance_scale",
        "guidance of the draft",
        ("draft", "sampling", "guidance_scale"),
        lambda config, *_: config.stages.draft.sampling.guidance_scale,
    ),
    Knob(
        "controlnet_conditioning_scale",
        "conditioning scale",
        ("draft", "controlnet_conditioning_scale"),
        lambda config, *_: config.stages.draft.controlnet_conditioning_scale,
    ),
    Knob(
        "edit_controlnet_conditioning_scale",
        "conditioning scale of edits",
        ("draft", "edit_controlnet_conditioning_scale"),
        lambda config, category, edited: config.stages.draft.scale_of(edited),
        by_category=True,
    ),
    Knob(
        "edit_strength",
        "edit strength",
        ("draft", "edit_strength"),
        lambda config, category, edited: config.stages.draft.strength_of(edited),
        by_category=True,
    ),
    Knob(
        "a",
        "a",
        ("refine", "a_by_category"),
        lambda config, category, edited: config.stages.refine.a_of(category),
        by_category=True,
    ),
    Knob("g", "g", ("refine", "g"), lambda config, *_: config.stages.refine.g),
    Knob(
        "matching_radius",
        "matching radius",
        ("refine", "matching_radius"),
        lambda config, *_: config.stages.refine.matching_radius,
    ),
    Knob("strength", "t0", ("refine", "strength"), lambda config, *_: config.stages.refine.strength),
    Knob(
        "guidance_scale",
        "guidance of the Refiner",
        ("refine", "sampling", "guidance_scale"),
        lambda config, *_: config.stages.refine.sampling.guidance_scale,
    ),
)
"""In the order of `SweepsConfig`."""


def feels(config: RunConfig, pair: Pair) -> dict[str, float]:
    """What a pair's pictures follow from, by knob; under two configs in which it feels the same they are the same.

    A generation pair feels no setting of edits, a scale of its own hides the common one, and without a share of the
    subject (a = 0, or a change around it that `edit` leaves to the draft) neither a match nor the Refiner's settings
    count. pair: one that is drawn; one that turns another round feels what that one does.
    """
    found = {knob.name: knob.of(config, pair.category, pair.edited) for knob in KNOBS}
    if pair.kind == "generation":
        hidden = {"edit_strength", "edit_controlnet_conditioning_scale"}
    else:
        hidden = {"controlnet_conditioning_scale"}
        if pair.region in OUTSIDE or found["a"] == 0:
            hidden |= {knob.name for knob in KNOBS if knob.stage == "refine"}
    if found["a"] == 0:
        hidden |= {"g", "matching_radius"}
    return {name: value for name, value in found.items() if name not in hidden}


def key_of(felt: Mapping[str, float], only: Collection[str] | None = None) -> str:
    """As a text that is equal where it is. only: of these knobs."""
    return json.dumps({name: float(value) for name, value in felt.items() if only is None or name in only})


DRAFT_KNOBS = frozenset(knob.name for knob in KNOBS if knob.stage == "draft")
