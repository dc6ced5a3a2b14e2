"""Image files of the user as a `ListedSource`: a run goes on with the same ones only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Self

from toffee_pipeline.plan.folder import FolderImage, first_difference, from_bytes, to_bytes, to_lines


class ListedImages:
    """Files below a folder, sorted by path."""

    def __init__(self, images: Sequence[FolderImage]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def stored(cls, data: bytes, name: str) -> Self:
        """As an earlier start listed them. Raises PlanError where the list is damaged."""
        return cls(from_bytes(data, name))

    @property
    def digest(self) -> str:
        return hashlib.sha256(to_lines(self.images)).hexdigest()

    def to_bytes(self) -> bytes:
        return to_bytes(self.images)

    def change(self, listed: bytes, name: str) -> str | None:
        return first_difference(from_bytes(listed, name), self.images)
