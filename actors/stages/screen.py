"""The text filter, before anything is generated. Needs no model, and takes no time worth measuring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.shard import Shard
from actors.stage import Stage
from toffee_pipeline.config.dataset import SubjectDatasetConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.safety.text_filter import TextFilter


class Screen(Stage):
    """Subjects by class and prompt, pairs by all that they say."""

    name = "screen"
    config: SubjectDatasetConfig | RefinementConfig

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        settings = self.config.stages.screen
        self._filter = TextFilter(settings.allow, settings.deny)

    def process(self, shard: Shard) -> None:
        for subject in shard.open_subjects():
            planned = subject.subject
            self._refuse(subject, {"class": planned.class_name, "subject's prompt": planned.prompt})
        shard.spread_failures()
        for state in shard.open_pairs():
            pair = state.pair
            texts = {"prompt": pair.prompt, "draft prompt": pair.draft_prompt, "instruction": pair.instruction}
            self._refuse(state, texts | {"input's prompt": pair.input_prompt})

    def _refuse(self, state: Any, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            if finding := self._filter.find(text):
                state.fail(f"{self.name}: {finding}, in the {name}", "unsafe")
                return
