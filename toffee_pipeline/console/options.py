"""What every job's command line shares: profile, overrides, and errors of one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, overload

import click
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from toffee_pipeline.config.generate import RunConfig

PROFILES = files("toffee_pipeline") / "profiles"
F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=BaseModel)


class UserError(click.ClickException):
    """Bad config or bad input: one line, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {self.format_message()}", err=True)


def profile_names(job: str = "generate") -> list[str]:
    paths = (PROFILES / job).iterdir()
    return sorted(path.name.removesuffix(".yaml") for path in paths if path.name.endswith(".yaml"))


def read_profile(job: str, name_or_path: str) -> str:
    """The YAML text of a packaged profile of the job, or of a file."""
    if name_or_path in profile_names(job):
        return (PROFILES / job / f"{name_or_path}.yaml").read_text()
    if not Path(name_or_path).is_file():
        raise UserError(
            f"--config {name_or_path!r}: allowed are {', '.join(profile_names(job))} or the path of a YAML file"
        )
    return Path(name_or_path).read_text()


def explain(error: ValidationError, config_class: type[BaseModel] = RunConfig) -> str:
    """Pydantic's first complaint as one line: key, value, what is allowed."""
    errors = error.errors()
    # a misspelt key explains a missing one
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    keys, owner, tags = _place(first["loc"], config_class)
    key = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return f"{key}: no such key; allowed: {', '.join(owner.model_fields)}"
    if first["type"].startswith("union_tag_"):
        name = first["ctx"]["discriminator"].strip("'")
        found = f"{first['ctx']['tag']!r} is not allowed" if "tag" in first["ctx"] else "field required"
        return f"{key}.{name}: {found}; allowed: {', '.join(tags)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("value_error", "missing"):
        return f"{key}: {message}" if key and not message.startswith(key.split(".")[0]) else message
    shown = repr(first["input"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}: {shown[:80]} is not allowed: {message[0].lower()}{message[1:]}{more}"


def _place(
    location: tuple[int | str, ...], config_class: type[BaseModel]
) -> tuple[list[str], type[BaseModel], dict[str, type[BaseModel]]]:
    """The keys of pydantic's location as a user writes them, the settings that hold the last, and its classes by tag.

    Where settings are one of several classes, pydantic puts the tag of the class between two keys.
    """
    keys: list[str] = []
    owner, tags = config_class, {"": config_class}
    for part in location:
        if len(tags) > 1 and isinstance(part, str):
            tags = {part: tags[part]}
            continue
        keys.append(str(part))
        if isinstance(part, str) and tags:  # an element of a list is of the class that the list's annotation names
            (owner,) = tags.values()
            tags = _by_tag(owner.model_fields[part].annotation) if part in owner.model_fields else {}
    return keys, owner, tags


def _by_tag(annotation: Any) -> dict[str, type[BaseModel]]:
    """The settings classes within an annotation, by the tag that tells those of a union apart."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        literals = (get_args(field.annotation) for field in annotation.model_fields.values())
        return {next((words[0] for words in literals if len(words) == 1), annotation.__name__): annotation}
    return {tag: found for part in get_args(annotation) for tag, found in _by_tag(part).items()}


@overload
def load_config(name_or_path: str, overrides: tuple[str, ...] = ()) -> RunConfig: ...
@overload
def load_config(name_or_path: str, overrides: tuple[str, ...], config_class: type[C]) -> C: ...
def load_config(name_or_path: str, overrides: tuple[str, ...] = (), config_class: type[Any] = RunConfig) -> Any:
    """A profile with `key=value` overrides. Values are YAML; nothing is interpolated, so no environment leaks in.

    Args:
        config_class: `RunConfig` or one of the training jobs'; its `job` names the folder of profiles.
    """
    try:
        base = yaml.safe_load(read_profile(config_class.job, name_or_path))
        if not isinstance(base, dict):
            raise UserError(f"--config {name_or_path}: a YAML mapping is expected")
        if "plan_hash" in base:  # the run.json of a run: the config that it was made with
            base = base["config"]
        for item in overrides:
            if "=" not in item or item.startswith("="):
                raise UserError(f"--set {item!r}: allowed is key=value, such as pairs.count=100")
        merged = OmegaConf.merge(OmegaConf.create(base), OmegaConf.from_dotlist(list(overrides)))
        return config_class.model_validate(OmegaConf.to_container(merged, resolve=False))
    except ValidationError as error:
        raise UserError(explain(error, config_class)) from error
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"config: {' '.join(str(error).split())}") from error


def job_options(default_config: str, config_class: type[Any] = RunConfig) -> Callable[[F], F]:
    """--config, --output, --set and --dry-run; the command is called with `config, output, dry_run`."""

    def decorate(command: F) -> F:
        @click.option(
            "--config", "profile", default=default_config, show_default=True, help="Profile, YAML file or a run.json."
        )
        @click.option("--output", required=True, help="Run directory: a local path or s3://bucket/prefix.")
        @click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a config key; repeatable."
        )
        @click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
        @functools.wraps(command)
        def wrapped(profile: str, overrides: tuple[str, ...], **options: Any) -> Any:
            return command(config=load_config(profile, overrides, config_class), **options)

        return wrapped  # type: ignore[return-value]

    return decorate


def stop_politely(message: str) -> NoReturn:
    """After Ctrl-C: says what is kept, and exits as shells expect."""
    click.echo(message, err=True)
    sys.exit(130)
