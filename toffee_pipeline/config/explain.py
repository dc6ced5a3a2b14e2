"""What pydantic complains about, as one line: key, value, what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from toffee_pipeline.config.keys import below, is_model, models_of, no_such_key, options
from toffee_pipeline.printable import printable


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first complaint about the content of a model, whose keys may be anybody's."""
    return printable(_first(error, model))


def _first(error: ValidationError, model: type[BaseModel]) -> str:
    errors = error.errors()
    # a misspelt key explains a missing one
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    place, owners = _locate(first["loc"], model)
    key = ".".join(place)
    message = first["msg"].removeprefix("Value error, ")
    kind = first["type"]
    if kind == "extra_forbidden":
        return no_such_key(key, owners, model, len(place) - 1)
    if kind.startswith("union_tag_"):
        context = first["ctx"]
        found = f"{context['tag']!r} is not allowed" if "tag" in context else "missing"
        allowed = context.get("expected_tags", ", ".join(map(repr, _tags(place, model))))
        return f"{key}.{context['discriminator'].strip(chr(39))}: {found}; allowed: {allowed}"
    if kind == "missing":
        layered = "; a file that says only what differs is laid over a profile: --config nano --config FILE"
        return f"{key}: missing{'' if any(map(str.isdecimal, place)) else layered}"
    if kind == "value_error":
        return f"{key}: {message}" if key and not message.startswith(key.split(".")[0]) else message
    value = f"{first['input']!r:.80}"
    if kind in ("model_type", "model_attributes_type"):
        names = list(dict.fromkeys(name for found in _at(place, model) for name in found.model_fields))
        return f"{key}: {value} is not allowed: it holds the keys {', '.join(names)}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}: {value} is not allowed: {message[0].lower()}{message[1:]}{more}"


def _locate(loc: Sequence[int | str], model: type[BaseModel]) -> tuple[list[str], list[Any]]:
    """The dotted key of a place in pydantic's words, and what its last part should be found in."""
    place: list[str] = []
    found: list[Any] = [model]
    owners = found
    for part in map(str, loc):
        among = [option for annotation in found for option in options(annotation)]
        tagged = [option for option in among if _is_tagged(option, part)]
        if tagged and not any(below(option, part) for option in among):
            found = owners = tagged  # which member of a union it is stands in the place, but in no key
            continue
        place.append(part)
        owners, found = found, [inner for annotation in found for inner in below(annotation, part)]
    return place, owners


def _at(place: Sequence[str], model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models that may lie at this place."""
    found: list[Any] = [model]
    for part in place:
        found = [inner for annotation in found for inner in below(annotation, part)]
    return models_of(found)


def _tags(place: Sequence[str], model: type[BaseModel]) -> list[str]:
    """The tags of the union at this place."""
    literals = [field.annotation for found in _at(place, model) for field in found.model_fields.values()]
    return [tag for literal in literals if get_origin(literal) is Literal for tag in get_args(literal)[:1]]


def _is_tagged(option: Any, tag: str) -> bool:
    """Whether it is the member of a discriminated union that has this tag."""
    return is_model(option) and any(tag in get_args(field.annotation) for field in option.model_fields.values())
