"""The AWS files, offline: the stack is made in moto, Ray's own loader resolves the cluster file against it."""

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count
from moto.ec2.models import instance_types
from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.helpers.examples import CLUSTER, load
from tests.helpers.s3 import CREDENTIALS
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.stages import MODEL_STAGES
from toffee_pipeline.on_ray.placement import Cluster, check, plan_pools
from toffee_pipeline.on_ray.session import nodes_of_file

pytestmark = pytest.mark.slow

REGION = "us-east-1"
BUCKET, PREFIX = "datasets", "team/toffee"
OUTSIDE = ("datasets", "team/other/object"), ("datasets", "team/toffee-2/object"), ("elsewhere", "team/toffee/object")


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """An account with two buckets and the stack of access.yaml. Yields the stack's resources by their names."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # Ray makes an SSH key there
        for bucket in (BUCKET, "elsewhere"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        vpc = boto3.client("ec2", REGION).describe_vpcs()["Vpcs"][0]["VpcId"]
        client = boto3.client("cloudformation", REGION)
        given = {"Bucket": BUCKET, "Prefix": PREFIX, "Vpc": vpc}
        client.create_stack(
            StackName="toffee",
            TemplateBody=(CLUSTER / "aws/access.yaml").read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        resources = client.describe_stack_resources(StackName="toffee")["StackResources"]
        yield {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in resources}


@pytest.fixture(scope="module")
def resolved(aws):
    """The cluster file after Ray's loader, which looks up AWS's instance types: moto tells those of the file alone,
    since it takes long over all of them."""
    text = (CLUSTER / "aws/cluster.yaml").read_text().replace("SECURITY_GROUP]", f"{aws['SecurityGroup']}]")
    text = text.replace("AMI_ID", boto3.client("ec2", REGION).describe_images()["Images"][0]["ImageId"])
    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    named = {node["node_config"]["InstanceType"] for node in config["available_node_types"].values()}
    known = {name: instance_types.INSTANCE_TYPES[name] for name in named}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance_types, "INSTANCE_TYPES", known)
        return _bootstrap_config(config, no_config_cache=True)


def policy(arn):
    client = boto3.client("iam")
    version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]["Statement"]


def as_list(value):
    return value if isinstance(value, list) else [value]


def test_ray_accepts_the_cluster_and_adds_no_rights_of_its_own(aws, resolved):
    types = resolved["available_node_types"]
    for name, node in types.items():
        assert node["node_config"]["SecurityGroupIds"] == [aws["SecurityGroup"]], name
        assert node["node_config"]["SubnetIds"], name
        profile = "toffee-head" if name == "head" else "toffee-worker"
        assert node["node_config"]["IamInstanceProfile"] == {"Name": profile}, name
        assert boto3.client("iam").get_instance_profile(InstanceProfileName=profile)
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
    assert resolved["head_node"] == {}  # where Ray notes the role with full access that it would make
    roles = {role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"]}
    assert roles == {aws["HeadRole"], aws["WorkerRole"]}
    groups = boto3.client("ec2", REGION).describe_security_groups()["SecurityGroups"]
    assert {group["GroupName"] for group in groups} - {"default"} == {
        group["GroupName"] for group in groups if group["GroupId"] == aws["SecurityGroup"]
    }


def test_the_head_runs_no_stage_and_workers_have_what_aws_gives(resolved):
    types = dict(resolved["available_node_types"])
    head = types.pop(resolved["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert not head["resources"].get("GPU")
    catalogue = boto3.client("ec2", REGION).describe_instance_types(
        InstanceTypes=sorted({node["node_config"]["InstanceType"] for node in types.values()})
    )["InstanceTypes"]
    real = {
        item["InstanceType"]: (item["VCpuInfo"]["DefaultVCpus"], item["GpuInfo"]["Gpus"][0]["Count"])
        for item in catalogue
    }
    assert {name.split(".")[0] for name in real} == {"p4d", "p4de", "p5"}
    for node in types.values():
        assert (node["resources"]["CPU"], node["resources"]["GPU"]) == real[node["node_config"]["InstanceType"]]
        assert node["min_workers"] == 0  # an idle cluster is one small node
        assert node["max_workers"] <= resolved["max_workers"]
    spot = {name: "InstanceMarketOptions" in node["node_config"] for name, node in types.items()}
    assert set(spot.values()) == {True, False}
    for name, node in types.items():
        assert node["labels"] == {"market": "spot" if spot[name] else "on-demand"}
    assert min(node["priority"] for name, node in types.items() if spot[name]) > max(
        node["priority"] for name, node in types.items() if not spot[name]
    )


def test_the_job_knows_from_this_file_what_may_be_added(resolved, tmp_path):
    file = tmp_path / "ray_bootstrap_config.yaml"  # as `ray up` leaves it on the head
    file.write_text(yaml.safe_dump(resolved))
    nodes = nodes_of_file(file)
    assert [node.num_gpus for node in nodes] == [0.0] + [8.0] * resolved["max_workers"]
    assert nodes[0].num_cpus == 0
    config = load_config("sdxl", ("placement=fused",))
    up = Cluster(tuple(nodes[:1]), tuple(nodes))
    pools = plan_pools(config, "fused", MODEL_STAGES, up.most, dict.fromkeys(MODEL_STAGES, 1.0))
    check(config, pools, up)
    assert pools[0].num_actors == 8 * resolved["max_workers"]


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_the_object_store_fits_into_shared_memory(resolved, kind):
    start = resolved[f"{kind}_start_ray_commands"][-1]
    store = int(start.split("--object-store-memory=")[1].split()[0])
    (shm,) = (word for word in resolved["docker"][f"{kind}_run_options"] if word.startswith("--shm-size="))
    assert store < int(shm.removeprefix("--shm-size=").removesuffix("g")) * 2**30


def test_the_network_is_closed(aws):
    (group,) = boto3.client("ec2", REGION).describe_security_groups(GroupIds=[aws["SecurityGroup"]])["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [aws["SecurityGroup"]]
    assert not rule["IpRanges"] and not rule["Ipv6Ranges"]


def test_no_statement_of_s3_reaches_beyond_the_prefix(aws):
    statements = [s for name in ("DataPolicy", "AutoscalerPolicy") for s in policy(aws[name])]
    s3 = [s for s in statements if any(action.startswith("s3:") for action in as_list(s["Action"]))]
    (weights,) = (statement for statement in statements if statement["Effect"] == "Deny")
    assert weights["Resource"] == f"arn:aws:s3:::{BUCKET}/{PREFIX}/weights/*"
    statements.remove(weights)
    s3.remove(weights)
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in as_list(statement["Action"]))
    assert {action.removeprefix("s3:") for s in s3 for action in as_list(s["Action"])} == {
        *("ListBucket", "GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")  # as docs/storage.md says
    }
    for statement in s3:
        if statement["Action"] == "s3:ListBucket":
            assert statement["Resource"] == f"arn:aws:s3:::{BUCKET}"
            assert statement["Condition"] == {"StringLike": {"s3:prefix": [PREFIX, f"{PREFIX}/*"]}}
        else:
            assert statement["Resource"] == f"arn:aws:s3:::{BUCKET}/{PREFIX}/*"


def test_only_the_head_may_start_nodes_and_end_its_own(aws):
    iam = boto3.client("iam")
    attached = {
        role: {p["PolicyArn"] for p in iam.list_attached_role_policies(RoleName=aws[role])["AttachedPolicies"]}
        for role in ("HeadRole", "WorkerRole")
    }
    assert attached["WorkerRole"] == {aws["DataPolicy"]}
    assert attached["HeadRole"] == {aws["DataPolicy"], aws["AutoscalerPolicy"]}
    for statement in policy(aws["AutoscalerPolicy"]):
        if statement["Resource"] == "*":
            assert all(action.startswith("ec2:Describe") for action in as_list(statement["Action"]))
        if "ec2:TerminateInstances" in as_list(statement["Action"]):
            assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/ray-cluster-name": "toffee"}}
        if statement["Sid"] == "StartNodesOfThisCluster":
            listed = statement["Condition"]["StringEquals"]["ec2:InstanceType"]
            types = load("aws/cluster.yaml")["available_node_types"]
            assert set(listed) == {
                node["node_config"]["InstanceType"] for name, node in types.items() if name != "head"
            }
        if statement["Action"] == "ec2:RunInstances" and any(
            "image/" in name for name in as_list(statement["Resource"])
        ):
            assert statement["Condition"] == {"StringEquals": {"ec2:Owner": "amazon"}}
        if statement["Action"] == "iam:PassRole":
            assert statement["Resource"].endswith(f":role/{aws['WorkerRole']}")
    assert load("aws/cluster.yaml")["cluster_name"] == "toffee"  # the tag that these conditions ask for


@pytest.mark.parametrize("role", ["HeadRole", "WorkerRole"])
def test_moto_enforces_the_prefix(aws, role):
    arn = boto3.client("iam").get_role(RoleName=aws[role])["Role"]["Arn"]
    given = boto3.client("sts", REGION).assume_role(RoleArn=arn, RoleSessionName="node")["Credentials"]
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    s3 = boto3.client("s3", **keys)

    @set_initial_no_auth_action_count(0)
    def check():
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/run/object", Body=b"1")
        assert s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}/run/object")["Body"].read() == b"1"
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/weights/refiner/model.safetensors", Body=b"1")
        for bucket, key in OUTSIDE:
            with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
                s3.put_object(Bucket=bucket, Key=key, Body=b"1")
            with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
                s3.get_object(Bucket=bucket, Key=key)
        s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/run/object")
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            s3.list_buckets()

    check()


def test_cloudformation_finds_nothing_to_say():
    from cfnlint import api

    template = (CLUSTER / "aws/access.yaml").read_text()
    assert [str(match) for match in api.lint(template, config={"regions": [REGION]})] == []
