"""The small world as training data: nothing is stored, every view is rendered when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np

from toffee_pipeline.config.train import WorldSource
from toffee_pipeline.errors import DataError
from toffee_pipeline.nano.world_samples import NUM_HELD_OUT, ViewSample, draw_views
from toffee_pipeline.train.data.records import Record

SUBJECTS_PER_FILE = 8


class World:
    """The subjects that the nano networks learn from, but for the last NUM_HELD_OUT. One file is a block of them."""

    def __init__(self, config: WorldSource) -> None:
        self._num_subjects, self._num_views = config.num_subjects, config.views_per_subject
        self._only_photos = config.only_photos

    def files(self) -> list[str]:
        """First and last subject of each block: 00000-00007, 00008-00015, ..."""
        num_train = self._num_subjects - NUM_HELD_OUT
        if num_train < 1:
            raise DataError(
                f"num_subjects={self._num_subjects}: the last {NUM_HELD_OUT} are held out; "
                f"allowed is {NUM_HELD_OUT + 1} or more"
            )
        starts = range(0, num_train, SUBJECTS_PER_FILE)
        return [f"{start:05d}-{min(start + SUBJECTS_PER_FILE, num_train) - 1:05d}" for start in starts]

    def read(self, file: str) -> Iterator[Record]:
        """One record per subject; images: its views (64, 64, 3), "0", "1" and so on, each rendered once.

        No text: each view lies in another place and shows other changes. More views leave the first ones as they are.
        """
        first, last = file.split("-")
        for index in range(int(first), int(last) + 1):
            drawn = filter(_is_plain_photo, draw_views(index)) if self._only_photos else draw_views(index)
            views = list(islice(drawn, self._num_views))
            yield Record(
                key=f"{index:05d}",
                images={str(number): partial(_picture, view) for number, view in enumerate(views)},
                class_name=views[0].subject.class_name,
            )


def _is_plain_photo(view: ViewSample) -> bool:
    return view.style == "photo" and view.addition is None and view.removed is None


def _picture(view: ViewSample) -> np.ndarray:
    return view.rendering.rgb.copy()  # the caller may write into it
