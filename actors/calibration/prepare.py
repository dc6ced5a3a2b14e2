"""What all settings of a calibration share, computed once: the sample, its subjects, and the other views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from actors.chain import stages_of
from actors.guard import NoGuard
from actors.read import fill_from_source
from actors.shard import PairState, Shard, SubjectState, present
from actors.stage import Progress, Stage
from actors.stages.refine import MixingStage
from actors.stages.view import View
from toffee_pipeline.calibration.thresholds import EncoderScores, Seen, compare
from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.images import decode
from toffee_pipeline.plan.plan import Plan


class Encode(MixingStage):
    """The subjects' DINO tokens alone."""

    name = "refine"

    def process(self, shard: Shard) -> None:
        self.encode_subjects(shard)


def draw_sample(plan: Plan, num_pairs: int) -> Shard:
    """Whole subjects of the plan by chance, of about so many pairs; the same ones of the same plan. A bank's come with
    what it holds of them."""
    config = cast(CalibrationConfig, plan.config)
    num_subjects = min(plan.num_subjects, -(-num_pairs // config.pairs.per_subject))
    numbers = np.random.default_rng(config.seed).choice(plan.num_subjects, num_subjects, replace=False)
    subjects = {int(number): plan.subject(int(number)) for number in sorted(numbers)}
    shard = Shard(
        0,
        {subject.subject_id: SubjectState(subject) for subject in subjects.values()},
        [PairState(pair) for number, subject in subjects.items() for pair in plan.pairs(number, subject)],
    )
    fill_from_source(shard, plan)
    return shard


def prepare(config: CalibrationConfig, shard: Shard, progress: Progress) -> tuple[Shard, EncoderScores]:
    """Fills what comes before a draft, the tokens and the generation pairs' inputs; and looks at it with the filter's
    encoders. Gates are left out: a calibration wants the scores of all."""
    import torch

    from toffee_pipeline.models.model_set import ModelSet

    torch.set_num_threads(config.fused.num_threads)
    models = ModelSet(config)
    first = [stage for name, stage in stages_of(config).items() if name in ("synthesize", "segment", "depth")]
    stages: list[type[Stage]] = [*first, Encode]
    for stage in stages:
        shard = stage(config, models, progress, NoGuard())(shard)
    tokens = {state.id: state.tokens for state in shard.subjects.values()}
    shard = View(config, models, progress, NoGuard())(shard)
    for state in shard.subjects.values():  # the view is the last in a run that needs them
        state.tokens = tokens[state.id]
    look = Look(config, models, progress, NoGuard())
    look(shard)
    return shard, compare(look.seen)


class Look(Stage[Shard]):
    """The filter's encoders on subjects and their views."""

    name = "score"
    roles = ("dino_scorer", "clip_scorer")

    def process(self, shard: Shard) -> None:
        self.seen: list[Seen] = []
        views: dict[str, list[PairState]] = {}
        for pair in shard.open_pairs("generation"):
            views.setdefault(pair.pair.subject_id, []).append(pair)
        dino, clip = self.models.dino_scorer, self.models.clip_scorer
        of_views: dict[str, np.ndarray] = {}

        def store_view(state: PairState, embedding: np.ndarray) -> None:
            of_views[state.id] = embedding

        def store(state: SubjectState, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
            drawn = tuple(of_views[pair.id] for pair in views.get(state.id, ()))
            self.seen.append(Seen(state.subject, found[0], drawn, *found[1:]))

        def see(batch: list[SubjectState]) -> Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            images = [state.rgb() for state in batch]
            texts = clip.encode_texts([state.subject.prompt for state in batch])
            found = (dino.encode(images), clip.encode_images(images), texts)
            return list(zip(*(each.cpu().numpy() for each in found), strict=True))

        def see_view(batch: list[PairState]) -> Sequence[np.ndarray]:
            return list(dino.encode([decode(present(pair.input)) for pair in batch]).cpu().numpy())

        self.run([pair for pairs in views.values() for pair in pairs], see_view, store_view)
        self.run(shard.open_subjects(), see, store)
