"""Brings the stages' figures to whom they concern while a run goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from actors.context import RunContext
from toffee_pipeline.storage.patience import Seldom

logger = logging.getLogger(__name__)


class Seen(NamedTuple):
    """stages: rows and seconds of each. retries: of shards. note: "" where nobody waits for a store. said: by actors,
    since the last look. held: actors that cannot start on their machine."""

    stages: Mapping[str, tuple[int, float]]
    retries: int
    note: str
    said: Sequence[str]
    held: int


@contextmanager
def watching(
    look: Callable[[], Seen],
    context: RunContext,
    seen_first: Callable[[Seen], None],
    every_s: float = 1.0,
) -> Iterator[None]:
    """Looks once in `every_s`, from a thread, and once at the end. What a look raises (a terminal or a disk for logs
    that has gone) ends neither the watch nor the run; it is logged once.

    seen_first: gets what was seen before anything is shown.
    """
    stop, known_retries, say_wait, failed = threading.Event(), 0, Seldom(context.say), False

    def look_and_show() -> None:
        nonlocal known_retries
        seen = look()
        seen_first(seen)
        for line in seen.said:
            context.say(line)
        if seen.note:
            say_wait(seen.note)
        context.show(seen.stages)
        context.metrics("toffee_retries", seen.retries - known_retries)  # a record that was replaced counts anew
        known_retries = seen.retries
        context.metrics.refresh()

    def try_to() -> None:
        nonlocal failed
        try:
            look_and_show()
        except Exception:
            if not failed:
                logger.warning("the run cannot be shown; it goes on", exc_info=True)
            failed = True

    def keep_looking() -> None:
        while not stop.wait(every_s):
            try_to()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        try_to()
