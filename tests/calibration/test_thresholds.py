"""Thresholds of crafted cosines have known answers."""

import numpy as np
import pytest

from toffee_pipeline.calibration.thresholds import (
    Cosines,
    EncoderScores,
    Seen,
    compare,
    highest_keeping,
    lowest_refusing,
    propose,
)
from toffee_pipeline.config.calibrate import CalibrationSettings
from toffee_pipeline.schema.subjects import Subject

TENTHS = [number / 10 for number in range(10)]


def test_a_bar_is_met_by_the_nearest_hundredth_and_missed_by_the_next():
    assert lowest_refusing(TENTHS, 0.9) == 0.81 and lowest_refusing(TENTHS, 1) == 0.91
    assert highest_keeping(TENTHS, 0.8) == 0.2 and highest_keeping(TENTHS, 1) == 0.0
    assert lowest_refusing([], 0.9) is None and highest_keeping([], 0.9) is None
    assert lowest_refusing([1.0], 0.9) is None  # no threshold refuses it


def test_a_proposal_says_what_it_keeps_and_refuses():
    scores = EncoderScores(
        min_dino=Cosines(true=[0.5, 0.85, 0.9, 0.95], false=TENTHS), min_clip=Cosines(true=TENTHS, false=[0.15, 0.5])
    )
    dino, clip = propose(scores, CalibrationSettings(keep=0.8, refuse=0.9))
    assert (dino.threshold, dino.kept, dino.refused) == (0.81, 0.75, 0.9)
    assert (clip.threshold, clip.kept, clip.refused) == (0.2, 0.8, 0.5)


def seen(subject_id, class_name, angle, prompt, path=None, views=()):
    def at(degrees):
        return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])

    subject = Subject(subject_id, class_name, prompt, 0, path)
    return Seen(subject, at(angle), tuple(map(at, views)), at(angle), at(angle + 60))


def test_only_another_subject_of_the_class_is_false():
    found = compare(
        [
            seen("a", "mug", 0, "a red mug", views=[60]),
            seen("b", "mug", 90, "a blue mug"),
            seen("c", "car", 10, "a red car"),
        ]
    )
    assert found.min_dino.true == [pytest.approx(0.5)]
    assert found.min_dino.false == [pytest.approx(0), pytest.approx(np.cos(np.radians(30)))]  # b's image, a's view
    assert found.min_clip.true == [pytest.approx(0.5)] * 3
    assert found.min_clip.false == [pytest.approx(np.cos(np.radians(150))), pytest.approx(np.cos(np.radians(30)))]


def test_images_of_one_folder_show_one_subject():
    """And the same image under two ids is no other view of it."""
    found = compare(
        [
            seen("a", "dog", 0, "a dog", "dog/0.jpg"),
            seen("b", "dog", 60, "a dog", "dog/1.jpg"),
            seen("c", "dog", 0, "a dog", "dog/0.jpg"),
            seen("d", "dog", 90, "a dog", "dog2/0.jpg"),
        ]
    )
    assert found.min_dino.true == [pytest.approx(0.5)] * 4
    assert len(found.min_dino.false) == 6
    assert found.min_clip.false == []  # one caption for all: nothing to tell apart
