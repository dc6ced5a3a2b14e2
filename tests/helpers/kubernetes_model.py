"""What the cluster files use of KubeRay and Kubernetes. Strict: an unknown or mistyped key is an error."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Strict):
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")


class EnvironmentVariable(Strict):
    name: str
    value: str


class Mount(Strict):
    name: str
    mount_path: str = Field(pattern="^/")


class Capabilities(Strict):
    drop: list[str]


class ContainerSecurity(Strict):
    allow_privilege_escalation: Literal[False]
    capabilities: Capabilities


class PodSecurity(Strict):
    run_as_non_root: Literal[True]
    run_as_user: int = Field(gt=0)
    run_as_group: int = Field(gt=0)
    fs_group: int = Field(gt=0)


Quantity = str
"""Such as "8", 500m or 64Gi."""


class Resources(Strict):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]


class Container(Strict):
    name: str
    image: str
    args: list[str] = []
    env: list[EnvironmentVariable] = []
    security_context: ContainerSecurity
    volume_mounts: list[Mount]
    resources: Resources


class EmptyDirectory(Strict):
    medium: Literal["Memory"] | None = None
    size_limit: Quantity


class Volume(Strict):
    name: str
    empty_dir: EmptyDirectory


class Toleration(Strict):
    key: str
    operator: Literal["Exists", "Equal"]
    effect: Literal["NoSchedule"]


class Pod(Strict):
    restart_policy: Literal["Never"]
    service_account_name: str
    security_context: PodSecurity
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    init_containers: list[Container]
    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume]


class PodTemplate(Strict):
    spec: Pod


class Authentication(Strict):
    mode: Literal["token"]


class AutoscalerOptions(Strict):
    version: Literal["v2"]
    idle_timeout_seconds: int = Field(gt=0)
    resources: Resources


class Group(Strict):
    ray_start_params: dict[str, str]
    template: PodTemplate


class WorkerGroup(Group):
    group_name: str
    priority: int
    min_replicas: Literal[0]
    max_replicas: int = Field(gt=0)
    replicas: Literal[0]


class ClusterSpec(Strict):
    ray_version: str
    auth_options: Authentication
    enable_in_tree_autoscaling: Literal[True]
    autoscaler_options: AutoscalerOptions
    head_group_spec: Group
    worker_group_specs: list[WorkerGroup]


class RayCluster(Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class SubmitterConfig(Strict):
    backoff_limit: int


class JobSpec(Strict):
    entrypoint: str
    backoff_limit: int = Field(gt=0)
    shutdown_after_job_finishes: Literal[True]
    ttl_seconds_after_finished: int
    submitter_config: SubmitterConfig
    ray_cluster_spec: ClusterSpec


class RayJob(Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec
