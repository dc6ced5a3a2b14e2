"""From profiles, files and `key=value` overrides to a config. Nothing is interpolated, so no environment leaks in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ValidationError

from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.config.endpoint import OF_COMMANDS, keys_of_commands, refusal
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.config.explain import explain
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.keys import below, is_scalar, no_such_key, options
from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, ViewGeneratorTraining
from toffee_pipeline.config.yaml_file import read_yaml
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.printable import printable

PROFILES = files("toffee_pipeline") / "profiles"
CONFIGS = (
    RunConfig,
    SubjectBankConfig,
    RefinementConfig,
    RefinerTraining,
    ViewGeneratorTraining,
    ToffeeNetTraining,
    EvaluationConfig,
    RefilterConfig,
    ExpansionConfig,
    CalibrationConfig,
)
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
        sources: each a packaged profile of the job, the path of a YAML file, or of the run.json of a run. Mappings are
            merged, anything else is replaced.
        overrides: `key=value` with dotted keys, a number for an element of a list. The value is taken as it stands,
            null for none; where the setting is a list or a mapping, it is YAML.
        config_class: one of `CONFIGS`; its `job` names the folder of profiles.

    Raises ConfigError, one line.
    """
    settings: dict[str, Any] = {}
    for source in [sources] if isinstance(sources, str) else sources:
        settings = _laid_over(settings, _read(source, config_class))
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {item!r}: allowed is key=value, such as pairs.count=100")
        settings = _with(settings, key.split("."), _value(key, text, config_class), key)
    try:
        return config_class.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(explain(error, config_class)) from error


def _read(source: str, config_class: type[Any]) -> dict[str, Any]:
    job = config_class.job
    if source in profile_names(job):
        content = read_yaml((PROFILES / job / f"{source}.yaml").read_bytes(), f"profile {source}")
    elif Path(source).is_file():
        content = read_yaml(read_plain(Path(source)), f"--config {source}")
    else:
        raise ConfigError(
            f"--config {source!r}: allowed are {', '.join(profile_names(job))} or the path of a YAML file"
        )
    if not isinstance(content, dict):
        raise ConfigError(f"--config {source}: a YAML mapping of settings is expected")
    for key, value in keys_of_commands(content) if source not in profile_names(job) else ():
        raise ConfigError(printable(f"--config {source}: {key}: {refusal(value, OF_COMMANDS[key.rpartition('.')[2]])}"))
    if isinstance(run := content.get("config"), dict):  # of a run.json
        content, jobs = run, [content.get("job", RunConfig.job)]
    else:
        jobs = [each.job for each in CONFIGS if content.keys() <= each.model_fields.keys()]
    if jobs and job not in jobs:
        raise ConfigError(f"--config {source}: settings of jobs/{jobs[0]}.py, not of jobs/{job}.py")
    return content


def _laid_over(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return old | {
        key: _laid_over(old[key], value) if isinstance(value, dict) and isinstance(old.get(key), dict) else value
        for key, value in new.items()
    }


def _value(key: str, text: str, config_class: type[BaseModel]) -> Any:
    """The value of an override, read as its setting's type asks for. Raises ConfigError for an unknown key."""
    found: list[Any] = [config_class]
    for number, part in enumerate(key.split(".")):
        inner = [each for annotation in found for each in below(annotation, part)]
        if not inner:
            raise ConfigError(no_such_key(key, found, config_class, number))
        found = inner
    among = [option for annotation in found for option in options(annotation)]
    if all(map(is_scalar, among)):  # pydantic reads numbers and true or false; YAML would take 010 for 8
        return None if text == "null" and type(None) in among else text
    return read_yaml(text.encode(errors="surrogateescape"), f"--set {key}")


def _with(tree: Any, place: Sequence[str], value: Any, key: str) -> Any:
    """Nested dicts and lists with a value at this place; what is missing or null on the way becomes a dict."""
    if not place:
        return value
    part, rest = place[0], place[1:]
    if isinstance(tree, list):
        if not part.isdecimal() or int(part) >= len(tree):
            raise ConfigError(f"{key}: no element {part} among {len(tree)}; to add one, set the whole list")
        index = int(part)
        return [*tree[:index], _with(tree[index], rest, value, key), *tree[index + 1 :]]
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{key}: above it stands {tree!r:.80}, which holds no keys")
    old = tree or {}
    return {**old, part: _with(old.get(part), rest, value, key)}
