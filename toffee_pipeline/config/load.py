"""From profiles, files and `key=value` overrides to a config. Nothing is interpolated, so no environment leaks in."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, overload

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import ConfigError

PROFILES = files("toffee_pipeline") / "profiles"
C = TypeVar("C", bound=BaseModel)


def profile_names(job: str = "generate") -> list[str]:
    """Names of the packaged profiles of a job."""
    paths = (PROFILES / job).iterdir()
    return sorted(path.name.removesuffix(".yaml") for path in paths if path.name.endswith(".yaml"))


@overload
def load_config(sources: str | Sequence[str], overrides: Sequence[str] = ()) -> RunConfig: ...
@overload
def load_config(sources: str | Sequence[str], overrides: Sequence[str], config_class: type[C]) -> C: ...
def load_config(
    sources: str | Sequence[str], overrides: Sequence[str] = (), config_class: type[Any] = RunConfig
) -> Any:
    """The config that the sources describe, one laid over the other, under the overrides.

    Args:
        sources: each a packaged profile of the job, the path of a YAML file, or of the run.json of a run.
        overrides: `key=value` with dotted keys. The value of a text or a path is taken as it stands, null for none;
            any other is YAML.
        config_class: `RunConfig` or one of the training jobs'; its `job` names the folder of profiles.

    Raises ConfigError, one line.
    """
    try:
        layers = [_read(config_class.job, source) for source in ([sources] if isinstance(sources, str) else sources)]
        merged = OmegaConf.merge(*map(OmegaConf.create, layers))
        for item in overrides:
            key, equals, text = item.partition("=")
            if not equals or not key:
                raise ConfigError(f"--set {item!r}: allowed is key=value, such as pairs.count=100")
            OmegaConf.update(merged, key, _value(key, text, config_class), merge=False, force_add=True)
        settings = OmegaConf.to_container(merged, resolve=False)
    except (OmegaConfBaseException, ValueError, TypeError, IndexError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"config: {_line(error)}") from error
    try:
        return config_class.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(explain(error, config_class)) from error


def _read(job: str, source: str) -> dict[str, Any]:
    if source in profile_names(job):
        content = yaml.safe_load((PROFILES / job / f"{source}.yaml").read_bytes())
    elif Path(source).is_file():
        try:
            content = yaml.safe_load(Path(source).read_bytes())
        except yaml.YAMLError as error:
            raise ConfigError(f"--config {source}: {_line(error)}") from error
    else:
        raise ConfigError(
            f"--config {source!r}: allowed are {', '.join(profile_names(job))} or the path of a YAML file"
        )
    if not isinstance(content, dict):
        raise ConfigError(f"--config {source}: a YAML mapping is expected")
    run = content.get("config")  # of a run.json
    return run if isinstance(run, dict) else content


def _value(key: str, text: str, config_class: type[BaseModel]) -> Any:
    """The value of an override, read as its setting's type asks for. Raises ConfigError for an unknown key."""
    found: list[Any] = [config_class]
    for number, part in enumerate(key.split(".")):
        below = [inner for annotation in found for inner in _below(annotation, part)]
        if not below:
            raise ConfigError(_no_such_key(key, found, config_class, number))
        found = below
    options = [option for annotation in found for option in _options(annotation)]
    if all(option is NoneType or _is_text(option) for option in options):
        return None if text == "null" and NoneType in options else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}={text}: no valid YAML: {_line(error)}") from error


def explain(error: ValidationError, config_class: type[BaseModel] = RunConfig) -> str:
    """Pydantic's first complaint as one line: key, value, what is allowed."""
    errors = error.errors()
    # a misspelt key explains a missing one
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    place, owners = _locate(first["loc"], config_class)
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        return _no_such_key(key, owners, config_class, len(place) - 1)
    if first["type"].startswith("union_tag_"):
        context = first["ctx"]
        found = f"{context['tag']!r} is not allowed" if "tag" in context else "missing"
        allowed = context.get("expected_tags", ", ".join(map(repr, _tags(place, config_class))))
        return f"{key}.{context['discriminator'].strip(chr(39))}: {found}; allowed: {allowed}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        layered = "; a file that says only what differs is laid over a profile: --config nano --config FILE"
        return f"{key}: missing{layered if len(place) == 1 else ''}"
    if first["type"] == "value_error":
        return f"{key}: {message}" if key and not message.startswith(key.split(".")[0]) else message
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}: {first['input']!r:.80} is not allowed: {message[0].lower()}{message[1:]}{more}"


def _locate(loc: Sequence[int | str], config_class: type[BaseModel]) -> tuple[list[str], list[Any]]:
    """The dotted key of a place in pydantic's words, and what its last part should be found in."""
    place: list[str] = []
    found: list[Any] = [config_class]
    owners = found
    for part in map(str, loc):
        options = [option for annotation in found for option in _options(annotation)]
        tagged = [option for option in options if _is_tagged(option, part)]
        if tagged and not any(_below(option, part) for option in options):
            found = owners = tagged  # which member of a union it is stands in the place, but in no key
            continue
        place.append(part)
        owners, found = found, [inner for annotation in found for inner in _below(annotation, part)]
    return place, owners


def _tags(place: Sequence[str], config_class: type[BaseModel]) -> list[str]:
    """The tags of the union at this place."""
    found: list[Any] = [config_class]
    for part in place:
        found = [inner for annotation in found for inner in _below(annotation, part)]
    options = [option for annotation in found for option in _options(annotation) if _is_model(option)]
    literals = [field.annotation for option in options for field in option.model_fields.values()]
    return [tag for literal in literals if get_origin(literal) is Literal for tag in get_args(literal)[:1]]


def _no_such_key(key: str, owners: Sequence[Any], config_class: type[BaseModel], number: int) -> str:
    models = [option for owner in owners for option in _options(owner) if _is_model(option)]
    allowed = [name for model in models for name in model.model_fields]
    wrong = ".".join(key.split(".")[: number + 1])
    close = difflib.get_close_matches(key, list(_keys(config_class)), n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    listed = f"; allowed: {', '.join(dict.fromkeys(allowed))}" if allowed else "; it holds no keys"
    return f"{wrong}: no such key{meant}{listed}"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All dotted keys below a model."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for option in _options(field.annotation):
            if _is_model(option):
                yield from _keys(option, f"{prefix}{name}.")


def _options(annotation: Any) -> list[Any]:
    """The types that a value may have: each member of a union, without what is annotated."""
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [option for member in get_args(annotation) for option in _options(member)]
    return [annotation]


def _below(annotation: Any, key: str) -> list[Any]:
    """What may lie under this key: of a model its field, of a dict its values, of a tuple its elements."""
    found = []
    for option in _options(annotation):
        arguments = get_args(option)
        if _is_model(option) and key in option.model_fields:
            found.append(option.model_fields[key].annotation)
        elif get_origin(option) is dict:
            found.append(arguments[1])
        elif get_origin(option) is tuple and key.isdigit():
            found.append(arguments[0])
    return found


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _is_tagged(option: Any, tag: str) -> bool:
    """Whether it is the member of a discriminated union that has this tag."""
    return _is_model(option) and any(tag in get_args(field.annotation) for field in option.model_fields.values())


def _is_text(option: Any) -> bool:
    return option in (str, Path) or (
        get_origin(option) is Literal and all(isinstance(word, str) for word in get_args(option))
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
