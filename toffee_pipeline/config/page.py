"""The page of all settings, from the models themselves: `python -m toffee_pipeline.config.page > docs/config.md`."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from toffee_pipeline.config.base import NotContent
from toffee_pipeline.config.keys import is_model
from toffee_pipeline.config.load import CONFIGS

HEAD = """# Settings

Every key of every job, from the models in `toffee_pipeline/config/`; the profiles lie in `toffee_pipeline/profiles/`.
Keys are dotted: the `strength` of [RefineConfig](#refineconfig), which is the `refine` of `stages`, is
`--set stages.refine.strength=0.5`. A number names an element of a list: `--set data.sources.0.path=runs/mine`. `null`
is none.

A run is refused under another value of a setting that decides what comes out. It goes on under another value of one
that is *free*, or of anything below it.
"""
BOUNDS = {
    annotated_types.Gt: "above",
    annotated_types.Ge: "from",
    annotated_types.Lt: "below",
    annotated_types.Le: "to",
    annotated_types.MultipleOf: "in steps of",
}
NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path", NoneType: "null"}


def page() -> str:
    """The whole page, as Markdown."""
    sections = [HEAD]
    written: set[type[BaseModel]] = set()
    for config in CONFIGS:
        for model in _reached(config):
            if model not in written:
                written.add(model)
                sections.append(_section(model))
    return "\n".join(sections)


def _reached(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model, those it takes keys from, and all below it, each before what it holds."""
    yield model
    for base in _bases(model):
        yield from _reached(base)
    for _, field in _own_fields(model):
        for inner in _models_in(field.annotation):
            yield from _reached(inner)


def _bases(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [base for base in model.__bases__ if issubclass(base, BaseModel) and base.model_fields]


def _own_fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [(name, field) for name, field in model.model_fields.items() if name in inspect.get_annotations(model)]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if is_model(annotation):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _section(model: type[BaseModel]) -> str:
    lines = [f"## {model.__name__}", ""]
    if model.__doc__:
        lines += [inspect.cleandoc(model.__doc__), ""]
    if bases := _bases(model):
        lines += [f"It has the keys of {' and '.join(map(_link, bases))}{' too' if _own_fields(model) else ''}.", ""]
    if fields := _own_fields(model):
        docstrings = _docstrings(model)
        lines += [
            "| key | allowed | default | |",
            "|---|---|---|---|",
            *(_row(name, field, docstrings.get(name, "")) for name, field in fields),
            "",
        ]
    return "\n".join(lines)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What stands below the model's own fields. Pydantic would read it in every process that imports the model."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: below.value.value
        for field, below in itertools.pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _row(name: str, field: FieldInfo, docstring: str) -> str:
    free = any(isinstance(mark, NotContent) for mark in field.metadata)
    meaning = " ".join((*(["*Free.*"] if free else []), *docstring.split()))
    return f"| `{name}` | {_allowed(field.annotation, field.metadata)} | {_default(field)} | {meaning} |"


def _link(model: type[BaseModel]) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        changed = field.default.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(changed)}`" if changed else ""
    return f"`{json.dumps(field.default)}`"


def _allowed(annotation: Any, marks: Sequence[Any]) -> str:
    """What a value may be, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _allowed(arguments[0], [*annotation.__metadata__, *marks])
    if origin in (Union, UnionType):
        return " or ".join(_allowed(member, marks) for member in arguments)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin is dict:
        return f"mapping of {_allowed(arguments[0], [])} to {_allowed(arguments[1], [])}"
    if origin is tuple:
        return f"list of {_allowed(arguments[0], [])}"
    if is_model(annotation):
        return _link(annotation)
    return " ".join((NAMES[annotation], *_bounds(marks)))


def _bounds(marks: Sequence[Any]) -> Iterator[str]:
    for mark in marks:
        if isinstance(mark, FieldInfo):
            yield from _bounds(mark.metadata)
        elif type(mark) in BOUNDS:
            (value,) = (getattr(mark, name) for name in type(mark).__dataclass_fields__)
            yield f"{BOUNDS[type(mark)]} {value if isinstance(value, int) else format(value, 'g')}"


if __name__ == "__main__":
    print(page(), end="")
