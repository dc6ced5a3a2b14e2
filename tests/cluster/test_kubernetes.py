"""The Kubernetes files against KubeRay's own schemas, and what must hold in them and between their parts."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError

from tests.helpers.examples import ROOT, load

GIB = 2**30
SCHEMAS = json.loads((Path(__file__).parent / "data/kuberay.json").read_text())


def checked(name):
    """The file's object, which KubeRay's schema of its kind takes, every key known."""
    document = load(name)
    check(document)
    return document


def check(document):
    Draft202012Validator(SCHEMAS | {"$ref": f"#/$defs/{document['kind']}"}).validate(document)


@pytest.fixture(scope="module")
def cluster():
    return checked("kubernetes/ray-cluster.yaml")["spec"]


@pytest.fixture(scope="module")
def job():
    return checked("kubernetes/ray-job.yaml")["spec"]


@pytest.fixture(scope="module")
def groups(cluster):
    """Head and workers."""
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.fixture(scope="module")
def pods(groups):
    return [group["template"]["spec"] for group in groups]


def gib(quantity):
    assert quantity.endswith("Gi"), quantity
    return int(quantity.removesuffix("Gi"))


def mounts(container):
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_job_makes_the_cluster_that_the_other_file_describes(cluster, job):
    assert job["rayClusterSpec"] == cluster


def test_the_schemas_are_sound():
    for schema in SCHEMAS["$defs"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("place", "key", "value", "said"),
    [
        ("workerGroupSpecs/0", "maxReplica", 4, "'maxReplica' was unexpected"),
        ("workerGroupSpecs/0/template/spec/containers/0", "volumeMount", [], "'volumeMount' was unexpected"),
        ("headGroupSpec/rayStartParams", "num-cpus", 0, "0 is not of type 'string'"),
        ("headGroupSpec/template/spec/containers/0/env/0", "value", 1, "1 is not of type 'string'"),
        ("headGroupSpec/template/spec/securityContext", "runAsNonRoot", "yes", "'yes' is not of type 'boolean'"),
        ("headGroupSpec/template/spec/containers/0/resources/limits", "memory", "24 GB", "'24 GB' does not match"),
        ("autoscalerOptions", "version", "v3", "'v3' is not one of"),
        ("authOptions", "mode", "password", "'password' is not one of"),
    ],
)
def test_unknown_keys_and_wrong_values_are_found(place, key, value, said):
    document = load("kubernetes/ray-cluster.yaml")
    part = document["spec"]
    for step in place.split("/"):
        part = part[int(step) if step.isdigit() else step]
    part[key] = value
    with pytest.raises(ValidationError, match=said):
        check(document)


@pytest.mark.parametrize("name", ["ray-cluster", "ray-job"])
def test_names_are_names(name):
    assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", load(f"kubernetes/{name}.yaml")["metadata"]["name"])


def test_rays_version_is_the_pinned_one(cluster):
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()


def test_the_cluster_asks_for_the_token_and_scales_to_nothing(cluster):
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] > 0
    assert {"requests", "limits"} <= set(cluster["autoscalerOptions"]["resources"])
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]
        assert isinstance(group["priority"], int)


def test_pods_are_one_ray_node_each_and_run_as_a_user_without_rights(pods):
    for pod in pods:
        assert pod["restartPolicy"] == "Never"
        assert pod["serviceAccountName"] == "toffee"
        user = pod["securityContext"]
        assert user["runAsNonRoot"] is True
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        assert min(user["runAsUser"], user["runAsGroup"], user["fsGroup"]) > 0
        for container in (*pod["initContainers"], *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= set(container["resources"])
            assert all(path.startswith("/") for path in mounts(container).values())
            assert set(mounts(container)) <= {volume["name"] for volume in pod["volumes"]}
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"])


def test_workers_hold_no_token_of_kubernetes_and_images_are_named_by_digest(cluster, pods):
    for group in cluster["workerGroupSpecs"]:
        assert group["template"]["spec"]["automountServiceAccountToken"] is False
    for pod in pods:
        for container in (*pod["initContainers"], *pod["containers"]):
            assert re.search("@(sha256:[0-9a-f]{64}|DIGEST)$", container["image"])


def test_a_failed_try_is_followed_by_one_on_a_new_cluster(job):
    assert job["backoffLimit"] > 0
    assert job["submitterConfig"] == {"backoffLimit": 0}  # a second submission would be refused by the run's lease
    assert job["shutdownAfterJobFinishes"] is True
    assert job["ttlSecondsAfterFinished"] > 0


def test_the_head_runs_no_stage_and_workers_take_whole_gpu_nodes(cluster):
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    limits = [container["resources"]["limits"] for container in head["template"]["spec"]["containers"]]
    assert not any("gpu" in name for names in limits for name in names)
    for group in cluster["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
        assert "nvidia.com/gpu.product" in pod["nodeSelector"]
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_object_store_shared_memory_and_memory_fit_into_each_other(groups):
    for group in groups:
        pod = group["template"]["spec"]
        shm = next(volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm")
        assert shm["medium"] == "Memory"
        assert int(group["rayStartParams"]["object-store-memory"]) < gib(shm["sizeLimit"]) * GIB
        for container in pod["containers"]:
            assert mounts(container)["shm"] == "/dev/shm"
            # shared memory counts as memory
            assert gib(shm["sizeLimit"]) < gib(container["resources"]["limits"]["memory"])


def test_weights_are_fetched_once_per_node_and_mounted_where_the_job_looks(pods, job):
    for pod in pods:
        (fetch,) = pod["initContainers"]
        (target,) = mounts(fetch).values()
        assert fetch["args"][-1] == target == "/weights"
        for container in pod["containers"]:
            (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "weights")
            assert (mount["mountPath"], mount["readOnly"]) == (target, True)  # but for who fetches them
            assert {variable["name"]: variable["value"] for variable in container["env"]}["HF_HUB_OFFLINE"] == "1"
    paths = [word.split("=")[1] for word in shlex.split(job["entrypoint"]) if ".path=" in word]
    assert len(paths) == 3 and all(path.startswith("/weights/") for path in paths)


def test_the_entrypoint_is_a_command_that_the_job_takes(job, tmp_path):
    from jobs.generate import main
    from toffee_pipeline.config.load import load_config

    python, flag, module, *arguments = shlex.split(job["entrypoint"])
    assert (python, flag, module) == ("python", "-m", "jobs.generate")
    overrides = [word for word in arguments if "=" in word]
    config = load_config(arguments[arguments.index("--config") + 1], tuple(overrides))
    missing = [spec.path for spec in (config.models.refiner, config.models.view_generator, config.models.segmenter)]
    assert all(str(path).startswith("/weights/") for path in missing)
    # no weights lie here, so the job must say so, after it has understood every option
    few = ("--set", "pairs.count=8")
    result = CliRunner().invoke(main, [*arguments, *few, "--output", str(tmp_path), "--dry-run"])
    assert result.exit_code == 0, result.output
    said = [line for line in result.output.splitlines() if "missing: " in line]
    assert all(any(str(path) in line for line in said) for path in missing), result.output


def test_only_the_namespace_and_the_operator_reach_the_pods_and_they_reach_dns_and_https():
    policy = load("kubernetes/network-policy.yaml")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["podSelector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}
    (rule,) = policy["ingress"]
    assert all("podSelector" in source and "ipBlock" not in source for source in rule["from"])
    named = [source["namespaceSelector"] for source in rule["from"] if "namespaceSelector" in source]
    assert named == [{"matchLabels": {"kubernetes.io/metadata.name": "kuberay-operator"}}]
    own, dns, https = policy["egress"]
    assert own == {"to": [{"podSelector": {}}]}
    assert {port["port"] for port in dns["ports"]} == {53} and dns["to"][0]["namespaceSelector"]["matchLabels"]
    assert {port["port"] for port in https["ports"]} == {443, 6443}
