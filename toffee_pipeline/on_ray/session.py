"""A connection to Ray: the cluster of RAY_ADDRESS, or a Ray of our own on this machine; and what the cluster holds."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from toffee_pipeline.errors import StorageError, ToffeeError
from toffee_pipeline.on_ray.placement import Cluster, Node

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""The cluster's file on the head node of a cluster that `ray up` made; its autoscaler goes by it."""
TOKEN = Path("~/.ray/auth_token")
SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The variable that Ray sets for the driver of a submitted job, and for no other process."""
MANY = 1000
PROBE_S = 60.0
M_ARENA_MAX = -8
"""Of <malloc.h>."""


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def ray_session(num_cpus: int) -> Iterator[None]:
    """A connection to Ray that ends with the context, unless it was there before.

    Args:
        num_cpus: logical CPUs of a Ray that is started here; they only schedule, so there may be more than cores.

    Raises:
        ConnectionError: no Ray answers at RAY_ADDRESS, or it does not take our token.
        ToffeeError, OSError: what a worker raised, without the tracebacks that Ray puts around it; or another user has
            made the folder for Ray's files.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if ray.is_initialized():
        with workers_errors():
            yield
        return
    share_free_memory()
    # Ray would put the machine's address, which others reach, in the place of the loopback's: its own, and RAY_ADDRESS
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    if os.environ.get("RAY_ADDRESS"):
        try:
            ray.init(logging_level="WARNING")
        except ray.exceptions.AuthenticationError as error:
            raise ConnectionError(
                f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: no token that this Ray takes; set RAY_AUTH_TOKEN, or "
                "RAY_AUTH_TOKEN_PATH to a file that holds it"
            ) from error
    else:
        _ensure_token()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported anywhere; an actor less
        # a dataset whose process was killed holds its claim on the CPUs until it expires, by default for three minutes
        os.environ.setdefault("RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S", "30")
        # workers' logs lie in Ray's session folder; what goes wrong there is raised here with its traceback
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="WARNING",
            _temp_dir=str(_private_folder() / "ray"),
            _node_ip_address="127.0.0.1",
        )
    try:
        with workers_errors():
            yield
    finally:
        ray.shutdown()


def share_free_memory() -> None:
    """Lets the threads of this process use the memory that others of them have freed: of Ray's forty, glibc gives each
    memory of its own, where what is freed piles up with each shard."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


@contextmanager
def workers_errors() -> Iterator[None]:
    """Raises our own error where Ray has wrapped one that a worker raised."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if own := _own_error(error):
            raise own from error
        raise


def _own_error(error: Any) -> ToffeeError | OSError | None:
    """A RayTaskError is of its cause's class too, with all tracebacks as its text."""
    import ray

    tracebacks = str(error)
    while isinstance(error, ray.exceptions.RayTaskError):
        error = error.cause
    if not isinstance(error, ToffeeError | OSError) or isinstance(error, ray.exceptions.RayError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return _with_its_file(error, tracebacks)
    if error.args:
        error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])  # Ray Data appends lines about its tries
    return error


def _with_its_file(error: OSError, tracebacks: str) -> OSError:
    """An error of the system as it was raised: on its way here Ray Data's lines about its tries took the place of the
    file's name, which the traceback has."""
    said = str(error.strerror)
    lines = re.findall(rf"^\S+: \[Errno {error.errno}\] ({re.escape(said)}.*)$", tracebacks, re.MULTILINE)
    return OSError(error.errno, lines[-1] if lines else said)  # of the class that belongs to the number


def refuse_relative_output(output: str) -> None:
    """Raises StorageError for a relative path in a job of `ray job submit`: it would lie in a cache of the cluster."""
    relative = ":/" not in output and not Path(output).expanduser().is_absolute()
    if relative and SUBMITTED in os.environ:
        raise StorageError(
            f"run directory {output!r}: a submitted job works in a copy of the code that the cluster deletes; "
            "give an absolute path or s3://bucket/prefix"
        )


def _private_folder() -> Path:
    """The folder of this user alone around Ray's, which Ray opens to all whenever a worker starts."""
    from ray._common.utils import get_default_system_temp_dir

    folder = Path(get_default_system_temp_dir()) / f"ray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ToffeeError(f"{folder} is not a folder of yours; set RAY_TMPDIR to one that is")
    folder.chmod(0o700)
    return folder


def _ensure_token() -> None:
    """Ray writes its token into the home folder, for its user alone; where it cannot, a Ray of our own has one in its
    environment."""
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled

    try:
        ensure_token_if_auth_enabled()
        if TOKEN.expanduser().is_file():
            TOKEN.expanduser().chmod(0o600)  # Ray leaves it readable to all
    except OSError:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def read_cluster(with_gpu_memory: bool = False) -> Cluster:
    """The cluster that this process is connected to.

    Args:
        with_gpu_memory: ask each node that has GPUs how much memory they have.
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    memory = _gpu_memory([node["NodeID"] for node in alive if node["Resources"].get("GPU")]) if with_gpu_memory else {}
    nodes = tuple(
        Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0), memory.get(node["NodeID"]))
        for node in alive
    )
    possible = _possible_nodes()
    if possible is None:
        return Cluster(nodes)
    kinds = {(node.num_cpus, node.num_gpus) for node in possible}
    others = [node for node in nodes if (node.num_cpus, node.num_gpus) not in kinds]
    return Cluster(nodes, (*possible, *others), open_ended=not possible)


def nodes_up() -> list[Node]:
    """The nodes that are up now, without their GPUs' memory."""
    import ray

    offers = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(offer.get("CPU", 0.0), offer.get("GPU", 0.0)) for offer in offers]


def _possible_nodes() -> list[Node] | None:
    """What an autoscaler may have up at once. None: there is no autoscaler; empty: it does not say.

    Ray has no public call for it. It stands in the head node's file of `ray up`, and in Ray's store where an autoscaler
    reports it; KubeRay's does neither.
    """
    import ray

    node = ray._private.worker._global_node
    if node is not None and node.is_head():  # a Ray that this process has started, which has no autoscaler
        return None
    if config := ray._private.state.state.get_cluster_config():
        return [
            Node(group.resources.get("CPU", 0), group.resources.get("GPU", 0))
            for group in config.node_group_configs
            for _ in range(MANY if group.max_count < 0 else group.max_count)
        ]
    if (path := BOOTSTRAP.expanduser()).is_file():
        return nodes_of_file(path)
    # KubeRay starts a head so where its own autoscaler takes the place of Ray's monitor
    return [] if "--no-monitor" in os.environ.get("KUBERAY_GEN_RAY_START_CMD", "") else None


def nodes_of_file(path: Path) -> list[Node]:
    """The nodes that a cluster file of `ray up` allows at once: the head, and of the workers those with most GPUs."""
    described = yaml.safe_load(path.read_text(encoding="utf-8"))
    types, most = dict(described["available_node_types"]), described["max_workers"]

    def node(kind: dict[str, Any]) -> Node:
        offers = kind.get("resources", {})
        return Node(float(offers.get("CPU", 0)), float(offers.get("GPU", 0)))

    head = node(types.pop(described["head_node_type"]))
    workers = [node(kind) for kind in types.values() for _ in range(min(most, kind.get("max_workers", most)))]
    return [head, *sorted(workers, key=lambda worker: (-worker.num_gpus, -worker.num_cpus))[:most]]


def beside_the_driver(kind: type[Any]) -> Any:
    """An actor of this class on the driver's node, which no autoscaler takes away; a process that dies there is
    replaced, by one that knows nothing."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # a soft affinity does not count where nothing is asked for: Ray takes any node (its pull request 25360)
    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": node}
    return ray.remote(**options)(kind).remote()


def _gpu_memory(node_ids: list[str]) -> dict[str, float]:
    """Node -> GiB of its smallest GPU, of the nodes that answer and know."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {
        ray.remote(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))(
            smallest_gpu_gib
        ).remote(): node_id
        for node_id in node_ids
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_S) if asked else ([], [])
    known = {asked[answer]: or_unknown(functools.partial(ray.get, answer)) for answer in answered}
    return {node_id: gib for node_id, gib in known.items() if gib is not None}


def or_unknown(probe: Callable[[], float | None]) -> float | None:
    """What a node says of its memory. None also where it cannot: a spot node may go before it is asked, and a driver
    may hang; a run can do without the figure."""
    import ray

    try:
        return probe()
    except ray.exceptions.RayError:
        return None


def smallest_gpu_gib() -> float | None:
    """Memory of this machine's smallest GPU; None where NVIDIA's driver is not there to say it, or hangs."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return None
    sizes = [float(line) for line in listed.stdout.split() if line.replace(".", "").isdigit()]
    return min(sizes) / 1024 if sizes else None


class StepCallback:
    """Ray Data's `ExecutionCallback`, taken by its methods: a subclass says what happens in each step of its scheduling
    loop. For `DataContext.custom_execution_callback_classes`."""

    def on_execution_step(self, executor: Any) -> None: ...

    def before_execution_starts(self, executor: Any) -> None: ...

    def after_execution_succeeds(self, executor: Any) -> None: ...

    def after_execution_fails(self, executor: Any, error: Exception) -> None: ...


def quiet_data_context() -> Any:
    """Ray Data's `DataContext` of this process, without its own bars and notes."""
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # that its own bars are off
    # that actors which hold both CPUs and GPUs are experimental
    logging.getLogger("ray.data._internal.execution.operators.map_operator").setLevel(logging.ERROR)
    # with its traceback, what is raised here anyway
    logging.getLogger("ray.data._internal.execution.streaming_executor_state").setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.print_on_execution_start = False
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []  # every 30 s, that a worker takes the memory that its models take
    context.raise_original_map_exception = True  # an error in a wrapper of Ray Data's loses its cause on the way here
    return context
