"""Thresholds for encoders that the config's own were not made for, from pairs whose truth is known without a label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toffee_pipeline.config.calibrate import CalibrationSettings
from toffee_pipeline.rundir.run_file import Part, RunFile
from toffee_pipeline.schema.subject_key import subject_key
from toffee_pipeline.schema.subjects import Subject

GRID = np.arange(-100, 101) / 100
"""Thresholds that are looked at: hundredths."""


@dataclass(frozen=True)
class Seen:
    """A subject as the filter's encoders see it.

    image, views: DINO's embeddings of its image and of what the View Generator drew of it. clip_image, clip_text:
    CLIP's of its image and prompt. float (c,) each, of any length.
    """

    subject: Subject
    image: np.ndarray
    views: tuple[np.ndarray, ...]
    clip_image: np.ndarray
    clip_text: np.ndarray


class Cosines(Part):
    """Of pairs that belong together, and of pairs that do not."""

    true: list[float]
    false: list[float]


class EncoderScores(RunFile):
    """What the filter's encoders say of the sample."""

    min_dino: Cosines
    min_clip: Cosines


@dataclass(frozen=True)
class Proposal:
    """A threshold; None where there is no pair to find it by.

    key: of `stages.judge`. bar: of which share, and `share`: how much of it was asked for. kept, refused: shares of
    true and of false pairs that the threshold gives; None without such pairs.
    """

    key: str
    bar: Literal["kept", "refused"]
    share: float
    threshold: float | None
    kept: float | None
    refused: float | None
    cosines: Cosines


def compare(seen: Sequence[Seen]) -> EncoderScores:
    """Cosines of the known pairs.

    DINO, true: a subject and another view of it, the View Generator's, or another of its own images where a folder has
    more. False: a subject and such a view of another subject of its class. CLIP, true: an image and its prompt; false:
    an image and the prompt of another subject of its class, where that says something else.
    """
    views, others, own_text, other_text = [], [], [], []
    for each in seen:
        own_text.append(_cosine(each.clip_image, each.clip_text))
        views += [_cosine(each.image, view) for view in each.views]
        for other in _same_class(each, seen):
            shown = other.views or (other.image,)
            if subject_key(other.subject) == subject_key(each.subject):
                if other.subject.path != each.subject.path:
                    views.append(_cosine(each.image, other.image))
                continue
            others += [_cosine(each.image, view) for view in shown]
            if other.subject.prompt != each.subject.prompt:
                other_text.append(_cosine(each.clip_image, other.clip_text))
    return EncoderScores(min_dino=Cosines(true=views, false=others), min_clip=Cosines(true=own_text, false=other_text))


def propose(scores: EncoderScores, settings: CalibrationSettings) -> tuple[Proposal, Proposal]:
    """`min_dino` and `min_clip`. A lost subject spoils a dataset and a refused pair costs a pair, so DINO's bar is what
    it refuses; CLIP cannot tell every change, so its bar is what it keeps."""
    dino, clip = scores.min_dino, scores.min_clip
    return (
        _proposal("min_dino", "refused", settings.refuse, lowest_refusing(dino.false, settings.refuse), dino),
        _proposal("min_clip", "kept", settings.keep, highest_keeping(clip.true, settings.keep), clip),
    )


def lowest_refusing(false: Sequence[float], share: float) -> float | None:
    """The lowest threshold, in hundredths, below which at least this share lies; None where no hundredth does."""
    if not false or not (there := GRID[shares_below(false) >= share]).size:
        return None
    return float(there[0])


def highest_keeping(true: Sequence[float], share: float) -> float | None:
    """The highest threshold, in hundredths, below which at most the rest lies."""
    return float(GRID[shares_kept(true) >= share][-1]) if true else None


def shares_below(cosines: Sequence[float]) -> np.ndarray:
    """(len(GRID),): the share of the cosines below each hundredth, as the filter refuses them."""
    return _num_below(cosines) / len(cosines)


def shares_kept(cosines: Sequence[float]) -> np.ndarray:
    """(len(GRID),): the rest."""
    return (len(cosines) - _num_below(cosines)) / len(cosines)


def _num_below(cosines: Sequence[float]) -> np.ndarray:
    counts: np.ndarray = np.searchsorted(np.sort(cosines), GRID, side="left")
    return counts


def _proposal(
    key: str, bar: Literal["kept", "refused"], share: float, threshold: float | None, cosines: Cosines
) -> Proposal:
    true, false = np.array(cosines.true), np.array(cosines.false)
    kept = float((true >= threshold).mean()) if threshold is not None and len(true) else None
    refused = float((false < threshold).mean()) if threshold is not None and len(false) else None
    return Proposal(key, bar, share, threshold, kept, refused, cosines)


def found(proposals: Sequence[Proposal]) -> Mapping[str, float]:
    """The thresholds that there are, by their key."""
    return {each.key: each.threshold for each in proposals if each.threshold is not None}


def _same_class(one: Seen, seen: Sequence[Seen]) -> Iterator[Seen]:
    return (each for each in seen if each is not one and each.subject.class_name == one.subject.class_name)


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
