"""Which keys a config has: walks the types of its models."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def options(annotation: Any) -> list[Any]:
    """The types that a value may have: each member of a union, without what is annotated."""
    if get_origin(annotation) is Annotated:
        return options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [option for member in get_args(annotation) for option in options(member)]
    return [annotation]


def models_of(annotations: Iterable[Any]) -> list[type[BaseModel]]:
    """The models among what these may be."""
    return [option for annotation in annotations for option in options(annotation) if is_model(option)]


def below(annotation: Any, key: str) -> list[Any]:
    """What may lie under this key: of a model its field, of a dict its values, of a tuple its elements."""
    found = []
    for option in options(annotation):
        arguments = get_args(option)
        if is_model(option) and key in option.model_fields:
            found.append(option.model_fields[key].annotation)
        elif get_origin(option) is dict:
            found.append(arguments[1])
        elif get_origin(option) is tuple and key.isdecimal():
            found.append(arguments[0])
    return found


def is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def is_text(option: Any) -> bool:
    """Whether a value of it is a word, or a path."""
    return option in (str, Path) or (
        get_origin(option) is Literal and all(isinstance(word, str) for word in get_args(option))
    )


def is_scalar(option: Any) -> bool:
    """Whether a value of it is one word or number, and no list or mapping."""
    return option in (int, float, bool, NoneType) or is_text(option)


def no_such_key(key: str, owners: Sequence[Any], config_class: type[BaseModel], number: int) -> str:
    """The line about a key whose part of this number stands in none of `owners`."""
    parts = key.split(".")
    allowed = list(dict.fromkeys(name for model in models_of(owners) for name in model.model_fields))
    meant = _meant(parts, owners, config_class, number)
    question = f"; did you mean {meant}?" if meant else ""
    listed = f"; allowed: {', '.join(allowed)}" if allowed else "; it holds no keys"
    return f"{'.'.join(parts[: number + 1])}: no such key{question}{listed}"


def _meant(parts: Sequence[str], owners: Sequence[Any], config_class: type[BaseModel], number: int) -> str | None:
    """The only key elsewhere that ends in the same name, else one that is spelt nearly so in the same place."""
    elsewhere = [key for key in dotted_keys(config_class) if key.rpartition(".")[2] == parts[-1]]
    if len(elsewhere) == 1:
        return elsewhere[0]
    close = difflib.get_close_matches(".".join(parts[number:]), list(_alike(parts[number:], owners)), n=1)
    return ".".join((*parts[:number], *close)) if close else None


def _alike(parts: Sequence[str], owners: Sequence[Any]) -> Iterator[str]:
    """All keys of as many parts as `parts`."""
    for model in models_of(owners):
        for name, field in model.model_fields.items():
            if len(parts) == 1:
                yield name
            else:
                yield from (f"{name}.{rest}" for rest in _alike(parts[1:], [field.annotation]))


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys below a model, but for those inside lists."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in models_of([field.annotation]):
            yield from dotted_keys(inner, f"{prefix}{name}.")
