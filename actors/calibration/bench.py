"""Pictures and scores of a calibration's sample under one setting after the other; only what a setting changes is
computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from actors.guard import NoGuard
from actors.shard import PairState, Shard, present
from actors.stage import Progress, Stage
from actors.stages.draft import Draft
from actors.stages.edit import Edit
from actors.stages.refine import Refine
from actors.stages.score import Score
from toffee_pipeline.calibration.knobs import DRAFT_KNOBS, feels, key_of
from toffee_pipeline.calibration.results import SIMILARITY, PairResult, read_results, write_results
from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import black_out, decode
from toffee_pipeline.report.tiles import thumbnail
from toffee_pipeline.storage import Storage


class Compare(Stage[Shard]):
    """The independent similarity: the cosine of the target and the subject, both cut out by the subject's mask where it
    has one, by an encoder that plays no part in making them. A pair that turns another one round has its input in the
    subject's place."""

    name = "score"
    roles = ("clip_scorer",)
    config: CalibrationConfig

    def load(self) -> None:
        _ = self.encoder

    @cached_property
    def encoder(self) -> Any:
        spec = self.config.calibration.similarity
        if spec is None:
            return self.models.clip_scorer
        from toffee_pipeline.models.scores import ClipScorer

        return ClipScorer(spec, self.models.device)

    def process(self, shard: Shard) -> None:
        def store(state: PairState, value: float) -> None:
            state.scores[SIMILARITY] = value

        def compare(batch: list[PairState]) -> Sequence[float | SampleError]:
            subjects = [shard.subject_of(state) for state in batch]
            first = [
                decode(present(state.input)) if state.pair.reversed_from else subject.rgb()
                for state, subject in zip(batch, subjects, strict=True)
            ]
            second = [decode(present(state.target)) for state in batch]
            masks = [subject.bool_mask() for subject in subjects]
            cut = [
                [image if mask is None else black_out(image, ~mask) for image, mask in zip(images, masks, strict=True)]
                for images in (first, second)
            ]
            one, other = (self.encoder.encode_images(images).cpu().numpy().astype(np.float64) for images in cut)
            cosines = (one * other).sum(-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1))
            error = SampleError("an encoder's output is not finite", reason="not_finite")
            return [float(value) if np.isfinite(value) else error for value in cosines]

        self.run(shard.open_pairs(), compare, store)


class Bench:
    """Args:
    shared: as `prepare` left it; its open pairs are the sample.
    shown: ids of the pairs whose pictures are kept for contact sheets.
    """

    def __init__(
        self, config: CalibrationConfig, shared: Shard, shown: Iterable[str], storage: Storage, progress: Progress
    ) -> None:
        self.config, self.shared, self.shown = config, shared, set(shown)
        self.storage, self.progress = storage, progress
        self.pairs = {state.id: state for state in shared.open_pairs()}
        self._known = {(each.pair_id, each.key): each for each in read_results(storage)}
        self._drafts: dict[tuple[str, str], bytes] = {}

    @cached_property
    def models(self) -> Any:
        """All that a setting needs, loaded once."""
        import torch

        from toffee_pipeline.models.model_set import ModelSet

        torch.set_num_threads(self.config.fused.num_threads)
        models = ModelSet(self.config)
        for stage in (Draft, Refine, Edit):
            stage(self.config, models, self.progress, NoGuard()).load()
        return models

    @cached_property
    def judges(self) -> list[Stage]:
        """The same under every setting."""
        stages: list[Stage] = [stage(self.config, self.models, self.progress, NoGuard()) for stage in (Score, Compare)]
        for stage in stages:
            stage.load()
        return stages

    def measure(self, config: CalibrationConfig, name: str) -> Mapping[str, PairResult]:
        """Every pair of the sample under this setting, by id. What no setting has computed yet is computed, and kept
        under `name` when it is complete."""
        keys = {id: key_of(self._felt(config, id)) for id in self.pairs}
        missing = [id for id, key in keys.items() if (id, key) not in self._known]
        if missing:
            results = [self._result(state, keys[state.id]) for state in self._compute(config, missing)]
            write_results(self.storage, name, results)
            self._known |= {(each.pair_id, each.key): each for each in results}
        return {id: self._known[id, key] for id, key in keys.items()}

    def forget_drafts(self, config: CalibrationConfig) -> None:
        """All but those of this setting, on which the next ones build."""
        wanted = {(id, self._draft_key(config, id)) for id in self.pairs}
        self._drafts = {place: draft for place, draft in self._drafts.items() if place in wanted}

    def _felt(self, config: CalibrationConfig, id: str) -> dict[str, float]:
        pair = self.pairs[id].pair
        return feels(config, self.pairs[pair.reversed_from].pair if pair.reversed_from else pair)

    def _draft_key(self, config: CalibrationConfig, id: str) -> str:
        return key_of(self._felt(config, id), DRAFT_KNOBS)

    def _compute(self, config: CalibrationConfig, ids: Sequence[str]) -> list[PairState]:
        """States of these pairs, scored or ended; with them come the additions that some of them turn round."""
        states = [replace(self.pairs[id], scores={}, stage_s={}) for id in ids]
        shard = Shard(self.shared.index, self.shared.subjects, states)
        models = self.models.under(config)
        places = {state.id: (state.id, self._draft_key(config, state.id)) for state in shard.pairs_to_paint()}
        for state in shard.pairs_to_paint():
            state.draft = self._drafts.get(places[state.id])
        undrawn = [state for state in shard.pairs_to_paint() if state.draft is None]
        Draft(config, models, self.progress, NoGuard())(Shard(shard.index, shard.subjects, undrawn))
        self._drafts |= {places[state.id]: state.draft for state in undrawn if state.draft is not None}
        for stage in (Refine, Edit):
            stage(config, models, self.progress, NoGuard())(shard)
        for judge in self.judges:
            judge(shard)
        return states

    def _result(self, state: PairState, key: str) -> PairResult:
        lost = None if state.status == "ok" else state.error or state.reason or state.status
        shown = state.id in self.shown
        return PairResult(
            pair_id=state.id,
            key=key,
            lost=lost,
            scores=state.scores if lost is None else {},
            draft=thumbnail(decode(state.draft))[0] if shown and state.draft else None,
            target=thumbnail(decode(state.target))[0] if shown and state.target else None,
        )
