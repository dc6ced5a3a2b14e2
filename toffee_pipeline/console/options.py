"""What every job's command line shares: options, and errors of one line."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ToffeeError

F = TypeVar("F", bound=Callable[..., Any])


class Job(click.Command):
    """A job's command. What the user can mend ends it with one line and exit code 2, a reader that has gone (`| head`)
    quietly, Ctrl-C with one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _end_quietly()
        except (ToffeeError, OSError) as error:  # a full disk, say
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            stop_politely("interrupted")


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


def _end_quietly() -> NoReturn:
    """Whoever read the output has gone: nobody is there to hear of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain when it flushes
    sys.exit(128 + signal.SIGPIPE)


def stop_politely(message: str) -> NoReturn:
    """After Ctrl-C: says what is kept, and exits as shells expect."""
    click.echo(message, err=True)
    sys.exit(130)
