"""A guard model reads what is to be drawn, before anything is generated."""

from __future__ import annotations

from collections.abc import Sequence

from actors.shard import PairState, Shard, SubjectState
from actors.stage import Stage
from toffee_pipeline.config.dataset import SubjectDatasetConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.safety.guards import Verdict


class CheckPrompts(Stage):
    name = "check_prompts"
    roles = ("prompt_guard",)
    config: SubjectDatasetConfig | RefinementConfig

    def process(self, shard: Shard) -> None:
        def judge(prompts: list[str]) -> Sequence[Verdict]:
            return self.models.prompt_guard.judge(prompts)

        self.run(shard.open_subjects(), judge, self._store, lambda state: state.subject.prompt)
        shard.spread_failures()
        self.run(shard.open_pairs(), judge, self._store, lambda state: state.pair.draft_prompt)

    def _store(self, state: SubjectState | PairState, verdict: Verdict) -> None:
        refused: Sequence[str] = ("unsafe",)
        if self.config.stages.check_prompts.refuse == "controversial":
            refused = ("unsafe", "controversial")
        if verdict.level in refused:
            state.fail(f"{self.name}: {', '.join(verdict.categories) or verdict.level}", "unsafe")
