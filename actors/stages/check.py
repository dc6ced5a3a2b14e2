"""Gates: cheap scores that reject a pair before expensive work; each is off where its settings hold no bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from actors.shard import PairState, RowState, Shard, SubjectState, present
from actors.stages.score import ScoreStage
from toffee_pipeline.config.base import Kind
from toffee_pipeline.filters import GATES, Rejection
from toffee_pipeline.images import decode

S = TypeVar("S", bound=RowState)


class Gate(ScoreStage[S]):
    """One score of `filters.GATES`."""

    @property
    def bound(self) -> Rejection:
        (bound,) = self.table[0].bounds
        return bound

    def stops(self, state: RowState) -> bool:
        """Whether the state's score is refused; it has none where its sample failed."""
        value = state.scores.get(self.table[0].name)
        return value is not None and bool(self.bound.rejects(value, self.config.stage(self.name)))

    def reject(self, shard: Shard, states: Sequence[PairState]) -> None:
        """Rejects them, and what would turn them round."""
        ids = {state.id for state in states}
        for state in states:
            state.reject(self.bound.reason)
        for state in shard.open_pairs():
            if state.pair.reversed_from in ids:
                state.reject("not_added")


class CheckSubject(Gate[SubjectState]):
    name = "check_subject"
    table = (GATES[name],)
    roles = (table[0].role,)

    def process(self, shard: Shard) -> None:
        subjects = shard.open_subjects()
        self.score(shard, subjects)
        pairs = shard.open_pairs()
        for pair in pairs:
            pair.scores |= shard.subject_of(pair).scores
        stopped = {state.id for state in subjects if self.stops(state)}
        self.reject(shard, [pair for pair in pairs if pair.pair.subject_id in stopped])

    def material(self, shard: Shard, state: SubjectState) -> Mapping[str, Any]:
        return {"image": state.rgb(), "prompt": state.subject.prompt}


class PairGate(Gate[PairState]):
    """One whose score is each pair's own."""

    def check(self, shard: Shard, pairs: list[PairState]) -> None:
        self.score(shard, pairs)
        self.reject(shard, [state for state in pairs if state.status == "ok" and self.stops(state)])

    def kind(self, state: PairState) -> Kind:
        return state.pair.kind


class CheckDraft(PairGate):
    name = "check_draft"
    table = (GATES[name],)
    roles = (table[0].role,)

    def process(self, shard: Shard) -> None:
        self.check(shard, shard.pairs_to_paint())

    def material(self, shard: Shard, state: PairState) -> Mapping[str, Any]:
        return {"draft": state.draft_rgb(), "prompt": state.pair.prompt}


class CheckRefined(PairGate):
    name = "check_refined"
    table = (GATES[name],)
    roles = (table[0].role,)

    def process(self, shard: Shard) -> None:
        self.check(shard, shard.open_pairs("generation"))

    def material(self, shard: Shard, state: PairState) -> Mapping[str, Any]:
        return {"target": decode(present(state.target)), "image": shard.subject_of(state).rgb()}
