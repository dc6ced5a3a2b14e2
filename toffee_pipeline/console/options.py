"""What every job's command line shares: options, and errors of one line."""

from __future__ import annotations

import functools
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.console import interrupt
from toffee_pipeline.console.say import say
from toffee_pipeline.errors import ToffeeError

F = TypeVar("F", bound=Callable[..., Any])


class Job(click.Command):
    """A job's command. What the user can mend ends it with one line and exit code 2, what passes by itself with 75, a
    reader that has gone (`| head`) quietly, Ctrl-C with one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            interrupt.command_runs()
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # so that a reader that has gone is noticed here
        except (ToffeeError, OSError) as error:  # a full disk, say
            if isinstance(error, BrokenPipeError) and _reader_has_gone():
                _end_quietly()
            say(f"error: {error}", err=True)
            sys.exit(error.exit_code if isinstance(error, ToffeeError) else ToffeeError.exit_code)
        except KeyboardInterrupt as error:
            stop_politely(str(error) or "interrupted")


def config_options(default_config: str, config_class: type[Any] = RunConfig) -> Callable[[F], F]:
    """--config and --set; the command is called with `config`."""

    def decorate(command: F) -> F:
        @click.option(
            "--config",
            "sources",
            multiple=True,
            default=[default_config],
            show_default=default_config,
            metavar="NAME_OR_PATH",
            help="Profile, YAML file or a run.json; repeatable, each laid over those before.",
        )
        @click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a config key; repeatable."
        )
        @functools.wraps(command)
        def wrapped(sources: tuple[str, ...], overrides: tuple[str, ...], **options: Any) -> Any:
            return command(config=load_config(sources, overrides, config_class), **options)

        return wrapped  # type: ignore[return-value]

    return decorate


def job_options(default_config: str, config_class: type[Any] = RunConfig) -> Callable[[F], F]:
    """--config, --set, --output and --dry-run; the command is called with `config, output, dry_run`."""

    def decorate(command: F) -> F:
        command = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)
        command = click.option("--output", required=True, help="Run directory: a local path or s3://bucket/prefix.")(
            command
        )
        return config_options(default_config, config_class)(command)

    return decorate


def _reader_has_gone() -> bool:
    """Whether nobody reads stdout or stderr any more: the broken pipe is then theirs, and not a server's."""
    poll = select.poll()
    poll.register(1, 0)
    poll.register(2, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _end_quietly() -> NoReturn:
    """Whoever read the output has gone: nobody is there to hear of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)  # or Python would complain when it flushes
    sys.exit(128 + signal.SIGPIPE)


def stop_politely(message: str) -> NoReturn:
    """After Ctrl-C: says what is kept, and exits as shells expect."""
    say(message, err=True)
    sys.exit(interrupt.CODE)
