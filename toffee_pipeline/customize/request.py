"""What a person asks of a trained ToffeeNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True)
class Request:
    """New pictures of a subject, or edits of the first picture of it.

    subjects: uint8 (H, W, 3) each, any sizes, all of the same subject; the centred square of each is seen.
    prompt: what is to be drawn. class_name: what the subject is, for Grounded-SAM; empty: the prompt.
    seeds: one per picture.
    mask: bool (H, W) of the first picture's size, True where it is repainted, within its centred square; "auto": the
        subject, as Grounded-SAM finds it; None: a new picture.
    depth: float32 (H, W) in 0..1, 1 = nearest, of any size, whose structure is kept; "auto": that of the first
        picture; None: a new view.
    dino_scale: lambda. dino_guidance_scale: of the DINO tokens apart from the text; None: together.
    """

    subjects: tuple[np.ndarray, ...]
    prompt: str
    seeds: tuple[int, ...] = (0,)
    class_name: str = ""
    mask: np.ndarray | Literal["auto"] | None = None
    depth: np.ndarray | Literal["auto"] | None = None
    dino_scale: float = 0.8
    dino_guidance_scale: float | None = None

    @property
    def phrase(self) -> str:
        """What Grounded-SAM looks for."""
        return self.class_name or self.prompt
