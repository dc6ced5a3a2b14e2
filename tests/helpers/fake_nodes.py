"""An autoscaler's node provider whose nodes are raylets on this machine: Ray's own for tests, mended in one place."""

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.tags import STATUS_UP_TO_DATE, TAG_RAY_NODE_STATUS


class FakeNodes(FakeMultiNodeProvider):
    """A node that was created is up to date: until it is, the autoscaler does not care whether it lives."""

    def _create_node_with_resources_and_labels(self, node_config: Any, tags: dict[str, str], *rest: Any) -> None:
        super()._create_node_with_resources_and_labels(
            node_config, {**tags, TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}, *rest
        )
