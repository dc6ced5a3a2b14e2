"""What lies in a folder of somebody's data, but for what their system left there."""

from __future__ import annotations

from collections.abc import Iterator

from toffee_pipeline.plan.folder import SYSTEM_NAMES
from toffee_pipeline.storage import Storage

BUFFER_BYTES = 64 * 1024
"""What is fetched at once of a file that is read line by line, or header by header."""


def visible(storage: Storage) -> Iterator[tuple[str, int]]:
    """Key and size in bytes, sorted by key, but of hidden files and folders and those of the system."""
    return ((key, size) for key, size in storage.list() if not any(map(_is_hidden, key.split("/"))))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_NAMES
