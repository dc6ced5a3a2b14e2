"""The Kubernetes files against a strict model, and what must hold between their parts."""

import shlex

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from tests.helpers.examples import ROOT, load
from tests.helpers.kubernetes_model import RayCluster, RayJob

GIB = 2**30


@pytest.fixture(scope="module")
def cluster():
    return RayCluster.model_validate(load("kubernetes/ray-cluster.yaml")).spec


@pytest.fixture(scope="module")
def job():
    return RayJob.model_validate(load("kubernetes/ray-job.yaml")).spec


def gib(quantity):
    assert quantity.endswith("Gi"), quantity
    return int(quantity.removesuffix("Gi"))


def test_the_job_makes_the_cluster_that_the_other_file_describes(cluster, job):
    assert job.ray_cluster_spec == cluster


def test_the_model_is_strict():
    document = load("kubernetes/ray-cluster.yaml")
    document["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0  # Kubernetes wants a string
    with pytest.raises(ValidationError, match="num-cpus"):
        RayCluster.model_validate(document)
    document = load("kubernetes/ray-cluster.yaml")
    document["spec"]["workerGroupSpecs"][0]["maxReplica"] = 4
    with pytest.raises(ValidationError, match="maxReplica"):
        RayCluster.model_validate(document)


def test_rays_version_is_the_pinned_one(cluster):
    assert f"ray=={cluster.ray_version}\n" in (ROOT / "constraints.txt").read_text()


def test_the_head_runs_no_stage_and_workers_take_whole_gpu_nodes(cluster):
    assert cluster.head_group_spec.ray_start_params["num-cpus"] == "0"
    head = cluster.head_group_spec.template.spec
    assert not any("gpu" in name for container in head.containers for name in container.resources.limits)
    for group in cluster.worker_group_specs:
        (container,) = group.template.spec.containers
        assert container.resources.limits["nvidia.com/gpu"] == "8"
        assert "nvidia.com/gpu.product" in group.template.spec.node_selector


def test_object_store_shared_memory_and_memory_fit_into_each_other(cluster):
    for group in (cluster.head_group_spec, *cluster.worker_group_specs):
        pod = group.template.spec
        shm = next(volume.empty_dir for volume in pod.volumes if volume.name == "shm")
        assert shm.medium == "Memory"
        assert int(group.ray_start_params["object-store-memory"]) < gib(shm.size_limit) * GIB
        for container in pod.containers:
            assert {mount.name: mount.mount_path for mount in container.volume_mounts}["shm"] == "/dev/shm"
            assert gib(shm.size_limit) < gib(container.resources.limits["memory"])  # shared memory counts as memory


def test_weights_are_fetched_once_per_node_and_mounted_where_the_job_looks(cluster, job):
    for group in (cluster.head_group_spec, *cluster.worker_group_specs):
        pod = group.template.spec
        (fetch,) = pod.init_containers
        (target,) = {mount.mount_path for mount in fetch.volume_mounts}
        assert fetch.args[-1] == target == "/weights"
        for container in pod.containers:
            assert {mount.name: mount.mount_path for mount in container.volume_mounts}["weights"] == target
            assert {variable.name: variable.value for variable in container.env}["HF_HUB_OFFLINE"] == "1"
    paths = [word.split("=")[1] for word in shlex.split(job.entrypoint) if ".path=" in word]
    assert len(paths) == 3 and all(path.startswith("/weights/") for path in paths)


def test_the_entrypoint_is_a_command_that_the_job_takes(job, tmp_path):
    from jobs.generate import main
    from toffee_pipeline.console.options import load_config

    python, flag, module, *arguments = shlex.split(job.entrypoint)
    assert (python, flag, module) == ("python", "-m", "jobs.generate")
    overrides = [word for word in arguments if "=" in word]
    config = load_config(arguments[arguments.index("--config") + 1], tuple(overrides))
    missing = [spec.path for spec in (config.models.refiner, config.models.view_generator, config.models.segmenter)]
    assert all(str(path).startswith("/weights/") for path in missing)
    # no weights lie here, so the job must say so, after it has understood every option
    result = CliRunner().invoke(main, [*arguments, "--dry-run"])
    assert result.exit_code == 2
    assert "no such file or folder: /weights/" in result.output


def test_only_the_namespace_and_the_operator_reach_the_pods():
    policy = load("kubernetes/network-policy.yaml")
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}
    ((rule,),) = (policy["spec"]["ingress"],)
    assert all("podSelector" in source and "ipBlock" not in source for source in rule["from"])
