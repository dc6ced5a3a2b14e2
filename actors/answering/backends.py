"""The table of backends, and how one is asked: from a Ray Dataset of questions to one of answers.

A question is {"ask", "shard", "messages", "seed"}, the messages as JSON; an answer {"ask", "shard", "text", "error",
"revision"}, empty where there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from actors.answering import http, local, vllm
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.expansion.ask import Ask
from toffee_pipeline.expansion.store import Answered
from toffee_pipeline.on_ray.placement import SPARE_CPUS, Cluster, check_room
from toffee_pipeline.on_ray.session import num_cores, quiet_data_context, ray_session, read_cluster

BACKENDS: dict[str, Any] = {"transformers": local, "http": http, "vllm": vllm}
"""Modules with `check(config)`, which raises what the user can mend, `needs(config)`, the CPUs and GPUs without which
Ray would wait in silence, and `answers(config, questions)`."""


def check_fits(config: ExpansionConfig, cluster: Cluster) -> None:
    """Raises PlacementError where the cluster can never hold whoever answers."""
    needs, remedy = BACKENDS[config.backend].needs(config), f"lower what {config.backend} asks for, or add nodes"
    check_room(f"the actors of backend={config.backend}", needs, cluster, remedy)


def answer(config: ExpansionConfig, asks: Sequence[Ask]) -> Iterator[tuple[int, Answered]]:
    """The shard and the answer of each question, in any order, as they come. Raises PlacementError where the cluster
    can never hold whoever answers."""
    least = math.ceil(config.transformers.num_actors * config.transformers.num_cpus)
    with ray_session(max(num_cores(), least) + SPARE_CPUS):
        import ray

        check_fits(config, read_cluster())
        context = quiet_data_context()
        context.execution_options.preserve_order = False
        context.execution_no_progress_timeout_s = -1  # a slow model's first answers may take an hour
        questions = [
            {"ask": ask.name, "shard": ask.shard, "messages": json.dumps(ask.messages), "seed": ask.seed}
            for ask in asks
        ]
        blocks = math.ceil(len(asks) / config.asks_per_shard)
        dataset: Any = ray.data.from_items(questions, override_num_blocks=blocks)
        answers = BACKENDS[config.backend].answers(config, dataset)
        answers.set_name("toffee-expand")
        for row in answers.iter_rows():
            error = row["error"] or None
            yield row["shard"], Answered(row["ask"], None if error else row["text"], error, row["revision"] or None)
