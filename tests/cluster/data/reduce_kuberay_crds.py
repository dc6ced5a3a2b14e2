"""Makes kuberay.json, against which the tests check the Kubernetes files, from KubeRay's CRDs:

    python tests/cluster/data/reduce_kuberay_crds.py ray.io_rayclusters.yaml ray.io_rayjobs.yaml

The files lie in KubeRay's repository under ray-operator/config/crd/bases/.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import yaml

COMMENT = (
    "From KubeRay's CRDs (https://github.com/ray-project/kuberay, August 2026), copyright the KubeRay authors, "
    "Apache-2.0. Changed by reduce_kuberay_crds.py: version v1 only, without descriptions, CEL rules and status; parts "
    "that repeat stand once under $defs; unknown keys, which the API server would drop, are errors."
)
IGNORED = ("description", "default", "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")
WORTH_SHARING = 200
"""Characters of a part that stands once when it repeats."""


def strict(schema):
    """The schema as JSON Schema, in which a key that it does not know is an error."""
    schema = {key: value for key, value in schema.items() if key not in IGNORED}
    if "properties" in schema:
        schema["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = strict(schema[key])
    return schema


def version_1(crd):
    """(kind, schema) of version v1."""
    (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
    schema = strict(version["schema"]["openAPIV3Schema"])
    del schema["properties"]["status"]
    kind = crd["spec"]["names"]["kind"]
    schema["properties"] |= {"apiVersion": {"const": f"{crd['spec']['group']}/v1"}, "kind": {"const": kind}}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return kind, schema


def share(schemas):
    """The schemas with each part that repeats once, and a reference in its places."""
    times, names, shared = Counter(), {}, {}

    def count(part):
        text = json.dumps(part, sort_keys=True)
        times[text] += 1
        if times[text] == 1:
            for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
                count(inner)

    def replace(part, name):
        if not isinstance(part, dict):
            return part
        text = json.dumps(part, sort_keys=True)
        new = {key: replace(value, name if key == "items" else key) for key, value in part.items()}
        if times[text] == 1 or len(text) < WORTH_SHARING or not isinstance(part.get("type"), str):
            return new
        if text not in names:
            names[text] = name if name not in shared else f"{name}-{len(shared)}"
            shared[names[text]] = new
        return {"$ref": f"#/$defs/{names[text]}"}

    count(schemas)
    return {kind: replace(schema, kind) for kind, schema in schemas.items()} | shared


if __name__ == "__main__":
    crds = [yaml.safe_load(Path(path).read_text()) for path in sys.argv[1:]]
    reduced = {"$comment": COMMENT, "$defs": share(dict(map(version_1, crds)))}
    Path(__file__).with_name("kuberay.json").write_text(json.dumps(reduced, indent=1) + "\n")
