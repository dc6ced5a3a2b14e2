"""A connection to Ray: the cluster of RAY_ADDRESS, or a Ray of our own on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class PlacementError(ValueError):
    """The cluster can never hold the actors that the config asks for."""


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def ray_session(num_cpus: int) -> Iterator[dict[str, float]]:
    """Yields the cluster's resources.

    Args:
        num_cpus: logical CPUs of a Ray that is started here; they only schedule, so there may be more than cores.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if ray.is_initialized() or os.environ.get("RAY_ADDRESS"):
        if not ray.is_initialized():
            ray.init(logging_level="WARNING")
        yield ray.cluster_resources()
        return
    # a dataset whose process was killed holds its claim on the CPUs until it expires, by default for three minutes
    os.environ.setdefault("RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S", "30")
    # workers' logs lie in Ray's session folder; what goes wrong there is raised here with its traceback
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
        _node_ip_address="127.0.0.1",  # its HTTP agents; Ray binds gRPC ports to every interface, behind the token
    )
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def check_room(who: str, needs: Mapping[str, float], cluster: Mapping[str, float], remedy: str) -> None:
    """Raises PlacementError where a resource is short: Ray would wait for it in silence."""
    for resource, needed in needs.items():
        have = cluster.get(resource, 0.0)
        if needed > have:
            raise PlacementError(f"{who} need {needed:g} {resource}s and the cluster has {have:g}: {remedy}")


def quiet_data_context() -> Any:
    """Ray Data's `DataContext` of this process, without its own bars and notes."""
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # that its own bars are off
    context = DataContext.get_current()
    context.print_on_execution_start = False
    context.enable_progress_bars = False
    return context
